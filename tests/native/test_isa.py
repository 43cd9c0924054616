"""Every instruction set of this machine computes the same in every precision, and what it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mime_fast import _native
from mime_fast.config.model import MimeConfig
from tests.native.random_models import (
    ALL_ISAS,
    ISAS,
    PRECISIONS,
    SMALL,
    Asked,
    native_model,
    random_dialogues,
    random_tensors,
    running,
)
from tests.parity import SCREENED_BOUND

Floats = npt.NDArray[np.float64]
KERNEL_BOUND = 4e-5  # twice sqrt(320) roundings, 1e-6 each, of sums of up to 320 products that reach 20
# Of the normaliser: what csrc/cpu/body/math.h says of its terms, or its approximate tail.
NORMALISER_ERROR = {"float32": 7.5e-8, "screened": SCREENED_BOUND, "bfloat16": 2.6e-6, "int8": 7.5e-5}
# Largest difference between instruction sets, whose float32 sums have another order. In bfloat16 and int8 it is that of
# a rounding which falls the other way; that happens to few tokens.
ISA_BOUNDS = {"float32": 2e-5, "screened": SCREENED_BOUND, "bfloat16": 0.03, "int8": 0.1}
MEDIAN_BOUND = 2e-5


def exactly(x: npt.NDArray[np.float32]) -> Floats:
    return x.astype(float)


def bfloat16(x: npt.NDArray[np.float32]) -> Floats:
    """Rounded to nearest, ties to even."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(float)


