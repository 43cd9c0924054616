"""Random models and dialogues for the extension, only in numpy: under the sanitizers there is no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from mime_fast import _native
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MODEL_CONFIGS, MimeConfig, ModelConfig, MoelConfig
from mime_fast.emotions import LABELS, NEGATIVE_IDS, POSITIVE_IDS
from mime_fast.text.special import CLS_ID, EOS_ID, PAD_ID, SYS_ID, USR_ID

Tensors = dict[str, npt.NDArray[np.float32]]
GROUPS = np.array(POSITIVE_IDS, np.int32), np.array(NEGATIVE_IDS, np.int32)
KINDS = tuple(MODEL_CONFIGS.values())
PRECISIONS = ("float32", "screened", "bfloat16", "int8")
ALL_ISAS = ("generic", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16", "neon", "neon_dotprod")
ISAS = tuple(isa for isa in ALL_ISAS if _native.why_not(isa) == "")  # those of this machine
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # `make asan`: slower, and memory cannot be limited
SMALL: dict[str, Any] = {"hidden_size": 12, "num_heads": 2, "attention_depth": 8, "ffn_channels": 5}


SHARED_SWITCHES = ("tie_word_embeddings", "speaker_table", "final_relu", "unbiased_norm")
MIME_SWITCHES = ("drop_ctx", "shared_response_encoder", "separate_sigma")


@st.composite
def configs(
    draw: st.DrawFn, max_vocab: int = 2000, max_hidden: int = 320, kind: type[ModelConfig] = MimeConfig
) -> ModelConfig:
    """Odd sizes, every switch."""
    heads = draw(st.integers(1, 5))
    make = kind.paper if draw(st.booleans()) else kind.released
    switches = SHARED_SWITCHES + (MIME_SWITCHES if kind is MimeConfig else ())
    changed: dict[str, Any] = draw(st.dictionaries(st.sampled_from(switches), st.booleans()))
    if kind is MimeConfig:
        grouping = draw(st.booleans())
        changed |= {"emotion_grouping": grouping, "emotion_mimicry": grouping and draw(st.booleans())}
    if kind is MoelConfig:
        changed["top_listeners"] = draw(st.integers(1, len(LABELS)))
    return make(
        draw(st.integers(7, max_vocab)),
        hidden_size=2 * draw(st.integers(2, max_hidden // 2)),
        num_layers=draw(st.integers(1, 3)),
        context_layers=draw(st.integers(0, 3)),
        num_heads=heads,
        attention_depth=heads * draw(st.integers(1, 21)),
        ffn_channels=draw(st.integers(1, 70)),
        max_positions=draw(st.integers(12, 40)),
        **changed,
    )


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """What the extension reads of a model's tensors."""
    size, depth, channels = config.hidden_size, config.attention_depth, config.ffn_channels
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, outputs: int, inputs: int, *kernel: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, *kernel)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)

    def layer(name: str, attentions: tuple[str, ...]) -> None:
        for each in ("ffn", *attentions):
            norm(f"{name}.norm_{each}")
        for attention in attentions:
            for part in ("query", "key", "value"):
                linear(f"{name}.{attention}.{part}", depth, size, bias=False)
            linear(f"{name}.{attention}.output", size, depth, bias=False)
        linear(f"{name}.ffn.conv1", channels, size, 3)
        linear(f"{name}.ffn.conv2", size, channels, 3)

    def layers(name: str, attentions: tuple[str, ...], count: int = config.num_layers) -> None:
        for i in range(count):
            layer(f"{name}.layers.{i}", attentions)
        norm(f"{name}.norm")

    in_decoder = "self_attention", "memory_attention"
    linear("word_embedding", config.vocab_size, size, bias=False)
    if config.speaker_table:
        linear("speaker_embedding", 3, size, bias=False)
    linear("context_encoder.projection", size, size, bias=False)
    layers("context_encoder", ("attention",), config.num_context_layers)
    if isinstance(config, MimeConfig):
        linear("emotion_query", size, size, bias=False)
        linear("emotion_embedding", len(LABELS), size, bias=False)
        linear("prior.fc_sample", size, size)
        counts = {"positive": len(POSITIVE_IDS), "negative": len(NEGATIVE_IDS)}
        for group, count in counts.items() if config.emotion_grouping else [("all", len(LABELS))]:
            linear(f"prior.fc_mu.{group}", size, size)
            linear(f"prior.fc_sigma.{group}", size, size)
            linear(f"prior.fc_d.{group}", count, size)
        for i in range(1 if config.shared_response_encoder else 2):
            linear(f"response_encoders.{i}.projection", size, 2 * size, bias=False)
            layers(f"response_encoders.{i}", ("attention",))
        linear("fusion.fc_contrib", 2 * size, 2 * size)
        linear("fusion.fc_fused", size, 2 * size)
    else:
        linear("emotion_key", len(LABELS), size, bias=False)
    linear("decoder.projection", size, size, bias=False)
    if isinstance(config, MoelConfig):
        layer("decoder.shared_listener", in_decoder)
        for i in range(len(LABELS)):
            layer(f"decoder.listeners.{i}", in_decoder)
    layers("decoder", in_decoder)
    linear("fc_decode", config.vocab_size, size)
    return shapes


