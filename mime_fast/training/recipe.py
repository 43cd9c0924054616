"""What a training run is made of: the stages of a TOML file, checked."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self, get_args

from mime_fast.checkpoints.model_folder import check_generation
from mime_fast.config.checks import MAX_SEED, Config, check_bool, check_float, check_int, check_path
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import ModelConfig, config_class
from mime_fast.errors import ConfigError, DataError

Schedule = Literal["noam", "cosine", "constant"]
ExtraPairs = Literal["speaker_turns", "situations"]
REMOVED = "risk_gain", "reply_length"  # keys of mime_fast 0.3.0
TEACHER_STEPS = "encoder_teacher_steps", "sentence_teacher_steps"
EXTRA_PAIRS: tuple[ExtraPairs, ...] = get_args(ExtraPairs)


@dataclass(frozen=True)
class Stage(Config):
    """Every choice of a stage. The defaults are plain; recipes/ has the ones that were used."""

    model_type: str = "mime"  # or a baseline: "multi-tr", "moel"
    preset: Literal["paper", "released"] = "paper"
    model: dict[str, Any] = field(default_factory=dict)  # switches of the model's config that differ from the preset
    generation: dict[str, Any] = field(default_factory=dict)  # options written to generation_config.json
    min_count: int = 1  # rarer words become UNK
    max_words: int = 0  # 0: all
    vocabulary_splits: Literal["train", "all"] = "train"  # "all": dev and test words as well, the released way
    extra_epochs: dict[ExtraPairs, int] = field(default_factory=dict)  # how many epochs, from the first, have them
    word_dropout: float = 0.0  # share of the context's words that training reads as UNK
    batch_size: int = 16
    max_epochs: int = 30
    max_steps: int = 0  # 0: no limit
    schedule: Schedule = "noam"
    learning_rate: float = 1e-3  # the peak; unused by "noam"
    encoder_rate: float = 1.0  # share of the rate for what L_cls reaches: a start keeps what it knows
    warmup_steps: int = 8000
    betas: tuple[float, float] = (0.9, 0.98)
    epsilon: float = 1e-9
    weight_decay: float = 0.0
    max_grad_norm: float = 0.0  # 0: no clipping
    label_smoothing: float = 0.0
    emotion_smoothing: float = 0.0  # label smoothing of L_cls
    emotion_teacher: float = 0.0  # share of L_cls that a linear classifier gives (training/emotion_teacher.py)
    encoder_teacher_steps: int = 0  # of MIME's own encoder beside it, a fold (training/encoder_teacher.py); 0: none
    sentence_teacher_steps: int = 0  # of a sentence encoder, a fold (training/sentence_teacher.py); 0: none
    bfloat16_projection: bool = False  # of the decoder's output on the vocabulary, in training only
    alpha: float = 1.0  # weight of L_cls, eq. 32
    beta: float = 1.0  # weight of the ELBOs
    gamma: float = 1.0  # weight of L_resp
    mixture_weight: float = 0.0  # of -log d_g[e] for the labelled emotion e, a term that eq. 32 lacks
    risk_weight: float = 0.0  # of its own replies' expected loss, another such term (training/risk.py)
    reranker_contexts: int = 0  # that a reranker learns from after the stage (training/reranker.py); 0: none
    rating_epochs: int = 0  # of the reranker over rated replies, after that (rated_replies.py); 0: none
    gold_listener_steps: int = 0  # of MoEL: the decay of its oracle's chance (training/schedule.py); 0: no oracle
    kl_warmup_steps: int = 0  # steps in which the KL term's weight grows from 0 to 1
    calibrate: bool = False  # scale the logits of what is evaluated and saved (training/calibration.py)
    ema_decay: float = 0.0  # of the averaged weights that are evaluated and saved; 0: the weights themselves
    eval_every_steps: int = 1000
    min_steps: int = 0  # nothing is kept, nor patience lost, before
    patience: int = 3  # evaluations without a better PPL before the run ends
    seed: int = 1234

    @classmethod
    def from_dict(cls, values: dict[str, Any], *, where: str = "config") -> Self:
        """As every config's; what became of a key that was removed is said, too."""
        if isinstance(values, Mapping):
            _check_removed(values, where)
        return super().from_dict(values, where=where)

    def __post_init__(self) -> None:
        self._check_kinds()
        for name in ("batch_size", "max_epochs", "eval_every_steps", "patience", "min_count"):
            check_int(name, getattr(self, name), 1)
        for name in (
            "max_words",
            "max_steps",
            "kl_warmup_steps",
            "gold_listener_steps",
            "reranker_contexts",
            "rating_epochs",
            *TEACHER_STEPS,
        ):
            check_int(name, getattr(self, name), 0)
        check_int("min_steps", self.min_steps, 0)
        check_int("seed", self.seed, 0, MAX_SEED)
        check_int("warmup_steps", self.warmup_steps, 1)
        check_float("encoder_rate", self.encoder_rate, 0.0, 1.0)
        for name in ("learning_rate", "epsilon"):
            check_float(name, getattr(self, name), 0.0, 1.0, open_low=True)
        weights = "alpha", "beta", "gamma", "mixture_weight", "risk_weight"
        for name in (*weights, "weight_decay", "max_grad_norm"):
            check_float(name, getattr(self, name), 0.0, 1e6)
        for name in ("label_smoothing", "emotion_smoothing", "emotion_teacher", "word_dropout", "ema_decay"):
            check_float(name, getattr(self, name), 0.0, 0.99999)
        for name, allowed in (
            ("preset", ("paper", "released")),
            ("schedule", ("noam", "cosine", "constant")),
            ("vocabulary_splits", ("train", "all")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}={getattr(self, name)!r}: must be {' or '.join(map(repr, allowed))}")
        for kind, epochs in self.extra_epochs.items():
            if kind not in EXTRA_PAIRS:
                raise ConfigError(f"extra_epochs of {kind!r}: must be {' or '.join(map(repr, EXTRA_PAIRS))}")
            check_int(f"extra_epochs of {kind!r}", epochs, 1, self.max_epochs)
        if self.risk_weight and self.extra_epochs:
            raise ConfigError(f"risk_weight={self.risk_weight} with extra_epochs: must be without them")
        for name in ("bfloat16_projection", "calibrate"):
            check_bool(name, getattr(self, name))
        if self.calibrate and self.classifier_alone:
            raise ConfigError("calibrate=true in a stage that decodes nothing: it must learn from responses")
        if self.encoder_teacher_steps and not self.emotion_teacher:
            raise ConfigError(
                f"encoder_teacher_steps={self.encoder_teacher_steps} with emotion_teacher=0: it must be above 0"
            )
        for name in ("risk_weight", "reranker_contexts"):
            if getattr(self, name) and not self.sentence_teacher_steps:
                raise ConfigError(f"{name}={getattr(self, name)} with sentence_teacher_steps=0: it must be above 0")
        if self.rating_epochs and not self.reranker_contexts:
            raise ConfigError(f"rating_epochs={self.rating_epochs} with reranker_contexts=0: it must be above 0")
        if self.sentence_teacher_steps and not (self.emotion_teacher or self.risk_weight or self.reranker_contexts):
            raise ConfigError(
                f"sentence_teacher_steps={self.sentence_teacher_steps} with neither emotion_teacher nor risk_weight"
                " nor reranker_contexts: one of them must be asked for"
            )
        config = self.model_config(7)
        only_mime = ("beta", "mixture_weight") if self.model_type == "mime" else ()
        learnt = "alpha", "gamma", "risk_weight", *only_mime
        if not any(getattr(self, name) for name in learnt):
            raise ConfigError(f"{', '.join(f'{name}=0' for name in learnt)}: one of them must be above 0")
        options = GenerationConfig.from_dict(self.generation, where="generation")
        try:
            check_generation(options.replace(suppress_tokens=()), config)  # how many words there are is not yet known
        except ConfigError as error:
            raise ConfigError(f"generation: {error}") from None
        if self.reranker_contexts and not options.do_sample:
            raise ConfigError(
                f"reranker_contexts={self.reranker_contexts} without do_sample=true in generation: it must be there"
            )
        self._make_plain()

    def _check_kinds(self) -> None:
        """Lists and tables are such; what is in them is made Python's own, as run.json has it."""
        if not isinstance(self.betas, list | tuple) or len(self.betas) != 2:
            raise ConfigError(f"betas={self.betas!r}: must be a list of two numbers")
        for beta in self.betas:
            check_float("betas", beta, 0.0, 0.999999)
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))
        for name in ("model", "generation", "extra_epochs"):
            table = getattr(self, name)
            if not isinstance(table, dict):
                raise ConfigError(f"{name}={table!r}: must be a table of keys with their values")
            object.__setattr__(self, name, {key: _plain(value) for key, value in table.items()})

    @property
    def classifier_alone(self) -> bool:
        """Whether nothing but L_cls has a weight, so that no response is decoded."""
        of_mime = self.beta, self.mixture_weight
        return not any((self.gamma, self.risk_weight, *(of_mime if self.model_type == "mime" else ())))

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; `max_steps` cuts teachers' steps, reranker contexts and rating epochs."""
        most = changes.get("max_steps", 0)
        check_int("max_steps", most, 0)
        several = *TEACHER_STEPS, "reranker_contexts", "rating_epochs"
        cut = {name: min(getattr(self, name), most or getattr(self, name)) for name in several}
        return super().replace(**(cut | changes))

    def model_config(self, vocab_size: int) -> ModelConfig:
        """The model's config for a vocabulary."""
        kind = config_class(self.model_type)
        make = kind.paper if self.preset == "paper" else kind.released
        known = kind.paper(7).to_dict().keys() - {"vocab_size", "preset"}
        unknown = sorted(self.model.keys() - known)
        if unknown:
            raise ConfigError(
                f"model: unknown key {', '.join(map(repr, unknown))}; must be one of {', '.join(sorted(known))}"
            )
        return make(vocab_size, **self.model)


