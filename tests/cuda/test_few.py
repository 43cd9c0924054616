"""Calls of few searches: the same results by few graphs, and steps after the end that change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mime_fast.backends.gpu import backend as backend_module
from mime_fast.backends.gpu import few, packing
from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.session import Session
from mime_fast.config.generation import GenerationConfig
from mime_fast.errors import BackendError, ConfigError
from mime_fast.kernels.select import plain_ops
from tests.cuda.beam_case import all_of
from tests.cuda.device_case import DeviceCase, device_backend, torch_mime
from tests.cuda.no_reads import FakeGraphs
from tests.cuda.test_cuda_loop import CONFIG, TENSORS, WAYS, assert_alike, every_way
from tests.native import test_backend_errors as errors
from tests.native.parity_case import parts
from tests.native.random_models import Asked, random_dialogues, random_tensors

PREFIXES: list[list[int]] = [[], [7], [7, 8, 9], [], [11]]
CALLS = (range(1), range(1, 2), range(2, 5), range(5))  # dialogues: batches of one width and of two


@pytest.fixture(scope="module")
def asked() -> Asked:
    return random_dialogues(CONFIG, [9, 1, 17, 5, 33], 4, pads=True)


def fake() -> tuple[CudaBackend, FakeGraphs]:
    graphs = FakeGraphs()
    return CudaBackend(torch_mime(CONFIG, TENSORS), torch.float32, 16, plain_ops("for tests"), graphs), graphs


@every_way
def test_they_are_what_the_queue_gives(
    asked: Asked, options: GenerationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for most in (few.FEW, 0):
        monkeypatch.setattr(backend_module, "FEW", most)
        backend = device_backend(CONFIG, TENSORS, 16)
        found[most] = [
            backend.generate(*parts(asked.only(list(each))), options, prefixes)
            for each in (*CALLS, *CALLS[::-1])
            for prefixes in (None, [PREFIXES[i] for i in each])
        ]
    for (outputs, replies), (others, expected) in zip(found[few.FEW], found[0], strict=True):
        assert_alike(replies, list(expected))
        for name in ("emotion_logits", "mimicked", "weights", "mimic_share"):
            one, other = getattr(outputs, name), getattr(others, name)
            np.testing.assert_allclose(one, other, atol=1e-6)
            assert one.dtype == other.dtype and one.flags.c_contiguous


@every_way
def test_steps_after_the_end_change_nothing(asked: Asked, options: GenerationConfig) -> None:
    """Neither what is reported nor anything that a search reads, whatever lies in the slots that are free."""
    backend = device_backend(CONFIG, TENSORS, 16)
    backend.generate(*parts(asked.only([1, 2])), options)
    session = backend.last_session()
    assert not int(session.state.live_count)
    before = all_of(session.state), session.emotions.clone(), session.owner.clone()
    with torch.inference_mode():
        for _ in range(2 * few.STEPS):
            session.step(session.shape.slots)
    assert all_of(session.state) == before[0]
    assert torch.equal(session.emotions, before[1]) and torch.equal(session.owner, before[2])


@every_way
def test_a_call_is_few_graphs(asked: Asked, options: GenerationConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its second time on: one copy in, one graph to begin, one per several steps, one look at each."""
    backend, graphs = fake()
    one = parts(asked.only([3]))
    _, expected = device_backend(CONFIG, TENSORS, 16).generate(*one, options)
    backend.generate(*one, options)
    backend.generate(*one, options)
    _, decoding = graphs.pools
    packs: list[Any] = []
    waits: list[Any] = []
    pack, wait = packing.pack, packing.Arrival.wait

    def packing_one(*given: Any) -> Any:
        packs.append(given)
        return pack(*given)

    def waiting(self: packing.Arrival) -> Any:
        waits.append(self)
        return wait(self)

    monkeypatch.setattr(few, "pack", packing_one)
    monkeypatch.setattr(packing.Arrival, "wait", waiting)
    before = decoding.replays
    _, found = backend.generate(*one, options)
    assert_alike(list(found), list(expected))
    longest = max(each.count for each in found[0])
    several = decoding.replays - before - 1
    assert -(-longest // few.STEPS) <= several <= -(-options.max_new_tokens // few.STEPS)
    assert len(packs) == 1 and len(waits) <= several
    assert graphs.pools[0].replays == 0 and len(graphs.pools) == 2


def test_other_dialogues_of_the_same_shape_are_one_graph(asked: Asked) -> None:
    """What a graph reads is what was asked, not what it was captured with."""
    backend, _ = fake()
    options = WAYS["sampling"]
    alone = device_backend(CONFIG, TENSORS, 16)
    for _ in range(2):
        for i in (0, 1, 3):  # of one width
            _, found = backend.generate(*parts(asked.only([i])), options, [PREFIXES[i]])
            assert_alike(list(found), list(alone.generate(*parts(asked.only([i])), options, [PREFIXES[i]])[1]))
    searches = next(iter(backend._sessions.values()))
    assert len(backend._sessions) == 2  # with a prefix, and without
    assert len(searches.few._beginnings) == 1


def test_graphs_that_begin_are_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "SHAPES", 2)
    backend, _ = fake()
    alone = device_backend(CONFIG, TENSORS, 16)
    for each in ([0], [2], [4], [0], [4]):
        _, found = backend.generate(*parts(asked.only(each)), WAYS["beams"])
        assert_alike(list(found), list(alone.generate(*parts(asked.only(each)), WAYS["beams"])[1]))
        assert all(len(one.few._beginnings) <= 2 for one in backend._sessions.values())


