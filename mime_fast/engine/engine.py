"""The engine: dialogues in, replies, emotions and scores out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from mime_fast._version import __version__
from mime_fast.backends.protocol import EmotionOutputs, Floats, Stop
from mime_fast.backends.select import CONTRACTS, EXACT_CONTRACT, Choice
from mime_fast.checkpoints.model_folder import ModelFolder
from mime_fast.checkpoints.shapes import num_parameters
from mime_fast.config.checks import check_bool, check_int
from mime_fast.config.generation import GenerationConfig, SearchOptions
from mime_fast.config.model import ModelConfig
from mime_fast.engine.assemble import classifications_of, replies_of, scores_of
from mime_fast.engine.choice import search
from mime_fast.engine.ending import ended_with_process
from mime_fast.engine.inputs import Dialogue, Integers, Truncation
from mime_fast.engine.options import others_of, refuse_unknown, resolve_options
from mime_fast.engine.overlap import overlapped, watched
from mime_fast.engine.reading import WATCHED, WINDOW, Given, Reading, Window, pairs_apart, stream
from mime_fast.engine.results import Classification, Reply, Score
from mime_fast.errors import InputError
from mime_fast.reference.hypothesis import Hypothesis
from mime_fast.reference.search_checks import check_options

if TYPE_CHECKING:
    import os

    from mime_fast.engine.explanation import Explanation
    from mime_fast.engine.load import LoadOptions
    from mime_fast.reference.dialogue_model import DialogueModel


class Engine:
    """A loaded model. Made by `mime_fast.load`; calls do not change it.

    Attributes:
        config: the model's sizes and switches.
        generation_config: the model's default search options.
        tokenizer: text to tokens and ids.
        backend: what runs the calls.
        reranker: what `best_of` chooses by; None where the model has none.
    """

    def __init__(
        self, folder: ModelFolder, name: str, choice: Choice, reload: Callable[[], Engine] | None = None
    ) -> None:
        """`reload` makes an equal engine in another process."""
        self.config: ModelConfig = folder.config
        self.generation_config: GenerationConfig = folder.generation
        self.tokenizer = folder.tokenizer
        self.name = name
        self.backend = choice.backend
        self.reranker = None if folder.reranker is None else choice.backend.packed(folder.reranker)
        self._weights = folder.weights
        self._choice = choice
        self._reload = reload

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str] | None = None, **options: Unpack[LoadOptions]) -> Engine:
        """`mime_fast.load`, its options by name: a shipped model by its name, or a model folder."""
        from mime_fast.engine.load import load

        return load(path, **options)

    def __repr__(self) -> str:
        choice = self._choice
        where = f"backend={self.backend.name!r}, device={choice.placement.device!r}"
        return f"Engine({self.name!r}, {where}, precision={choice.placement.precision!r}, threads={choice.threads})"

    def _repr_html_(self) -> str:
        from mime_fast.engine.html import table_html

        plain = (item for item in self.describe().items() if isinstance(item[1], str | int | float))
        return table_html(f"mime_fast engine: {self.name}", plain)

    def __reduce__(self) -> tuple[Callable[[], Engine], tuple[()], dict[str, Any]]:
        """Pickled by its path and options: the copy loads the model anew, and has the same default search."""
        if self._reload is None:
            raise TypeError("this engine was not loaded from a folder: call mime_fast.load in the other process")
        return self._reload, (), {"generation_config": self.generation_config}

    @property
    def model(self) -> DialogueModel:
        """The reference model, made when it is first asked for. MissingPackage: PyTorch is not installed."""
        with ended_with_process():
            return self._weights.model

    def generate(
        self,
        dialogues: Sequence[Dialogue],
        *,
        prefixes: Sequence[str | Sequence[str] | None] | None = None,
        stochastic: bool = True,
        seed: int | Integers = 0,
        request_ids: Integers | None = None,
        emotions: Sequence[str | int | None] | None = None,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
        show_progress: bool = False,
        **search: Unpack[SearchOptions],
    ) -> list[Reply]:
        """Reply to each dialogue; replies come in the order of the dialogues.

        A reply depends on its dialogue, options, seed and request id, not on the others in the call.

        Args:
            dialogues: lists of utterances, the user's first and last; text, or lower-case tokens that are taken as they
                are.
            prefixes: words that the reply begins with, text (which becomes lower-case words, as an utterance does) or
                tokens, one or None (no prefix) per dialogue. These words stay, also those that the model does not know.
            stochastic: sample the emotion mixture; False: z = mu (the paper's "w/o STC"). A baseline has no mixture.
            seed: from 0 to 2^64 - 1, one for all or one a dialogue.
            request_ids: numbers that distinguish requests of one seed; 0 .. n - 1 by default.
            emotions: labels (names or indices) in place of the classifier's; None: the classifier's. They decide what
                is mimicked and, without a reranker, what `best_of` chooses; no other reply changes (a baseline's).
            strict_turns: refuse an even number of turns.
            truncation: None refuses more words than the model has positions for; "oldest" drops early turns in pairs.
            show_progress: show a bar, on standard error or in the notebook.
            **search: search options, named as in Hugging Face's GenerationConfig; None: the model's own value.
                `search` is "standard", or "mime", the released beam, which takes only some of them.

        Raises:
            InputError: a dialogue, prefix, seed, request id or emotion cannot be used; the message names the dialogue.
            ConfigError: an option is not allowed.
            BackendError: the model gives NaN; its `dialogues` says for which.
        """
        refuse_unknown(search, others_of(self.generate))
        options = self.search_options(search)
        given = Given.with_list(
            dialogues,
            request_ids,
            seed=seed,
            emotions=emotions,
            prefixes=prefixes,
            max_new_tokens=options.max_new_tokens,
            streaming="generate_iter",
        )
        windows = self.reading(strict_turns, truncation, stochastic).windows(dialogues, given, _size(show_progress))
        return watched(self._replies(list(windows), options), len(dialogues), "reply", show_progress)

    def generate_iter(
        self,
        dialogues: Iterable[Dialogue],
        *,
        prefixes: Iterable[str | Sequence[str] | None] | None = None,
        stochastic: bool = True,
        seed: int | Iterable[int] = 0,
        first_request_id: int = 0,
        emotions: Iterable[str | int | None] | None = None,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
        window: int = WINDOW,
        **search: Unpack[SearchOptions],
    ) -> Iterator[Reply]:
        """Reply to any number of dialogues, in their order and as they come; options and errors as for `generate`.

        Prefixes, seeds and emotions may be iterables beside the dialogues, of the same length (or an endless
        `itertools.count`, `cycle` or `repeat`); request ids count on from `first_request_id`. `window` dialogues are
        read and answered at once, on a background thread that is gone when the iterator ends or is closed; no more than
        three windows are in memory. A bad dialogue raises after the replies to the windows before it.
        """
        refuse_unknown(search, others_of(self.generate_iter))
        options = self.search_options(search)
        given = Given.with_stream(
            first_request_id, seed=seed, emotions=emotions, prefixes=prefixes, max_new_tokens=options.max_new_tokens
        )
        check_int("window", window, 1, sys.maxsize)
        reading = self.reading(strict_turns, truncation, stochastic)
        return self._replies(reading.windows(stream("dialogues", dialogues), given, window), options)

    def classify(
        self,
        dialogues: Sequence[Dialogue],
        *,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
        show_progress: bool = False,
    ) -> list[Classification]:
        """The user's emotion in each dialogue (eq. 4-5); arguments and errors as for `generate`."""
        given = Given.with_list(dialogues, None)
        windows = list(self.reading(strict_turns, truncation).windows(dialogues, given, _size(show_progress)))
        found = overlapped(windows, lambda window, stop: self.backend.classify(window.contexts, stop))
        answers = (one for _, logits in found for one in classifications_of(logits))
        return watched(answers, len(dialogues), "dialogue", show_progress)

    def score(
        self,
        dialogues: Sequence[Dialogue],
        responses: Sequence[str | Sequence[str]],
        *,
        emotions: Sequence[str | int | None] | None = None,
        stochastic: bool = True,
        seed: int | Integers = 0,
        request_ids: Integers | None = None,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
        show_progress: bool = False,
    ) -> list[Score]:
        """Log-probs of given responses, one a dialogue, EOS counted; arguments and errors as for `generate`."""
        if responses is None:
            raise InputError("responses is None; must be a list, one item per dialogue")
        given = Given.with_list(
            dialogues, request_ids, seed=seed, emotions=emotions, responses=responses, streaming="score_iter"
        )
        windows = self.reading(strict_turns, truncation, stochastic).windows(dialogues, given, _size(show_progress))
        return watched(self._scores(list(windows)), len(dialogues), "response", show_progress)

    def score_iter(
        self,
        pairs: Iterable[tuple[Dialogue, str | Sequence[str]]],
        *,
        emotions: Iterable[str | int | None] | None = None,
        stochastic: bool = True,
        seed: int | Iterable[int] = 0,
        first_request_id: int = 0,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
        window: int = WINDOW,
    ) -> Iterator[Score]:
        """Scores of any number of (dialogue, response) pairs, as they come; the rest as for `generate_iter`."""
        dialogues, responses = pairs_apart(stream("pairs", pairs))
        given = Given.with_stream(first_request_id, seed=seed, emotions=emotions, responses=responses)
        check_int("window", window, 1, sys.maxsize)
        return self._scores(self.reading(strict_turns, truncation, stochastic).windows(dialogues, given, window))

    def explain(
        self,
        dialogue: Dialogue,
        *,
        emotion: str | int | None = None,
        stochastic: bool = True,
        seed: int = 0,
        request_id: int = 0,
        strict_turns: bool = True,
        truncation: Truncation | None = None,
        **search: Unpack[SearchOptions],
    ) -> Explanation:
        """Reply to one dialogue, and show what made the reply.

        The reply is that of `generate([dialogue], ...)`. With it come the mixture's weights (eq. 9) and the gate's
        share for the mimicked side at every word (eq. 25). Arguments and errors as for `generate`.

        Raises:
            ConfigError: the model has no gate (it is a baseline), or an option is not allowed.
        """
        from mime_fast.engine.explanation import explain

        refuse_unknown(search, others_of(self.explain))
        return explain(
            self,
            dialogue,
            emotion=emotion,
            stochastic=stochastic,
            seed=seed,
            request_id=request_id,
            strict_turns=strict_turns,
            truncation=truncation,
            search=search,
        )

    def prepare(
        self, dialogue: Dialogue, *, strict_turns: bool = True, truncation: Truncation | None = None
    ) -> list[list[str]]:
        """One dialogue as the tokens that the model would read; InputError as for `generate`."""
        return self.reading(strict_turns, truncation).words([dialogue])[0]

    def describe(self) -> dict[str, Any]:
        """What runs where, and why; JSON-ready."""
        choice = self._choice
        return {
            "version": __version__,
            "model": self.name,
            "model_type": self.config.model_type,
            "preset": self.config.preset,
            "vocab_size": self.config.vocab_size,
            "parameters": num_parameters(self.config),
            "device": choice.placement.device,
            "device_reason": choice.placement.reason,
            "backend": self.backend.name,
            "backend_reason": choice.reason,
            "precision": choice.placement.precision,
            "contract": EXACT_CONTRACT if self.backend.rescores else CONTRACTS[choice.placement.precision],
            "threads": choice.threads,
            "batch_size": choice.batch_size,
            "reranker": self.reranker is not None,
            **self.backend.describe(),
        }

    def running(self) -> AbstractContextManager[None]:
        """No gradients, and this engine's number of threads, while the block runs; for work with `model`."""
        from mime_fast.reference.running import torch_running

        return torch_running(self._choice.threads)

    def search_options(self, given: Mapping[str, Any]) -> GenerationConfig:
        """What `generate` does with its search options. ConfigError: one is not allowed."""
        options = resolve_options(self.generation_config, given, self.config.max_positions)
        check_options(options, self.config.vocab_size)
        return options

    def reading(self, strict_turns: bool, truncation: Truncation | None, stochastic: bool = True) -> Reading:
        """How dialogues are made ready for `backend`. ConfigError: a value is not allowed."""
        return Reading(self.tokenizer, self.config.max_positions - 1, strict_turns, truncation, stochastic)

    def search_window(
        self, options: GenerationConfig, window: Window, stop: Stop | None = None
    ) -> tuple[EmotionOutputs, Sequence[list[Hypothesis]]]:
        """What the back end finds for a window, with checked options; see `mime_fast.engine.choice.search`."""
        asked = window.contexts, window.requests, options, window.prefixes, stop
        return search(self.backend, self.config.max_positions, self.reranker, self._choice.threads, *asked)

    def _replies(self, windows: Iterable[Window], options: GenerationConfig) -> Iterator[Reply]:
        for window, (outputs, found) in overlapped(windows, partial(self.search_window, options)):
            yield from replies_of(outputs, found, self.tokenizer, window.begun, mimics=self.config.mimics)

    def _scores(self, windows: Iterable[Window]) -> Iterator[Score]:
        def work(window: Window, stop: Stop | None) -> tuple[EmotionOutputs, Floats]:
            return self.backend.score(window.contexts, window.requests, *window.targets(self.tokenizer), stop)

        for window, (outputs, log_probs) in overlapped(windows, work):
            yield from scores_of(outputs, window.responses, log_probs, mimics=self.config.mimics)


def _size(show_progress: bool) -> int:
    """Dialogues of a window: fewer where somebody watches. No answer depends on it."""
    check_bool("show_progress", show_progress)
    return WATCHED if show_progress else WINDOW
