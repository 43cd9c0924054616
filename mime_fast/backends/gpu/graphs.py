"""CUDA graphs: steps are captured one at a time in a process; one that cannot be captured runs eagerly from then on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock

import torch

Step = Callable[[], None]
Capture = Callable[[Step], Step]  # makes of a step, without running it, what runs it again

_CAPTURING = Lock()  # of the process: CUDA allows one capture at a time


class Graphs:
    """Whether a back end's steps are captured as CUDA graphs.

    Args:
        off: why they are not; empty: they are, until a capture fails for another reason than memory.
    """

    def __init__(self, off: str = "") -> None:
        self.off = off

    def describe(self) -> str:
        """For `describe`."""
        return f"off: {self.off}" if self.off else "on"

    def new_pool(self) -> Capture | None:
        """What captures steps whose graphs share a memory pool; None: all steps run eagerly."""
        return None if self.off else _Pool(self).capture


class _Pool:
    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._handle = torch.cuda.graph_pool_handle()

    def capture(self, step: Step) -> Step:
        """A graph of it, or the step itself where there are no graphs.

        Raises:
            OutOfMemoryError: there is no memory for it.
        """
        if self._graphs.off:
            return step
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        stream, cause = capture_stream(torch.cuda.current_device()), None
        with _CAPTURING:
            try:
                with torch.cuda.stream(stream):  # a thread's handle and its workspace cannot be made in a capture
                    torch.cuda.current_blas_handle()
                with torch.cuda.graph(graph, pool=self._handle, stream=stream, capture_error_mode="thread_local"):
                    try:
                        step()
                    except RuntimeError as error:
                        cause = error  # the end of a broken capture fails, too, and would hide it
                        raise
            except RuntimeError as error:
                cause = cause or error
            finally:
                torch.cuda.set_stream(before)  # torch does not where the end of a capture fails
        if cause is None:
            return graph.replay
        if isinstance(cause, torch.cuda.OutOfMemoryError) or "out of memory" in str(cause):
            raise torch.cuda.OutOfMemoryError(str(cause))
        first_line = str(cause).partition("\n")[0]
        self._graphs.off = f"a step could not be captured ({type(cause).__name__}: {first_line})"
        return step


class Repeated:
    """A step that is run again and again: at first eagerly, which also compiles its kernels, from then on as a graph.

    Args:
        capture: what makes the graph; None: there is none.
    """

    def __init__(self, step: Step, capture: Capture | None) -> None:
        self._step = step
        self._capture = capture
        self._ran = False

    def __call__(self) -> None:
        if self._ran and self._capture is not None:
            self._step, self._capture = self._capture(self._step), None
        self._ran = True
        self._step()


@cache
def capture_stream(device: int) -> torch.cuda.Stream:
    """The device's one: each stream that products are captured on keeps a workspace of cuBLAS for good."""
    return torch.cuda.Stream(device)
