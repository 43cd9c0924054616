"""Model and generation configs: what can vary, its default, and what is allowed."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

from mime_fast.errors import ConfigError

Preset = Literal["paper", "released"]
Search = Literal["standard", "mime"]

MAX_HYPOTHESES = 10_000  # beams, or returned sequences, of one dialogue


class Config:
    """JSON form and replacement shared by the configs; unknown keys are errors, never ignored."""

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: str = "config") -> Self:
        """Build from a JSON object; every unknown or missing key is named in one message."""
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(fields))
        missing = sorted(
            name
            for name, field in fields.items()
            if name not in values
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        faults = [f"unknown key {name!r}" for name in unknown] + [f"missing key {name!r}" for name in missing]
        if faults:
            raise ConfigError(f"{where}: {'; '.join(faults)}; allowed keys: {', '.join(fields)}")
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()  # type: ignore[call-overload]
        }

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed (and validated)."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def _make_plain(self) -> None:
        """Turn numbers of other libraries into Python's own, which JSON can hold."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Real) and not isinstance(value, bool | int | float):
                object.__setattr__(self, field.name, int(value) if isinstance(value, Integral) else float(value))


def check_int(name: str, value: object, low: int, high: int | None = None) -> None:
    bound = f"{low} or more" if high is None else f"{low} to {high}"
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or int(value) < low or (high is not None and int(value) > high):  # type: ignore[call-overload]
        raise ConfigError(f"{name}={value!r}: an integer of {bound} is allowed")


def check_float(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer beyond all floats
            number = float(value)
    if not math.isfinite(number) or not low <= number <= high or (open_low and number == low):
        bound = "" if math.isinf(low) else f" {'above' if open_low else 'from'} {low:g}"
        bound += "" if math.isinf(high) else f" to {high:g}"
        raise ConfigError(f"{name}={value!r}: a finite number{bound} is allowed")


def check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r}: true or false is allowed")


@dataclass(frozen=True)
class ModelConfig(Config):
    """Sizes and switches that MIME and its baselines share. Start from `paper(V)` or `released(V)` of one of its kinds.

    The switches are the places where the paper and the code its authors released differ (docs/model.md lists them).
    """

    model_type: ClassVar[str]
    QUIRKS: ClassVar[dict[str, Any]] = {
        "preset": "released",
        "speaker_table": False,
        "final_relu": True,
        "unbiased_norm": True,
    }

    vocab_size: int
    preset: Preset = "paper"
    hidden_size: int = 300  # D_emb = D_h
    num_layers: int = 1
    context_layers: int = 0  # of TR_ctx_enc alone (eq. 2); 0: num_layers
    num_heads: int = 2
    attention_depth: int = 40  # keys and values of all heads together
    ffn_channels: int = 50
    max_positions: int = 1000  # rows of the sinusoidal table; CTX is one of them
    dropout: float = 0.0
    tie_word_embeddings: bool = False  # FC_decode's weight is E_W
    speaker_table: bool = True  # E_S is a table of its own (eq. 1); False: rows of E_W
    final_relu: bool = False  # ReLU after the last convolution of the FFN, too
    unbiased_norm: bool = False  # LayerNorm by the unbiased deviation, epsilon outside the root

    def __post_init__(self) -> None:
        if self.preset not in ("paper", "released"):
            raise ConfigError(f"preset={self.preset!r}: 'paper' or 'released' is allowed")
        check_int("vocab_size", self.vocab_size, 7)
        for name in ("hidden_size", "num_layers", "num_heads", "attention_depth", "ffn_channels", "max_positions"):
            check_int(name, getattr(self, name), 1)
        check_int("context_layers", self.context_layers, 0)
        check_int("hidden_size", self.hidden_size, 4)
        if self.hidden_size % 2:
            raise ConfigError(f"hidden_size={self.hidden_size}: an even number is allowed (sines and cosines)")
        if self.attention_depth % self.num_heads:
            raise ConfigError(
                f"attention_depth={self.attention_depth}: a multiple of num_heads={self.num_heads} is allowed"
            )
        check_float("dropout", self.dropout, 0.0, 0.999)
        for field in dataclasses.fields(self):
            if field.type == "bool":
                check_bool(field.name, getattr(self, field.name))
        self._make_plain()

    @property
    def num_context_layers(self) -> int:
        """Layers of the context encoder."""
        return self.context_layers or self.num_layers

    @classmethod
    def paper(cls, vocab_size: int, **changes: Any) -> Self:
        """The equations as printed."""
        return cls(vocab_size=vocab_size, **changes)

    @classmethod
    def released(cls, vocab_size: int, **changes: Any) -> Self:
        """What the released code computes, quirks included."""
        return cls(vocab_size=vocab_size, **(cls.QUIRKS | changes))


