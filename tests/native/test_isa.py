"""Every instruction set of this machine computes the same in every precision, and what it should."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mime_fast import _native, _native_dev
from mime_fast.config.model import MimeConfig
from tests.native.int8 import activations_in_steps, has_full_range, in_steps, weight_scale
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


def bfloat16(x: npt.NDArray[np.float32]) -> Floats:
    """Rounded to nearest, ties to even."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(float)


def rounded(precision: str, x: npt.NDArray[np.float32], isa: str) -> Floats:
    """Activations as products take them."""
    if precision == "int8":
        return activations_in_steps(x, isa)
    return bfloat16(x) if precision == "bfloat16" else x.astype(float)


def rounded_weight(precision: str, weight: npt.NDArray[np.float32], isa: str) -> Floats:
    return in_steps(weight, weight_scale(weight, isa)) if precision == "int8" else rounded(precision, weight, isa)


def linear(precision: str, weight: Any, x: Any, bias: Any, isa: str) -> Floats:
    """W x + b of one vector, exact but for the rounding of W and x."""
    out: Floats = rounded_weight(precision, weight, isa) @ rounded(precision, x[None], isa)[0] + bias.astype(float)
    return out


def vocabulary(precision: str, weight: Any, x: Any, bias: Any, isa: str) -> Floats:
    """The same of a projection to the vocabulary: int8 rounds what words have beside the direction that they share."""
    if precision != "int8":
        return linear(precision, weight, x, bias, isa)
    axis = _native_dev.leading_axis(weight).astype(float)
    loading = (weight @ axis).astype(np.float32).astype(float)
    rest = (weight - loading[:, None] * axis).astype(np.float32)
    out: Floats = linear(precision, rest, x, bias, isa) + loading * (axis @ x)
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
    weight, bias = tensors["fc_decode.weight"], tensors["fc_decode.bias"]
    asked = random_dialogues(config, [3], seed)
    targets = np.random.default_rng(seed).permutation(vocab_size)[:900].astype(np.int32)
    exact = weight @ out + bias
    targets[:3] = np.argmax(exact), np.argmin(exact), vocab_size - 1
    for isa in ISAS:
        logits = vocabulary(precision, weight, out, bias, isa)
        expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
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
    asked = random_dialogues(config, [1, 5, 9], seed)
    for isa in ISAS:
        gate = 1 / (1 + np.exp(-linear(precision, weight, both, bias, isa)))
        mimic, other = gate[: 2 * half].mean(), gate[2 * half :].mean()
        outputs, _ = score_nothing(native_model(config, tensors, precision, isa), asked)
        np.testing.assert_allclose(outputs[3], mimic / (mimic + other), rtol=0, atol=KERNEL_BOUND, err_msg=isa)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 330), st.integers(1, 15)),
    precision=st.sampled_from([each for each in PRECISIONS if each != "screened"]),
    seed=st.integers(0, 2**32),
)
@example(shape=(1, 197, 1), precision="int8", seed=230)  # a quotient just above a half, whose product is just below
def test_products_of_all_shapes(shape: tuple[int, int, int], precision: str, seed: int) -> None:
    outputs, inputs, rows = shape
    source = np.random.default_rng(seed)
    weight, x = (source.standard_normal((each, inputs), np.float32) for each in (outputs, rows))
    for isa in ISAS:
        expected = rounded(precision, x, isa) @ rounded_weight(precision, weight, isa).T
        found = _native_dev.product(precision, weight, x, isa)
        np.testing.assert_allclose(found, expected, rtol=4e-6, atol=KERNEL_BOUND, err_msg=isa)  # partial sums grow, too


@pytest.mark.parametrize("weights", ["equal", "alternating", "one far out", "all rounded up"])
def test_the_largest_int8_products(weights: str) -> None:
    """Nothing saturates where an instruction set adds products in 16 bits, whatever the signs."""
    size = 300
    weight = np.full((40, size), 0.001, np.float32)
    for word in range(40):
        if weights == "alternating":
            weight[word] *= (-1) ** (np.arange(size) // (word + 1))
        if weights == "all rounded up":  # 166 steps in eight weights, 170 when they are whole
            pairs = np.reshape([21.5] * 5 + [19.5] * 3, (4, 1, 2)).repeat(2, axis=1)
            weight[word] = np.resize(pairs, size) / np.float32(2**13)
        if weights == "one far out":
            weight[word, word * 7] = 0.9
    weight[::3] *= -1
    for signs in (np.ones(size), -np.ones(size), (-1.0) ** np.arange(size), (-1.0) ** (np.arange(size) // 2)):
        x = signs.astype(np.float32)[None]
        for isa in ISAS:
            expected = rounded("int8", x, isa) @ rounded_weight("int8", weight, isa).T
            found = _native_dev.product("int8", weight, x, isa)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=isa)


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
    first: dict[bool, Any] = {}
    for isa in ISAS:
        model = native_model(config, tensors, precision, isa)
        found = model.score(asked.contexts, asked.requests, targets, ends, **running(2))
        # int8, which `screened` has too, has two forms.
        form = precision in ("int8", "screened") and has_full_range(isa)
        outputs, log_probs = first.setdefault(form, found)
        for i in (0, 2, 3):
            check_near(found[0][i], outputs[i], ISA_BOUNDS[precision])
        check_near(found[1], log_probs, ISA_BOUNDS[precision])
        assert np.array_equal(found[0][1], outputs[1])


def check_near(found: Any, expected: Any, bound: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)
    assert np.median(np.abs(found - expected)) <= MEDIAN_BOUND


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
