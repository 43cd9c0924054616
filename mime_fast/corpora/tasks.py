"""What a job does with its rows: scoring or generating, and what each row becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from mime_fast.config.checks import check_int
from mime_fast.data.dialogues import Row
from mime_fast.data.reading.rows import Columns
from mime_fast.emotions import LABELS, NEGATIVE, POSITIVE, emotion_index, polarity
from mime_fast.errors import ConfigError

if TYPE_CHECKING:
    from mime_fast.backends.protocol import Floats, Ids, Offsets
    from mime_fast.engine.engine import Engine
    from mime_fast.engine.inputs import Truncation
    from mime_fast.engine.reading import Window
    from mime_fast.engine.results import EmotionMixture, Reply, Score

Kind = Literal["score", "generate"]


class Ready(NamedTuple):
    """Rows as the back end takes them."""

    window: Window
    targets: tuple[Ids, Offsets]  # empty where nothing is scored


_MIXTURE = ("polarity", "mimic_share", "positive", "negative")
_DIGITS = 6  # of an emotion's probability
_WEIGHT_DIGITS = 4  # of the mixture


@dataclass(frozen=True)
class Task:
    """What is done, and all options that change a row of the output.

    Raises:
        ConfigError: a value is not allowed (the engine checks the search's). InputError: an unknown emotion.
    """

    kind: Kind
    columns: Columns = field(default_factory=Columns)
    seed: int = 0
    emotion: str | int | None = None
    stochastic: bool = True
    strict_turns: bool = True
    truncation: Truncation | None = None
    top_emotions: int = 3
    search: Mapping[str, Any] = field(default_factory=dict)  # of Engine.generate

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"task {self.kind!r}: one of {', '.join(get_args(Kind))} is allowed")
        if not self.columns.separator:
            raise ConfigError("separator is empty; at least one character is allowed")
        check_int("seed", self.seed, 0, 2**64 - 1)
        if self.emotion is not None:
            emotion_index(self.emotion)
        if not 0 <= self.top_emotions <= len(LABELS):
            raise ConfigError(f"top_emotions={self.top_emotions!r}: 0 to {len(LABELS)} is allowed")

    def options(self) -> dict[str, Any]:
        """The options, JSON-ready."""
        return asdict(self)

    def ready(self, engine: Engine, rows: Sequence[Row]) -> Ready:
        """The rows, cut into tokens and encoded. InputError: one does not fit the model, and which."""
        from mime_fast.engine.reading import Given

        dialogues = [row.context for row in rows]
        given = Given.with_list(
            dialogues,
            [row.index for row in rows],
            seed=[self.seed if row.seed is None else row.seed for row in rows],
            emotions=[self.emotion if row.emotion is None else row.emotion for row in rows],
            responses=[row.response for row in rows] if self.kind == "score" else None,
        )
        reading = engine.reading(self.strict_turns, self.truncation, self.stochastic)
        (window,) = reading.windows(dialogues, given, len(rows))
        return Ready(window, window.targets(engine.tokenizer))

    def run(self, engine: Engine, ready: Ready) -> Any:
        """What the back end makes of them; everything else is left to other threads."""
        window = ready.window
        if self.kind == "score":
            return engine.backend.score(window.contexts, window.requests, *ready.targets)
        options = engine.search_options(self.search)
        return engine.backend.generate(window.contexts, window.requests, options)

    def answers(self, engine: Engine, ready: Ready, found: Any) -> Iterator[Score | Reply]:
        """An answer a row, of what `run` returned; the mixture is rounded."""
        from mime_fast.engine.assemble import replies_of, scores_of

        heard, values = found
        heard = replace(heard, weights=_rounded(heard.weights), mimic_share=_rounded(heard.mimic_share))
        if self.kind == "score":
            return scores_of(heard, ready.window.responses, values)
        return replies_of(heard, values, engine.tokenizer)

    def record(self, row: Row, answer: Any) -> dict[str, Any]:
        """The row's output."""
        head = {"id": row.id, "row": row.index}
        body = _scored(answer) if self.kind == "score" else self._replied(row, answer)
        ranked = sorted(range(len(LABELS)), key=answer.emotion_probs.__getitem__, reverse=True)[: self.top_emotions]
        return {
            **head,
            **body,
            "emotion": answer.emotion,
            "emotion_probs": {LABELS[i]: round(answer.emotion_probs[i], _DIGITS) for i in ranked},
            "polarity": polarity(emotion_index(answer.emotion)),
            "mixture": _mixture(answer.mixture),
        }

    def _replied(self, row: Row, reply: Reply) -> dict[str, Any]:
        several = [{"text": one.text, "score": one.score, "logprob": one.logprob} for one in reply.candidates]
        return {
            "text": reply.text,
            "score": reply.score,
            **({"candidates": several} if len(several) > 1 else {}),
            "seed": self.seed if row.seed is None else row.seed,
        }

    def schema(self) -> Any:
        """The pyarrow schema of the records; ids are text there."""
        import pyarrow as pa

        def weights(names: Sequence[str]) -> Any:
            return pa.struct([(name, pa.float64()) for name in names])

        body = {
            "score": [
                ("logprob", pa.float64()),
                ("perplexity", pa.float64()),
                ("tokens", pa.list_(pa.string())),
                ("token_logprobs", pa.list_(pa.float64())),
            ],
            "generate": [
                ("text", pa.string()),
                ("score", pa.float64()),
                (
                    "candidates",
                    pa.list_(pa.struct([("text", pa.string()), ("score", pa.float64()), ("logprob", pa.float64())])),
                ),
                ("seed", pa.uint64()),
            ],
        }[self.kind]
        mixture = [
            ("polarity", pa.string()),
            ("mimic_share", pa.float64()),
            ("positive", weights(POSITIVE)),
            ("negative", weights(NEGATIVE)),
        ]
        return pa.schema(
            [
                ("id", pa.string()),
                ("row", pa.int64()),
                *body,
                ("emotion", pa.string()),
                ("emotion_probs", weights(LABELS)),
                ("polarity", pa.string()),
                ("mixture", pa.struct(mixture)),
            ]
        )


def _scored(score: Score) -> dict[str, Any]:
    return {
        "logprob": score.logprob,
        "perplexity": score.perplexity,
        "tokens": score.tokens,
        "token_logprobs": score.token_logprobs,
    }


def _mixture(mixture: EmotionMixture | None) -> dict[str, Any] | None:
    return None if mixture is None else {name: getattr(mixture, name) for name in _MIXTURE}


def _rounded(weights: Floats | None) -> Floats | None:
    """What Python's `round` gives for values in float32, at a tenth of the time."""
    return None if weights is None else weights.astype(np.float64).round(_WEIGHT_DIGITS)