def _check_removed(values: Mapping[str, object], where: str) -> None:
    """ConfigError where a key is of the risk in BLEU, or chooses the only risk there is."""
    for name in REMOVED:
        if (name, values.get(name)) == ("risk_gain", "answer"):
            raise ConfigError(f"{where}: risk_gain='answer': must be left out; the risk of answers is the only one")
        if name in values:
            raise ConfigError(
                f"{where}: {name}={values[name]!r}: was removed with the risk in BLEU after mime_fast 0.3.0, "
                "which still has both"
            )


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers of other libraries as Python's own, tuples as lists."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Real) and not isinstance(value, bool | int | float):
        return int(value) if isinstance(value, Integral) else float(value)
    return value


def read_recipe(path: str | os.PathLike[str]) -> list[Stage]:
    """The stages of a recipe, a TOML file, in order.

    Keys above the first `[[stage]]` are of all stages; a stage's own key takes the place of the shared one, a table as
    a whole. A file without `[[stage]]` is one stage.

    Raises:
        DataError: the file is missing or not TOML;
        ConfigError: a value in it is not allowed, or stages do not fit; `path` is no path.
    """
    check_path("path", path)
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path}: not a readable recipe ({error})") from None
    if "start" in values:
        raise ConfigError(f"{path}: [start] is an older form of recipes; [[stage]] tables in order are expected")
    tables = values.pop("stage", [{}])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{path}: stage={tables!r:.60}: must be [[stage]] tables")
    count = len(tables)
    where = [f"{path}, stage {number}" if count > 1 else str(path) for number in range(1, count + 1)]
    stages = [Stage.from_dict(values | table, where=place) for table, place in zip(tables, where, strict=True)]
    try:
        check_stages(stages)
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from None
    return stages


def check_stages(stages: Sequence[Stage]) -> None:
    """ConfigError where something is no stage, or a stage cannot go on from the one before.

    Its model or vocabulary is another one, or nothing is before it.
    """
    if not isinstance(stages, list | tuple) or not all(isinstance(stage, Stage) for stage in stages):
        raise ConfigError(f"stages={stages!r:.80}: must be a list of Stage, as read_recipe returns it")
    if not stages:
        raise ConfigError("a recipe without stages: must have one or more")
    if stages[0].risk_weight:
        raise ConfigError(
            f"stage 1: risk_weight={stages[0].risk_weight} needs a stage before it, whose beams are learnt from"
        )
    for number, (before, stage) in enumerate(pairwise(stages), start=2):
        words = ("min_count", "max_words", "vocabulary_splits")
        if any(getattr(before, name) != getattr(stage, name) for name in words):
            raise ConfigError(f"stage {number}: its vocabulary is another one; {', '.join(words)} must be as before")
        if before.model_config(7).replace(dropout=0.0) != stage.model_config(7).replace(dropout=0.0):
            raise ConfigError(f"stage {number}: its model is another one; all but dropout must be as before")
