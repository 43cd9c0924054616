"""mime_fast: empathetic replies by MIME (Majumder et al., EMNLP 2020), fast.

>>> import mime_fast
>>> engine = mime_fast.load()  # doctest: +SKIP
>>> engine.generate([["i lost my job today ."]])[0].text  # doctest: +SKIP

Names are imported when they are first used, so that `import mime_fast` by itself stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mime_fast._version import __version__

if TYPE_CHECKING:
    from mime_fast.config.generation import GenerationConfig as GenerationConfig
    from mime_fast.config.model import MimeConfig as MimeConfig
    from mime_fast.corpora.job import CorpusJob as CorpusJob
    from mime_fast.corpora.summary import Summary as Summary
    from mime_fast.corpora.tasks import Task as Task
    from mime_fast.data.reading.options import Columns as Columns
    from mime_fast.data.reading.options import Reading as Reading
    from mime_fast.emotions import EMOTIONS as EMOTIONS
    from mime_fast.emotions import NEGATIVE as NEGATIVE
    from mime_fast.emotions import POSITIVE as POSITIVE
    from mime_fast.engine.engine import Engine as Engine
    from mime_fast.engine.explanation import Explanation as Explanation
    from mime_fast.engine.load import load as load
    from mime_fast.engine.results import Candidate as Candidate
    from mime_fast.engine.results import Classification as Classification
    from mime_fast.engine.results import EmotionMixture as EmotionMixture
    from mime_fast.engine.results import Reply as Reply
    from mime_fast.engine.results import Score as Score
    from mime_fast.errors import BackendError as BackendError
    from mime_fast.errors import CheckpointError as CheckpointError
    from mime_fast.errors import ConfigError as ConfigError
    from mime_fast.errors import DataError as DataError
    from mime_fast.errors import InputError as InputError
    from mime_fast.errors import MimeFastError as MimeFastError
    from mime_fast.errors import MissingPackage as MissingPackage
    from mime_fast.errors import OutputError as OutputError
    from mime_fast.text.tokenizer import tokenize as tokenize

_HOME = {
    "mime_fast.config.generation": ("GenerationConfig",),
    "mime_fast.config.model": ("MimeConfig",),
    "mime_fast.corpora.job": ("CorpusJob",),
    "mime_fast.corpora.summary": ("Summary",),
    "mime_fast.corpora.tasks": ("Task",),
    "mime_fast.data.reading.options": ("Columns", "Reading"),
    "mime_fast.emotions": ("EMOTIONS", "NEGATIVE", "POSITIVE"),
    "mime_fast.engine.engine": ("Engine",),
    "mime_fast.engine.explanation": ("Explanation",),
    "mime_fast.engine.load": ("load",),
    "mime_fast.engine.results": ("Candidate", "Classification", "EmotionMixture", "Reply", "Score"),
    "mime_fast.errors": (
        "BackendError",
        "CheckpointError",
        "ConfigError",
        "DataError",
        "InputError",
        "MimeFastError",
        "MissingPackage",
        "OutputError",
    ),
    "mime_fast.text.tokenizer": ("tokenize",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mime_fast' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