def heaviest_four(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Largest sum of four magnitudes whose products some instruction sets add in 16 bits, of each row."""
    eights = np.pad(np.abs(weight), ((0, 0), (0, -weight.shape[1] % 8))).reshape(len(weight), -1, 8)
    first, second, third, fourth = (eights[..., [i, i + 2]] for i in (0, 1, 4, 5))
    fours: npt.NDArray[np.float32] = first + second + third + fourth
    heaviest: npt.NDArray[np.float32] = fours.max(axis=(1, 2))[:, None]
    return heaviest


def int8(x: npt.NDArray[np.float32]) -> Floats:
    """Rows in steps of their largest value / 127; a step is a float32."""
    return in_steps(x, np.abs(x).max(axis=-1, keepdims=True) / np.float32(127))


def int8_weights(weight: npt.NDArray[np.float32]) -> Floats:
    """Rows in steps so large that four products fit in 16 bits: 252 and what rounding and signs add, times 127."""
    largest = np.abs(weight).max(axis=-1, keepdims=True) / np.float32(127)
    return in_steps(weight, np.maximum(largest, heaviest_four(weight) / np.float32(252)))


def in_steps(x: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]) -> Floats:
    steps = np.clip(np.rint(x / np.where(scale > 0, scale, 1)), -127, 127)
    rounded: Floats = steps.astype(float) * scale.astype(float)
    return rounded


ROUNDED = {"float32": exactly, "screened": exactly, "bfloat16": bfloat16, "int8": int8}
ROUNDED_WEIGHTS = {**ROUNDED, "int8": int8_weights}


def linear(precision: str, weight: Any, x: Any, bias: Any) -> Floats:
    """W x + b of one vector, exact but for the rounding of W and x."""
    out: Floats = ROUNDED_WEIGHTS[precision](weight) @ ROUNDED[precision](x[None])[0] + bias.astype(float)
    return out


def with_known_output(tensors: dict[str, Any], norm: str, seed: int) -> npt.NDArray[np.float32]:
    """Make a norm's output its bias, whatever it is given; returns the bias."""
    tensors[f"{norm}.weight"][:] = 0
    numbers = np.random.default_rng(seed).standard_normal(len(tensors[f"{norm}.bias"]), np.float32)
    tensors[f"{norm}.bias"][:] = numbers
    return numbers


@settings(max_examples=40, deadline=None)
@given(
    vocab_size=st.integers(7, 2500),
    half=st.integers(2, 160),
    precision=st.sampled_from(PRECISIONS),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_the_vocabulary_projection(vocab_size: int, half: int, precision: str, threads: int, seed: int) -> None:
    config = MimeConfig.paper(vocab_size, **{**SMALL, "hidden_size": 2 * half})
    tensors = random_tensors(config, seed, logits=3.0)
    out = with_known_output(tensors, "decoder.norm", seed + 1)
    logits = linear(precision, tensors["fc_decode.weight"], out, tensors["fc_decode.bias"])
    expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    asked = random_dialogues(config, [3], seed)
    targets = np.random.default_rng(seed).permutation(vocab_size)[:900].astype(np.int32)
    targets[:3] = np.argmax(logits), np.argmin(logits), vocab_size - 1
    for isa in ISAS:
        model = native_model(config, tensors, precision, isa)
        ends = np.array([0, len(targets)])
        _, found = model.score(asked.contexts, asked.requests, targets, ends, **running(threads))
        differences = expected[targets] - expected[targets[0]]
        np.testing.assert_allclose(found - found[0], differences, rtol=0, atol=KERNEL_BOUND, err_msg=isa)
        assert abs(found[0] - expected[targets[0]]) <= KERNEL_BOUND + NORMALISER_ERROR[precision], isa


@settings(max_examples=25, deadline=None)
@given(half=st.integers(2, 160), precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 2**32))
def test_a_matrix_product(half: int, precision: str, seed: int) -> None:
    """Of the gate (eq. 25), whose mean is returned."""
    config = MimeConfig.released(20, **{**SMALL, "hidden_size": 2 * half})
    tensors = random_tensors(config, seed)
    both = np.concatenate([with_known_output(tensors, f"response_encoders.{i}.norm", seed + i) for i in range(2)])
    weight, bias = tensors["fusion.fc_contrib.weight"], tensors["fusion.fc_contrib.bias"]
    gate = 1 / (1 + np.exp(-linear(precision, weight, both, bias)))
    mimic, other = gate[: 2 * half].mean(), gate[2 * half :].mean()
    asked = random_dialogues(config, [1, 5, 9], seed)
    for isa in ISAS:
        outputs, _ = score_nothing(native_model(config, tensors, precision, isa), asked)
        np.testing.assert_allclose(outputs[3], mimic / (mimic + other), rtol=0, atol=KERNEL_BOUND, err_msg=isa)


@pytest.mark.parametrize("weights", ["equal", "alternating", "one far out", "all rounded up"])
def test_the_largest_int8_products(weights: str) -> None:
    """Nothing saturates where an instruction set adds products in 16 bits, whatever the signs."""
    size = 300
    config = MimeConfig.paper(40, **{**SMALL, "hidden_size": size})
    tensors = random_tensors(config, 0)
    tensors["decoder.norm.weight"][:] = 0
    weight = tensors["fc_decode.weight"]
    for word in range(40):
        rows: dict[str, Any] = {"equal": 0.01, "alternating": 0.01 * (-1) ** (np.arange(size) // (word + 1))}
        weight[word] = rows.get(weights, 0.001)
        if weights == "all rounded up":  # 252 steps in four weights, 254 when they are whole
            weight[word] = np.resize([61.5, 63.5, 61.5, 63.5, 63.5, 63.5, 63.5, 63.5], size) / np.float32(2**13)
        if weights == "one far out":
            weight[word, word * 7] = 0.9
    weight[::3] *= -1
    asked, ends = random_dialogues(config, [3]), np.array([0, 40])
    for signs in (1.0, -1.0, (-1.0) ** np.arange(size), (-1.0) ** (np.arange(size) // 2)):
        tensors["decoder.norm.bias"][:] = signs
        logits = linear("int8", weight, tensors["decoder.norm.bias"], tensors["fc_decode.bias"])
        for isa in ISAS:
            model = native_model(config, tensors, "int8", isa)
            _, found = model.score(asked.contexts, asked.requests, np.arange(40, dtype=np.int32), ends, **running())
            np.testing.assert_allclose(found - found[0], logits - logits[0], rtol=0, atol=KERNEL_BOUND, err_msg=isa)


def score_nothing(model: _native.Model, asked: Asked) -> Any:
    targets = np.full(len(asked), 2, np.int32), np.arange(len(asked) + 1)
    return model.score(asked.contexts, asked.requests, *targets, **running())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_whole_models(precision: str) -> None:
    config = MimeConfig.paper(3001, hidden_size=62, num_heads=3, attention_depth=33, ffn_channels=21)
    tensors = random_tensors(config, 1)
    asked = random_dialogues(config, [1, 40, 8, 17, 33, 2, 90], 3, pads=True)
    lengths = [5, 1, 30, 12, 16, 17, 8]
    targets = np.random.default_rng(0).integers(0, 3001, sum(lengths)).astype(np.int32)
    ends = np.cumsum([0, *lengths])
    found = [
        native_model(config, tensors, precision, isa).score(asked.contexts, asked.requests, targets, ends, **running(2))
        for isa in ISAS
    ]
    (logits, mimicked, weights, share), log_probs = found[0]
    for outputs, others in found[1:]:
        for one, other in ((log_probs, others), (logits, outputs[0]), (weights, outputs[2]), (share, outputs[3])):
            assert one is not None and other is not None
            np.testing.assert_allclose(other, one, rtol=0, atol=ISA_BOUNDS[precision])
            assert np.median(np.abs(other - one)) <= MEDIAN_BOUND
        assert np.array_equal(outputs[1], mimicked)


def test_the_best_one_is_chosen() -> None:
    config = MimeConfig.paper(20, **SMALL)
    assert native_model(config, random_tensors(config)).isa == ISAS[-1]
    for isa in ISAS:
        assert native_model(config, random_tensors(config), isa=isa).isa == isa


def test_impossible_and_unknown_ones() -> None:
    config = MimeConfig.paper(20, **SMALL)
    for isa in ("", "AVX2", "avx10", "NEON"):
        with pytest.raises(ValueError, match=f"isa='{isa}' is not known"):
            native_model(config, random_tensors(config), isa=isa)
        with pytest.raises(ValueError, match=f"isa='{isa}' is not known"):
            _native.why_not(isa)
    for isa in set(ALL_ISAS) - set(ISAS):
        why = _native.why_not(isa)
        with pytest.raises(ValueError, match=f"isa='{isa}' cannot run: {why}"):
            native_model(config, random_tensors(config), isa=isa)