@dataclass(frozen=True)
class MimeConfig(ModelConfig):
    """MIME's own switches beside the shared ones."""

    model_type = "mime"
    QUIRKS: ClassVar[dict[str, Any]] = ModelConfig.QUIRKS | {
        "drop_ctx": False,
        "shared_response_encoder": False,
        "separate_sigma": False,
        "posterior_on_emotion": False,
    }

    drop_ctx: bool = True  # eq. 20-24 run over i = 1..k; False: CTX stays in the memory
    shared_response_encoder: bool = True  # one TR_resp_enc (eq. 22-23); False: one for M, one for M~
    separate_sigma: bool = True  # sigma per group (eq. 13); False: sigma_neg = sigma_pos
    posterior_on_emotion: bool = True  # Q(z_g | e_g, C), eq. 17; False: on the mean of M or M~
    emotion_mimicry: bool = True  # eq. 18-19; False: m = e_pos, m~ = e_neg always
    emotion_grouping: bool = True  # two groups; False: one mixture over the 32 emotions

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.emotion_mimicry and not self.emotion_grouping:
            raise ConfigError(
                "emotion_mimicry=True with emotion_grouping=False: without groups there is nothing to mimic; "
                "set emotion_mimicry=False"
            )


@dataclass(frozen=True)
class GenerationConfig(Config):
    """Search options, named as in Hugging Face's GenerationConfig where it has one.

    The defaults are the paper's: 5 beams, 30 tokens, nothing else on.
    """

    num_beams: int = 5
    max_new_tokens: int = 30  # the EOS counts
    min_new_tokens: int = 0  # no EOS before so many tokens
    do_sample: bool = False
    top_k: int = 0  # 0: off
    top_p: float = 1.0
    temperature: float = 1.0
    length_penalty: float = 1.0  # score = logprob / count ** length_penalty
    no_repeat_ngram_size: int = 0  # 0: off
    num_return_sequences: int = 1
    suppress_tokens: tuple[int, ...] = ()  # ids that are never generated
    search: Search = "standard"

    def __post_init__(self) -> None:
        if isinstance(self.suppress_tokens, str) or not isinstance(self.suppress_tokens, Sequence):
            raise ConfigError(f"suppress_tokens={self.suppress_tokens!r}: a list of token ids is allowed")
        object.__setattr__(self, "suppress_tokens", tuple(self.suppress_tokens))
        check_int("max_new_tokens", self.max_new_tokens, 1)
        for name in ("num_beams", "num_return_sequences"):
            check_int(name, getattr(self, name), 1, MAX_HYPOTHESES)
        for name in ("min_new_tokens", "top_k", "no_repeat_ngram_size"):
            check_int(name, getattr(self, name), 0)
        check_bool("do_sample", self.do_sample)
        check_float("top_p", self.top_p, 0.0, 1.0, open_low=True)
        check_float("temperature", self.temperature, 0.0, math.inf, open_low=True)
        check_float("length_penalty", self.length_penalty, -math.inf, math.inf)
        for token in self.suppress_tokens:
            check_int("suppress_tokens", token, 0)
        if self.search not in ("standard", "mime"):
            raise ConfigError(f"search={self.search!r}: 'standard' or 'mime' is allowed")
        object.__setattr__(self, "suppress_tokens", tuple(map(int, self.suppress_tokens)))
        self._check_together()
        self._make_plain()

    def _check_together(self) -> None:
        if self.min_new_tokens >= self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens={self.min_new_tokens}: less than max_new_tokens={self.max_new_tokens} is allowed"
            )
        if self.do_sample and self.num_beams > 1:
            raise ConfigError(f"do_sample=True with num_beams={self.num_beams}: sampling takes num_beams=1")
        if not self.do_sample and self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"num_return_sequences={self.num_return_sequences}: at most num_beams={self.num_beams} is allowed "
                "without do_sample"
            )
        if self.search == "mime":
            allowed = ("num_beams", "max_new_tokens", "min_new_tokens", "num_return_sequences", "search")
            changed = [
                f"{field.name}={getattr(self, field.name)!r}"
                for field in dataclasses.fields(self)
                if field.name not in allowed and getattr(self, field.name) != field.default
            ]
            if changed:
                raise ConfigError(
                    f"search='mime' is the released beam: it takes num_beams, max_new_tokens, min_new_tokens and "
                    "num_return_sequences, "
                    f"not {', '.join(changed)}"
                )
