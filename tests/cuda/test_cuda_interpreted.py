"""The device back end, its Triton kernels in the interpreter and the compiled beam step on the CPU: all but the GPU."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor

from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.graphs import Graphs
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.kernels.beam_state import BeamState
from mime_fast.kernels.select import BeamStep, Ops, device_ops
from tests.cuda.beam_case import all_of, compiled
from tests.cuda.device_case import DeviceCase, torch_mime
from tests.native.parity_case import parts
from tests.native.random_models import SMALL, Tensors, random_dialogues, random_tensors
from tests.parity import assert_as_exact

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the other tests run on it"),
]
CONFIG = MimeConfig.released(75, **SMALL, num_layers=2)
WAYS = {
    "greedy": GenerationConfig(num_beams=1, max_new_tokens=4),
    "beams": GenerationConfig(num_beams=3, num_return_sequences=3, max_new_tokens=5, no_repeat_ngram_size=2),
    "penalised": GenerationConfig(num_beams=3, num_return_sequences=3, max_new_tokens=5, repetition_penalty=1.5),
    "sampling": GenerationConfig(
        num_beams=1, do_sample=True, num_return_sequences=2, top_p=0.7, max_new_tokens=4, no_repeat_ngram_size=1
    ),
    "mime": GenerationConfig(num_beams=2, num_return_sequences=2, max_new_tokens=4, search="mime", min_new_tokens=2),
}


def interpreted_ops() -> Ops:
    from mime_fast.kernels.tiles import INTERPRETED

    assert INTERPRETED, "Triton was imported before its interpreter was asked for"

    def beam_step(state: BeamState) -> BeamStep:
        advance = compiled(state, threads=1)

        def run(slots: int, log_probs: Tensor, ids: Tensor, values: Tensor) -> None:
            advance(slots, log_probs, ids, values)

        return run

    ops = device_ops()
    return Ops(**(vars(ops) | {"beam_step": beam_step}))


class InterpretedCase(DeviceCase):
    def __init__(self, config: MimeConfig, tensors: Tensors) -> None:
        super().__init__(config, tensors)
        model, eager = torch_mime(config, tensors), Graphs("for tests")
        self.native = CudaBackend(model, torch.float32, 3, interpreted_ops(), eager)
        self.all = (self.native, self.plain, self.exact)


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_replies_are_the_reference_s(options: GenerationConfig) -> None:
    asked = random_dialogues(CONFIG, [1, 7, 2, 20], 5, pads=True)
    case = InterpretedCase(CONFIG, random_tensors(CONFIG, 6, logits=1.0, eos=3.0))
    case.check_generate(asked, options, [[], [7], [], [8, 1]])


def test_scores_are_the_reference_s() -> None:
    config = MimeConfig.paper(75, **SMALL)
    asked = random_dialogues(config, [3, 20], 5, pads=True)
    targets = np.array([5, 9, 70, 2, 11, 2], np.int32)
    case = InterpretedCase(config, random_tensors(config, 6))
    outputs = [backend.score(*parts(asked), targets, np.array([0, 4, 6])) for backend in case.all]
    assert_as_exact(*(torch.from_numpy(log_probs) for _, log_probs in outputs))
    case.check_outputs(outputs[0][0], asked)


def test_context_vectors_are_the_reference_s() -> None:
    asked = random_dialogues(CONFIG, [1, 7, 2, 20], 5, pads=True)
    case = InterpretedCase(CONFIG, random_tensors(CONFIG, 6))
    assert_as_exact(*(torch.from_numpy(backend.context_vectors(parts(asked)[0])) for backend in case.all))


@pytest.mark.parametrize("way", ["beams", "sampling"])
def test_steps_after_the_end_leave_everything_alone(way: str) -> None:
    """The search's state and all caches, whatever lies in them: no program does anything."""
    config = MimeConfig.paper(75, **SMALL)
    asked = random_dialogues(config, [3], 5, pads=True)
    backend = InterpretedCase(config, random_tensors(config, 6, logits=1.0, eos=3.0)).native
    assert isinstance(backend, CudaBackend)
    backend.generate(*parts(asked), WAYS[way])
    session = backend.last_session()
    assert not int(session.state.live_count)

    def everything() -> list[bytes]:
        caches = [x for cache in session.caches for x in vars(cache).values()]
        return [*all_of(session.state).values(), *(x.numpy().tobytes() for x in caches)]

    with torch.inference_mode():
        for cache in session.caches:
            for x in vars(cache).values():
                x.fill_(77.0)
        before = everything()
        session.step(session.shape.slots)
    assert everything() == before