def random_tensors(config: ModelConfig, seed: int = 0, *, logits: float = 2.0, eos: float = 0.0) -> Tensors:
    """Weights that keep the size of what passes through; logits of deviation `logits`, EOS raised by `eos`.

    A baseline's emotion logits deviate by 2, so that some listeners of MoEL weigh next to nothing.
    """
    source = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, shape in tensor_shapes(config).items():
        numbers = source.standard_normal(shape, np.float32)
        if len(shape) > 1:
            numbers *= np.float32(np.prod(shape[1:]) ** -0.5)
        elif "norm" in name and name.endswith("weight"):
            numbers = 1 + np.float32(0.3) * numbers
        else:
            numbers *= np.float32(0.3)
        tensors[name] = numbers * np.float32(logits) if name == "fc_decode.weight" else numbers
    if config.tie_word_embeddings:
        tensors["word_embedding.weight"] = tensors["fc_decode.weight"]
    if "emotion_key.weight" in tensors:
        tensors["emotion_key.weight"] *= np.float32(2.0)
    tensors["fc_decode.bias"][EOS_ID] += np.float32(eos)
    return tensors


def native_config(config: ModelConfig) -> dict[str, Any]:
    """As the extension takes it."""
    return {"model_type": config.model_type, **config.to_dict()}


def native_model(config: ModelConfig, tensors: Tensors, precision: str = "float32", isa: str = "auto") -> _native.Model:
    return _native.Model(native_config(config), GROUPS, tensors, precision, isa)


@dataclass(frozen=True)
class Asked:
    """Dialogues and what their response emotions are drawn from, as the extension takes them."""

    token_ids: npt.NDArray[np.int32]
    state_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.uint64]
    request_ids: npt.NDArray[np.uint64]
    emotions: npt.NDArray[np.int32]
    stochastic: bool = True

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def contexts(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        return self.token_ids, self.state_ids, self.offsets

    @property
    def requests(self) -> tuple[Any, ...]:
        return self.seeds, self.request_ids, self.emotions, self.stochastic

    def only(self, which: list[int]) -> Asked:
        """Some of the dialogues, in any order."""
        places = np.concatenate([np.arange(self.offsets[i], self.offsets[i + 1]) for i in which] or [np.zeros(0, int)])
        lengths = np.diff(self.offsets)[which]
        return replace(
            self,
            token_ids=self.token_ids[places],
            state_ids=self.state_ids[places],
            offsets=np.concatenate([[0], lengths.cumsum()]).astype(np.int64),
            seeds=self.seeds[which],
            request_ids=self.request_ids[which],
            emotions=self.emotions[which],
        )


def random_dialogues(
    config: ModelConfig, words: list[int], seed: int = 0, *, pads: bool = False, stochastic: bool = True
) -> Asked:
    """Contexts of so many words, two turns where there is room, every third with an emotion given.

    pads: some of the words are PAD, the first of a context never.
    """
    source = np.random.default_rng(seed)
    ids, states = [], []
    for count in words:
        context = source.integers(0, config.vocab_size, count)
        context[context == PAD_ID] = EOS_ID
        if pads:
            context[1:][source.random(count - 1) < 0.3] = PAD_ID
        said = np.where(np.arange(count) <= count // 2, USR_ID, SYS_ID)
        ids.append(np.concatenate([[CLS_ID], context]))
        states.append(np.concatenate([[CLS_ID], said]))
    empty = [np.zeros(0, int)]
    emotions = np.where(np.arange(len(words)) % 3 == 2, source.integers(0, len(LABELS), len(words)), -1)
    return Asked(
        np.concatenate(ids or empty).astype(np.int32),
        np.concatenate(states or empty).astype(np.int32),
        np.cumsum([0, *(count + 1 for count in words)]).astype(np.int64),
        source.integers(0, 2**64, len(words), np.uint64, endpoint=False),
        np.arange(len(words), dtype=np.uint64),
        emotions.astype(np.int32),
        stochastic,
    )


def running(threads: int = 1, batch_size: int = 64) -> dict[str, Any]:
    return {"stop": None, "threads": threads, "batch_size": batch_size}


def options(**changes: Any) -> dict[str, Any]:
    """The keys of a GenerationConfig."""
    return GenerationConfig(**changes).to_search()


def tokens_of(replies: Any) -> list[list[int]]:
    """Tokens of all replies, EOS included, of what `Model.generate` and `search` return."""
    ends = replies[1].cumsum()
    return [replies[2][end - length : end].tolist() for end, length in zip(ends, replies[1], strict=True)]
