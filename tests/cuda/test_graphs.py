"""Captures: one at a time, on the device's one stream, after the thread's cuBLAS; what becomes of broken ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from mime_fast.backends.gpu.graphs import Graphs, capture_stream

DEFAULT = "the default stream"


class FakeCuda:
    """Notes what is asked of `torch.cuda`, in its order."""

    def __init__(self) -> None:
        self.stream: Any = DEFAULT
        self.noted: list[Any] = []
        self.capturing = 0
        self.end: Exception | None = None

    def Stream(self, device: int) -> str:
        return f"a stream of {device}"

    @contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        before, self.stream = self.stream, stream
        yield
        self.stream = before

    @contextmanager
    def graph(self, graph: Any, pool: Any, stream: Any, capture_error_mode: str) -> Iterator[None]:
        self.noted.append(("capture", threading.get_ident()))
        self.capturing += 1
        assert self.capturing == 1, "two captures at a time"
        self.stream = stream
        try:
            yield
        finally:
            self.capturing -= 1
            if self.end is not None:
                raise self.end  # the stream stays, as torch leaves it
        self.stream = DEFAULT

    def set_stream(self, stream: Any) -> None:
        self.stream = stream

    def blas(self) -> None:
        assert not self.capturing
        self.noted.append(("cuBLAS", threading.get_ident(), self.stream))


class FakeGraph:
    def replay(self) -> None: ...


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    fake = FakeCuda()
    for name, value in {
        "graph_pool_handle": lambda: "a pool",
        "CUDAGraph": FakeGraph,
        "current_stream": lambda: fake.stream,
        "current_device": lambda: 3,
        "current_blas_handle": fake.blas,
        "Stream": fake.Stream,
        "stream": fake.on,
        "set_stream": fake.set_stream,
        "graph": fake.graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    capture_stream.cache_clear()
    yield fake
    capture_stream.cache_clear()


def captured(graphs: Graphs, step: Any) -> Any:
    capture = graphs.new_pool()
    assert capture is not None
    return capture(step)


def test_a_thread_has_its_cublas_before_it_captures(cuda: FakeCuda) -> None:
    graphs = Graphs()
    threads = [threading.Thread(target=captured, args=(graphs, lambda: None)) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    captured(graphs, lambda: None)
    for ready, capture in zip(cuda.noted[::2], cuda.noted[1::2], strict=True):
        assert ready == ("cuBLAS", capture[1], "a stream of 3") and capture[0] == "capture"
    assert graphs.describe() == "on" and cuda.stream == DEFAULT


def test_captures_of_several_threads_wait_for_each_other(cuda: FakeCuda) -> None:
    graphs = [Graphs(), Graphs()]
    threads = [threading.Thread(target=captured, args=(each, lambda: time.sleep(0.05))) for each in graphs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.describe() for each in graphs] == ["on", "on"]


@pytest.mark.parametrize("in_the_step", [True, False])
def test_a_broken_capture_is_said_and_the_step_runs_eagerly(cuda: FakeCuda, in_the_step: bool) -> None:
    def step() -> None:
        if in_the_step and cuda.capturing:
            raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    cuda.end = RuntimeError("the capture was invalidated")
    graphs = Graphs()
    assert captured(graphs, step) is step
    said = "operation not permitted when stream is capturing" if in_the_step else "the capture was invalidated"
    assert graphs.describe() == f"off: a step could not be captured (RuntimeError: {said})"
    assert cuda.stream == DEFAULT
    assert graphs.new_pool() is None


def test_no_memory_for_a_graph_is_no_memory(cuda: FakeCuda) -> None:
    """Also where the end of the capture hides it; graphs stay on, the batch is halved."""
    for cause in (torch.cuda.OutOfMemoryError("no memory"), RuntimeError("CUDA error: out of memory")):
        graphs = Graphs()
        cuda.end = RuntimeError("the capture was invalidated")

        def step(cause: Exception = cause) -> None:
            raise cause

        with pytest.raises(torch.cuda.OutOfMemoryError):
            captured(graphs, step)
        assert graphs.describe() == "on" and cuda.stream == DEFAULT


def test_an_error_of_the_caller_is_not_the_capture_s(cuda: FakeCuda) -> None:
    try:
        raise torch.cuda.OutOfMemoryError("of somebody else")
    except torch.cuda.OutOfMemoryError:
        cuda.end = RuntimeError("invalidated")
        graphs = Graphs()
        captured(graphs, lambda: None)
    assert "invalidated" in graphs.describe()


def test_graphs_can_be_turned_off() -> None:
    graphs = Graphs("asked for")
    assert graphs.new_pool() is None
    assert graphs.describe() == "off: asked for"
