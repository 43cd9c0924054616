"""Options that several commands share, and what the engine gets from them."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

from mime_fast.backends.kinds import KINDS
from mime_fast.backends.select import CONTRACTS
from mime_fast.cli.command import note, offer
from mime_fast.config.checks import MAX_SEED
from mime_fast.config.generation import OPTIONS, GenerationConfig, Search
from mime_fast.emotions import LABELS, emotion_index
from mime_fast.errors import InputError

if TYPE_CHECKING:
    from mime_fast.engine.engine import Engine

DEVICES = ("auto", "cpu", "cuda")
_LOAD_OPTIONS = ("device", "precision", "threads", "batch_size", "backend", "isa", "exact_logprobs")


def add_model_options(parser: ArgumentParser, *, one_model: bool = True, logprobs: bool = False) -> None:
    """--device, --precision, --threads, --batch-size, --backend, --isa; --model where there is one; --exact-logprobs
    where log-probs are written.
    """
    group = parser.add_argument_group("model" if one_model else "models")
    if one_model:
        group.add_argument("--model", metavar="PATH", help="a model folder, or the name of a shipped model")
    device = group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    offer(device, lambda: DEVICES)
    precision = group.add_argument(
        "--precision", default="float32", help=f"{_one_of(CONTRACTS)} (default: %(default)s)"
    )
    offer(precision, lambda: CONTRACTS)
    group.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads (default: OMP_NUM_THREADS, or all cores that may be used)"
    )
    sizes = ", ".join(f"{kind.batch_size} for {kind.name}" for kind in KINDS)
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help=f"dialogues computed together, for speed and memory (default: {sizes})",
    )
    kinds = _one_of(["auto", *(f"{kind.name} ({kind.about})" for kind in KINDS)])
    backend = group.add_argument("--backend", default="auto", help=f"{kinds} (default: %(default)s)")
    offer(backend, lambda: ["auto", *(kind.name for kind in KINDS)])
    isa = group.add_argument(
        "--isa",
        default="auto",
        help="instruction set of the native back end; mime-fast info lists them (default: %(default)s)",
    )
    offer(isa, _isas)
    if logprobs:
        group.add_argument(
            "--exact-logprobs",
            action="store_true",
            help="with --precision screened: float32's log-probs for every reply",
        )


def _isas() -> list[str]:
    """Those that can run here."""
    try:
        from mime_fast import _native
    except ImportError:
        return ["auto"]
    return ["auto", *(isa for isa in _native.isas if not _native.why_not(isa))]


def load_engine(args: Namespace) -> Engine:
    """The engine that the model options ask for."""
    from mime_fast.engine.load import load

    engine = load(args.model, **load_options(args))
    if args.verbose:
        note(args, loaded_text(engine))
    return engine


def loaded_text(engine: Engine) -> str:
    """What was loaded, and why it runs where it does."""
    facts = engine.describe()
    isa = f", isa {facts['isa']}" if "isa" in facts else ""
    reasons = "; ".join(facts[name] for name in ("device_reason", "backend_reason") if facts.get(name))
    return f"{engine!r}{isa}" + (f" ({reasons})" if reasons else "")


def load_options(args: Namespace) -> dict[str, Any]:
    """Keyword arguments of `mime_fast.load` for the model options."""
    return {name: getattr(args, name) for name in _LOAD_OPTIONS if name in args}


def check_model_options(args: Namespace) -> None:
    """ConfigError or BackendError, without loading a model, where an option can be used with none here."""
    from mime_fast.backends.select import Wanted

    Wanted(**load_options(args))


def add_noise_options(parser: ArgumentParser) -> None:
    """--seed, --no-stochastic, --emotion: what the response emotion is drawn from."""
    group = parser.add_argument_group("response emotion")
    group.add_argument("--seed", type=seed, default=0, help="of the random numbers (default: %(default)s)")
    group.add_argument(
        "--no-stochastic", dest="stochastic", action="store_false", help="no noise in the response emotion: z = mu"
    )
    mimicked = group.add_argument("--emotion", type=emotion, help="mimic this emotion's group, not the predicted one's")
    offer(mimicked, lambda: LABELS)


def noise_arguments(args: Namespace) -> dict[str, Any]:
    """Keyword arguments for the options of `add_noise_options`."""
    return {"seed": args.seed, "emotion": args.emotion, "stochastic": args.stochastic}


def add_search_options(parser: ArgumentParser, *, one_reply: bool = False) -> None:
    """The search, named as in Hugging Face's GenerationConfig; how many replies only where all of them are shown."""
    group = parser.add_argument_group("search", "defaults: the model's generation_config.json")
    for name, option in OPTIONS.items():
        if one_reply and name == "num_return_sequences":
            continue
        group.add_argument(flag(name), help=option.help, **_kind(name))


def search_arguments(args: Namespace) -> dict[str, Any]:
    """Keyword arguments of `Engine.generate` for the search options."""
    return {name: getattr(args, name) for name in OPTIONS if name in args}


def token_ids(text: str) -> list[int]:
    """Ids with commas between; none in an empty text."""
    try:
        return [int(token) for token in text.split(",")] if text.strip() else []
    except ValueError:
        raise ArgumentTypeError(f"{text!r}: must be token ids with commas between") from None


def seed(text: str) -> int:
    """A seed from the command line."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_SEED:
        raise ArgumentTypeError(f"{text!r}: must be an integer from 0 to 2^64 - 1")
    return value


def emotion(text: str) -> int:
    """The index of an emotion given by name or by index."""
    try:
        return emotion_index(int(text) if text.isascii() and text.isdigit() else text)
    except InputError as error:
        raise ArgumentTypeError(str(error)) from None


def flag(name: str) -> str:
    """What the command line calls a Python option."""
    return "--" + name.replace("_", "-")


def _kind(name: str) -> dict[str, Any]:
    """How argparse reads a search option, by what its default is."""
    default = getattr(GenerationConfig, name)
    if isinstance(default, bool):
        return {"action": BooleanOptionalAction}
    if isinstance(default, int | float):
        return {"type": type(default), "metavar": "N" if isinstance(default, int) else "X"}
    if isinstance(default, tuple):
        return {"type": token_ids, "metavar": "ID,ID"}
    return {"choices": get_args(Search)}


def _one_of(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"
