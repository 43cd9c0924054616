"""What a call is given is checked: a TypeError or ValueError says what came and what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mime_fast import _native
from mime_fast.config.model import MimeConfig
from tests.native.random_models import (
    SMALL,
    native_model,
    options,
    random_dialogues,
    random_tensors,
    running,
)

CONFIG = MimeConfig.paper(50, **SMALL, max_positions=20)
TENSORS = random_tensors(CONFIG)
ASKED = random_dialogues(CONFIG, [3, 1, 5])
IDS, STATES, OFFSETS = ASKED.contexts
SEEDS, REQUEST_IDS, EMOTIONS, STOCHASTIC = ASKED.requests
LOWEST = np.iinfo(np.int64).min


@pytest.fixture(scope="module")
def model() -> _native.Model:
    return native_model(CONFIG, TENSORS)


def changed(array: Any, index: int, value: Any) -> Any:
    copy = array.copy()
    copy[index] = value
    return copy


Errors = type[Exception] | tuple[type[Exception], ...]


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


def refused(message: str, error: Errors = ValueError) -> Any:
    return pytest.raises(error, match=message)


ARRAYS: list[tuple[str, Any, Errors, str]] = [
    ("token_ids", IDS.tolist(), TypeError, "token_ids: must be a numpy array, not list"),
    ("token_ids", IDS.astype(np.int64), TypeError, "token_ids: must be of dtype int32, not int64"),
    ("token_ids", IDS.astype(">i4"), TypeError, "token_ids: must be of dtype int32, not >i4"),
    ("token_ids", np.repeat(IDS, 2)[::2], ValueError, r"token_ids: must be a contiguous array of shape \[sum S\]"),
    ("token_ids", IDS[None], ValueError, "token_ids: must be a contiguous array"),
    ("token_ids", IDS[:-1], ValueError, "state_ids has 12 items; must have 11"),
    ("token_ids", changed(IDS, 4, 50), ValueError, r"token_ids\[4\]=50: must be from 0 to 49"),
    ("token_ids", changed(IDS, 11, -1), ValueError, r"token_ids\[11\]=-1"),
    ("token_ids", np.frombuffer(b"\0" + IDS.tobytes(), np.int32, len(IDS), 1), ValueError, "an aligned array"),
    ("state_ids", changed(STATES, 0, 3), ValueError, r"state_ids\[0\]=3: must be from 4 to 6"),
    ("state_ids", changed(STATES, 0, 7), ValueError, r"state_ids\[0\]=7"),
    ("offsets", int64(), ValueError, "offsets"),
    ("offsets", int64(0), ValueError, "must be offsets from 0 to 12, the number of items"),
    ("offsets", int64(0, 4, 6, 13), ValueError, "offsets from 0 to 12"),
    ("offsets", int64(1, 4, 6, 12), ValueError, "offsets from 0 to 12"),
    ("offsets", int64(0, 6, 4, 12), ValueError, "length 1 of offsets=-2: must be an integer from 2 to 20"),
    ("offsets", int64(0, 1, 6, 12), ValueError, "length 0 of offsets=1: must be an integer from 2 to 20"),
    ("offsets", int64(0, 4, LOWEST, 12), ValueError, "offsets"),
    ("offsets", int64(0, 2**62, 6, 12), ValueError, "offsets"),
    ("offsets", OFFSETS.astype(np.int32), TypeError, "offsets: must be of dtype int64"),
    ("seeds", SEEDS[:2], ValueError, "seeds has 2 items; must have 3"),
    ("seeds", SEEDS.astype(np.int64), TypeError, "seeds: must be of dtype uint64"),
    ("request_ids", REQUEST_IDS[:0], ValueError, "request_ids has 0 items"),
    ("emotions", changed(EMOTIONS, 1, 32), ValueError, r"emotions\[1\]=32: must be from -1 to 31"),
    ("emotions", changed(EMOTIONS, 1, -2), ValueError, r"emotions\[1\]=-2"),
    ("emotions", None, TypeError, "emotions: must be a numpy array, not NoneType"),
    ("stochastic", 1, TypeError, "stochastic: must be True or False"),
    ("stop", [0], TypeError, "stop: must be a numpy array"),
    ("stop", np.zeros(2, np.uint8), ValueError, "stop has 2 items; must have 1"),
    ("stop", np.zeros(1, np.int8), TypeError, "stop: must be of dtype uint8"),
    ("threads", 0, ValueError, "threads=0: must be an integer from 1"),
    ("threads", -1, (TypeError, ValueError), "threads|incompatible"),
    ("threads", 10**6, ValueError, "threads=1000000"),
    ("threads", 1.5, TypeError, "incompatible"),
    ("batch_size", 0, ValueError, "batch_size=0"),
    ("batch_size", 2**63, ValueError, "batch_size"),
    ("batch_size", None, TypeError, "incompatible"),
]
OPTIONS: list[tuple[str, Any, Errors, str]] = [
    ("search", "beam", ValueError, "search='beam'"),
    ("search", 3, (TypeError, ValueError), "search"),
    ("do_sample", 1, TypeError, "do_sample: must be True or False"),
    ("do_sample", True, ValueError, "do_sample: must be False with beams"),
    ("num_beams", 0, ValueError, "num_beams=0: must be an integer from 1 to 10000"),
    ("num_beams", 10_001, ValueError, "num_beams=10001"),
    ("num_beams", 10**30, ValueError, "num_beams"),
    ("num_beams", "5", TypeError, "num_beams: must be an integer, not str"),
    ("num_return_sequences", 6, ValueError, "num_return_sequences: must be at most num_beams"),
    ("max_new_tokens", 0, ValueError, "max_new_tokens=0"),
    ("max_new_tokens", 21, ValueError, "max_new_tokens=21: must be an integer from 1 to 20"),
    ("min_new_tokens", -1, ValueError, "min_new_tokens=-1"),
    ("no_repeat_ngram_size", -1, ValueError, "no_repeat_ngram_size=-1"),
    ("top_k", -1, ValueError, "top_k=-1"),
    ("top_p", 0.0, ValueError, "top_p=0"),
    ("top_p", float("nan"), ValueError, "top_p=nan"),
    ("top_p", "a", TypeError, "top_p"),
    ("temperature", 0.0, ValueError, "temperature=0"),
    ("temperature", float("inf"), ValueError, "temperature=inf"),
    ("length_penalty", float("nan"), ValueError, "length_penalty=nan"),
    ("suppress_tokens", [50], ValueError, "suppress_tokens=50: must be an integer from 0 to 49"),
    ("suppress_tokens", [-1], ValueError, "suppress_tokens=-1"),
    ("suppress_tokens", [2**80], (TypeError, ValueError), "suppress_tokens"),
    ("suppress_tokens", ["a"], TypeError, "suppress_tokens"),
    ("suppress_tokens", [1.5], TypeError, "suppress_tokens"),
    ("suppress_tokens", 3, TypeError, "suppress_tokens"),
    ("suppress_tokens", None, TypeError, "suppress_tokens"),
]
PREFIXES: list[tuple[Any, Errors, str]] = [
    ([[7], [7]], ValueError, "2 prefixes for 3 contexts"),
    ([[7], [7], [50]], ValueError, "prefixes=50: must be an integer from 0 to 49"),
    ([[7], [7], [-1]], ValueError, "prefixes=-1"),
    ([[], [], [2]], ValueError, "prefixes=2"),
    ([[7] * 9, [], []], ValueError, "prefixes: one has 9 tokens; must have fewer than max_new_tokens=9"),
    ([7, 7, 7], TypeError, "prefixes"),
    ([["a"], [], []], TypeError, "prefixes"),
    ([[1.5], [], []], TypeError, "prefixes"),
    ([[None], [], []], TypeError, "prefixes"),
    ([[2**80], [], []], (TypeError, ValueError), "prefixes"),
    ("abc", TypeError, "prefixes"),
    (7, TypeError, "prefixes"),
    ({}, (TypeError, ValueError), "prefixes"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), ARRAYS)
def test_arrays(model: _native.Model, name: str, value: Any, error: Errors, message: str) -> None:
    given: dict[str, Any] = dict(zip(("token_ids", "state_ids", "offsets"), ASKED.contexts, strict=True))
    given |= dict(zip(("seeds", "request_ids", "emotions", "stochastic"), ASKED.requests, strict=True))
    given |= running() | {name: value}
    contexts = given["token_ids"], given["state_ids"], given["offsets"]
    requests = given["seeds"], given["request_ids"], given["emotions"], given["stochastic"]
    run = {key: given[key] for key in ("stop", "threads", "batch_size")}
    with refused(message, error):
        model.generate(contexts, requests, options(max_new_tokens=9), None, **run)
    with refused(message, error):
        model.score(contexts, requests, np.full(3, 2, np.int32), np.arange(4), **run)
    if name not in ("seeds", "request_ids", "emotions", "stochastic"):
        with refused(message, error):
            model.classify(contexts, **run)
        with refused(message, error):
            model.context_vectors(contexts, **run)


@pytest.mark.parametrize(("key", "value", "error", "message"), OPTIONS)
def test_options(model: _native.Model, key: str, value: Any, error: Errors, message: str) -> None:
    with refused(message, error):
        model.generate(ASKED.contexts, ASKED.requests, {**options(max_new_tokens=9), key: value}, None, **running())


@pytest.mark.parametrize("key", options())
def test_missing_options(model: _native.Model, key: str) -> None:
    some = {name: value for name, value in options(max_new_tokens=9).items() if name != key}
    with refused(f"missing key '{key}'"):
        model.generate(ASKED.contexts, ASKED.requests, some, None, **running())


@pytest.mark.parametrize(("prefixes", "error", "message"), PREFIXES)
def test_prefixes(model: _native.Model, prefixes: Any, error: Errors, message: str) -> None:
    with refused(message, error):
        model.generate(ASKED.contexts, ASKED.requests, options(max_new_tokens=9), prefixes, **running())


@pytest.mark.parametrize(
    ("targets", "offsets", "message"),
    [
        (np.full(3, 50, np.int32), np.arange(4), r"targets\[0\]=50: must be from 0 to 49"),
        (np.full(3, -1, np.int32), np.arange(4), r"targets\[0\]=-1"),
        (np.full(2, 2, np.int32), np.arange(4), "offsets from 0 to 2"),
        (np.full(2, 2, np.int32), np.arange(3), "2 targets for 3 contexts"),
        (np.full(3, 2, np.int32), int64(0, 0, 1, 3), "length 0 of target_offsets=0: must be an integer from 1 to 20"),
        (np.full(30, 2, np.int32), int64(0, 21, 29, 30), "length 0 of target_offsets=21"),
        (np.full(3, 2, np.int32), int64(0, 1, LOWEST, 3), "target_offsets"),
    ],
)
def test_targets(model: _native.Model, targets: Any, offsets: Any, message: str) -> None:
    with refused(message):
        model.score(ASKED.contexts, ASKED.requests, targets, offsets, **running())


@pytest.mark.parametrize("count", [0, 2, 4])
def test_tuples_of_another_length(model: _native.Model, count: int) -> None:
    contexts: Any = (IDS, STATES, OFFSETS, OFFSETS)[:count]
    with refused("contexts: "):
        model.classify(contexts, **running())
    with refused("requests: "):
        model.generate(ASKED.contexts, ASKED.requests[:count] * (1 + count // 4), options(), None, **running())
