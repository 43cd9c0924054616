"""What made one reply: the emotion recognised, the response emotion's weights, the gate's mimic share by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mime_fast.config.checks import check_int
from mime_fast.config.model import MimeConfig
from mime_fast.emotions import LABELS, Polarity, emotion_index
from mime_fast.engine.ending import ended_with_process
from mime_fast.engine.engine import Engine
from mime_fast.engine.inputs import Dialogue, Truncation
from mime_fast.engine.reading import Given
from mime_fast.engine.records import WEIGHT_DIGITS, record
from mime_fast.engine.results import EmotionMixture, Reply
from mime_fast.errors import ConfigError

SPEAKERS = ("speaker", "listener")


@dataclass(frozen=True, repr=False)
class Explanation:
    """A reply and how it came about.

    `words` are the dialogue's tokens, an utterance a list, and `shares` the gate's share for the mimicked side at each
    of them, 0 to 1 (eq. 25; `FusedMemory.mimic_share`). `mixture.mimic_share` is the mean of all of them.
    """

    words: list[list[str]]
    shares: list[list[float]]
    reply: Reply
    mimicked: str  # the emotion whose group is mimicked: the one recognised, or one that was given
    mimicry: bool  # False: a model without mimicry, whose gate weighs the positive side, or one mixture twice

    @property
    def mixture(self) -> EmotionMixture:
        """The reply's; a MIME's reply has one."""
        assert self.reply.mixture is not None
        return self.reply.mixture

    @property
    def emotions(self) -> list[tuple[str, float]]:
        """All 32 emotions with their probabilities, likeliest first."""
        return self.reply.top(len(LABELS))

    @property
    def weights(self) -> dict[Polarity, list[tuple[str, float]]]:
        """The 13 and the 19 weights of eq. 9, heaviest first in each group."""
        groups: dict[Polarity, dict[str, float]] = {
            "positive": self.mixture.positive,
            "negative": self.mixture.negative,
        }
        return {name: sorted(group.items(), key=lambda item: -item[1]) for name, group in groups.items()}

    def to_dict(self, top_emotions: int = 5) -> dict[str, Any]:
        """JSON-ready: what `mime-fast explain --json` prints.

        That is the reply's JSON with its `top_emotions` likeliest emotions, what is mimicked, and every word of the
        dialogue with its share.

        Raises:
            ConfigError: `top_emotions` is not an integer from 0 to 32.
        """
        check_int("top_emotions", top_emotions, 0, len(LABELS))
        return {
            **record(self.reply, top_emotions=top_emotions),
            "mimicked": self.mimicked if self.mimicry else None,
            "mimicry": self.mimicry,
            "words": [
                {"who": SPEAKERS[turn % 2], "word": word, "mimic_share": round(share, WEIGHT_DIGITS)}
                for turn, (words, shares) in enumerate(zip(self.words, self.shares, strict=True))
                for word, share in zip(words, shares, strict=True)
            ],
        }

    def __repr__(self) -> str:
        count = sum(map(len, self.words))
        return f"Explanation({self.reply!r}, mimicked={self.mimicked!r}, {count} words)"

    def _repr_html_(self) -> str:
        from mime_fast.engine.html import explanation_html

        return explanation_html(self)


def explain(
    engine: Engine,
    dialogue: Dialogue,
    *,
    emotion: str | int | None = None,
    stochastic: bool = True,
    seed: int = 0,
    request_id: int = 0,
    strict_turns: bool = True,
    truncation: Truncation | None = None,
    search: Mapping[str, Any] | None = None,
) -> Explanation:
    """Reply to one dialogue as `Engine.generate` does, and compute the shares that made it.

    Args:
        dialogue .. truncation: as for `Engine.generate`; search: its search options.

    Raises:
        ConfigError: the model has no gate (it is not MIME), or an option is not allowed.
        InputError: the dialogue, emotion, seed or request id cannot be used.
    """
    config = _mime(engine)
    (reply,) = engine.generate(
        [dialogue],
        emotions=[emotion],
        stochastic=stochastic,
        seed=seed,
        request_ids=[request_id],
        strict_turns=strict_turns,
        truncation=truncation,
        **(search or {}),
    )
    reading = engine.reading(strict_turns, truncation, stochastic)
    words = reading.words([dialogue])[0]
    mimicked = reply.emotion if emotion is None else LABELS[emotion_index(emotion)]
    given = Given.with_list([dialogue], [request_id], seed=seed, emotions=[emotion])
    (window,) = reading.windows([dialogue], given)
    with ended_with_process():
        shares: list[float] = engine.backend.mimic_shares(window.contexts, window.requests).tolist()
    return Explanation(
        words,
        _split(shares[1:], words),
        reply,
        mimicked,
        config.mimics,
    )


def _mime(engine: Engine) -> MimeConfig:
    if not isinstance(engine.config, MimeConfig):
        raise ConfigError(
            f"{engine.name}: a model of type {engine.config.model_type!r} has no gate and no mixture; must be 'mime'"
        )
    return engine.config


def _split(shares: Sequence[float], words: Sequence[Sequence[str]]) -> list[list[float]]:
    """Shares by utterance."""
    flat = iter(shares)
    return [[next(flat) for _ in turn] for turn in words]