@pytest.mark.parametrize("max_new_tokens", range(1, 10))
def test_any_number_of_steps(asked: Asked, max_new_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether graphs of several steps end with the last one or after it."""
    options = GenerationConfig(num_beams=2, num_return_sequences=2, max_new_tokens=max_new_tokens)
    given = parts(asked.only([0, 4]))
    _, found = device_backend(CONFIG, TENSORS, 16).generate(*given, options)
    monkeypatch.setattr(backend_module, "FEW", 0)
    assert_alike(list(found), list(device_backend(CONFIG, TENSORS, 16).generate(*given, options)[1]))


def test_stopped(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between graphs; what the searches left changes nothing."""
    backend, stop = device_backend(CONFIG, TENSORS, 16), np.zeros(1, np.uint8)
    step = Session.step

    def stopping(self: Session, slots: int) -> None:
        stop[0] = 1
        step(self, slots)

    given, options = parts(asked.only([0, 2])), GenerationConfig(num_beams=3, max_new_tokens=30, min_new_tokens=29)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", stopping)
        with pytest.raises(BackendError, match="stopped"):
            backend.generate(*given, options, None, stop)
    assert_alike(
        list(backend.generate(*given, options)[1]),
        list(device_backend(CONFIG, TENSORS, 16).generate(*given, options)[1]),
    )


@pytest.mark.parametrize("way", [{"num_beams": 1}, {}, {"search": "mime"}], ids=["greedy", "beams", "mime"])
def test_errors_are_the_reference_s(way: dict[str, Any]) -> None:
    call = errors.CALLS["generate"]
    case = DeviceCase(errors.CONFIG, errors.broken("word_embedding.weight", 59), batch_size=16)
    errors.both_fail(BackendError, [1, 4], case, call, **way)
    case = DeviceCase(errors.CONFIG, errors.broken("fc_decode.bias"), batch_size=16)
    errors.both_fail(BackendError, [0, 1, 2, 3, 4], case, call, **way)
    if "search" not in way:
        case = DeviceCase(errors.CONFIG, random_tensors(errors.CONFIG, 1), batch_size=16)
        suppressed = way | {"suppress_tokens": range(60)}
        errors.both_fail(ConfigError, [0, 1, 2, 3, 4], case, call, **suppressed)
