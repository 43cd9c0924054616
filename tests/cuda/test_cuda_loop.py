"""The device back end's loop: queue, slots, batches, errors, memory, and what the host may know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mime_fast.backends.gpu import shapes
from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.graphs import Graphs
from mime_fast.backends.gpu.session import Session, ladder
from mime_fast.backends.protocol import Backend
from mime_fast.config.generation import GenerationConfig
from mime_fast.config.model import MimeConfig
from mime_fast.errors import BackendError, ConfigError
from mime_fast.kernels.select import Ops, plain_ops
from mime_fast.reference import layers
from mime_fast.reference.hypothesis import Hypothesis
from tests.cuda.device_case import ON_DEVICE, DeviceCase, device_backend, torch_mime
from tests.cuda.no_reads import FakeGraphs, NoReads
from tests.native import test_backend_errors as errors
from tests.native.parity_case import parts, tokens_of
from tests.native.random_models import SMALL, Asked, random_dialogues, random_tensors

CONFIG = MimeConfig.paper(211, **SMALL, num_layers=2)
TENSORS = random_tensors(CONFIG, 3, logits=1.0, eos=3.5)
WORDS = [9, 1, 33, 17, 16, 15, 4, 60, 2, 31, 8, 8, 25, 3, 11]
WAYS = {
    "greedy": GenerationConfig(num_beams=1, max_new_tokens=12),
    "sampling": GenerationConfig(num_beams=1, do_sample=True, num_return_sequences=3, top_k=40, max_new_tokens=7),
    "beams": GenerationConfig(num_beams=5, num_return_sequences=5, max_new_tokens=9, no_repeat_ngram_size=2),
    "penalised": GenerationConfig(num_beams=4, num_return_sequences=4, max_new_tokens=9, repetition_penalty=1.6),
    "mime": GenerationConfig(num_beams=3, num_return_sequences=3, max_new_tokens=9, search="mime", min_new_tokens=2),
}
every_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def asked() -> Asked:
    return random_dialogues(CONFIG, WORDS, 4, pads=True)


def assert_alike(found: Sequence[list[Hypothesis]], expected: Sequence[list[Hypothesis]]) -> None:
    assert [[tokens_of(one) for one in each] for each in found] == [
        [tokens_of(one) for one in each] for each in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=1e-5)


@every_way
def test_a_batch_equals_its_singles(asked: Asked, options: GenerationConfig) -> None:
    """Whatever the number of slots: searches wait for one, take one that is free, and are put together."""
    prefixes = [[7, 8][: i % 3] for i in range(len(asked))]
    outputs, together = device_backend(CONFIG, TENSORS, 64).generate(*parts(asked), options, prefixes)
    assert len({str(each) for each in together}) == len(asked)
    assert len({one.count for each in together for one in each}) > 1
    for size in (1, 3, 8):
        again, found = device_backend(CONFIG, TENSORS, size).generate(*parts(asked), options, prefixes)
        assert_alike(found, together)
        assert again.weights is not None and outputs.weights is not None
        np.testing.assert_allclose(again.weights, outputs.weights, atol=1e-6)
    backend = device_backend(CONFIG, TENSORS, 16)
    alone = [backend.generate(*parts(asked.only([i])), options, [prefixes[i]])[1] for i in range(0, len(asked), 4)]
    assert_alike([found for (found,) in alone], together[::4])
    order = np.random.default_rng(0).permutation(len(asked)).tolist()
    _, shuffled = backend.generate(*parts(asked.only(order)), options, [prefixes[i] for i in order])
    assert_alike(shuffled, [together[i] for i in order])


@every_way
def test_the_score_of_a_reply_is_what_it_was_generated_with(asked: Asked, options: GenerationConfig) -> None:
    backend = device_backend(CONFIG, TENSORS, 4)
    _, replies = backend.generate(*parts(asked), options)
    for i, each in list(enumerate(replies))[::3]:
        for reply in each:
            targets = np.array(tokens_of(reply), np.int32)
            _, log_probs = backend.score(*parts(asked.only([i])), targets, np.array([0, len(targets)]))
            np.testing.assert_allclose(log_probs, reply.token_logprobs, atol=2e-5)


@every_way
def test_a_captured_step_reads_nothing_back(asked: Asked, options: GenerationConfig) -> None:
    """Every step after the first of its size, as a CUDA graph would run it."""
    graphs = FakeGraphs()
    backend = CudaBackend(torch_mime(CONFIG, TENSORS), torch.float32, 4, plain_ops("for tests"), graphs)
    prefixes = [[7, 8][: i % 3] for i in range(len(asked))]
    _, found = backend.generate(*parts(asked), options, prefixes)
    _, expected = device_backend(CONFIG, TENSORS, 64).generate(*parts(asked), options, prefixes)
    assert_alike(found, expected)
    prefill, decoding = graphs.pools
    assert decoding.replays > 10
    again = backend.generate(*parts(asked), options, prefixes)
    assert_alike(again[1], expected)
    assert prefill.replays > 3  # shapes met again
    assert len(graphs.pools) == 2  # the session was used again


def test_scoring_is_one_graph_for_each_shape(asked: Asked) -> None:
    """Contexts, emotions and the decoder's layers; every batch after the first of its shape, however many it has."""
    graphs = FakeGraphs()
    backend = CudaBackend(torch_mime(CONFIG, TENSORS), torch.float32, 4, plain_ops("for tests"), graphs)
    lengths = np.array([3 + i % 4 if i % 5 else 0 for i in range(len(asked))])
    offsets = np.concatenate([[0], lengths.cumsum()])
    targets = np.random.default_rng(1).integers(7, CONFIG.vocab_size, offsets[-1]).astype(np.int32)
    outputs, expected = device_backend(CONFIG, TENSORS, 64).score(*parts(asked), targets, offsets)
    for _ in range(2):
        found = backend.score(*parts(asked), targets, offsets)
        np.testing.assert_allclose(found[1], expected, atol=1e-5)
        assert found[0].weights is not None and outputs.weights is not None
        np.testing.assert_allclose(found[0].weights, outputs.weights, atol=1e-6)
    (pool,) = graphs.pools
    assert pool.replays == 4  # three of 12 responses, and one of contexts without any
    before = pool.replays
    few, last = asked.only([len(asked) - 1]), offsets[-2]
    again = backend.score(*parts(few), targets[last:], np.array([0, offsets[-1] - last]))[1]
    np.testing.assert_allclose(again, expected[last:], atol=1e-5)
    backend.score(*parts(few), targets[last:], np.array([0, offsets[-1] - last]))
    assert pool.replays > before


def test_the_guard_sees_reads() -> None:
    x = torch.arange(3.0)
    places = torch.arange(2)

    def number() -> None:
        x[places] = 1.0

    for read in (lambda: x.sum().item(), lambda: x[x > 1], x.nonzero, lambda: bool((x > 1).any()), number):
        with pytest.raises(AssertionError), NoReads():
            read()


def test_steps_are_captured_for_all_slots_and_powers_of_two() -> None:
    assert ladder(1) == [1]
    assert ladder(6) == [6, 4, 2, 1]
    assert ladder(64) == [64, 32, 16, 8, 4, 2, 1]


def test_free_slots_are_refilled_before_the_batch_is_done(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = Session.run

    def noting(self: Session, size: int) -> None:
        sizes.append(size)
        run(self, size)

    monkeypatch.setattr(Session, "run", noting)
    options = WAYS["sampling"]
    _, replies = device_backend(CONFIG, TENSORS, 4).generate(*parts(asked), options)
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == 4 and sizes[-1] < 4
    batches = -(-len(asked) * options.num_return_sequences // 4)
    assert len(sizes) < batches * max(reply.count for each in replies for reply in each)


def test_sampling_is_the_reference_s(asked: Asked) -> None:
    for way in ({}, {"top_k": 5}, {"top_p": 0.7, "temperature": 1.8}):
        options = GenerationConfig(num_beams=1, do_sample=True, num_return_sequences=4, max_new_tokens=5, **way)
        DeviceCase(CONFIG, TENSORS).check_generate(asked.only([0, 2, 6]), options)


def test_out_of_memory_halves_the_batch(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    init = Session.__init__

    def fails_above_two(self: Session, model: Any, shape: Any, capture: Any) -> None:
        made.append(shape.slots)
        if shape.slots > 2:
            raise torch.cuda.OutOfMemoryError("for tests")
        init(self, model, shape, capture)

    monkeypatch.setattr(Session, "__init__", fails_above_two)
    backend = device_backend(CONFIG, TENSORS, 9)
    options = WAYS["beams"]
    _, found = backend.generate(*parts(asked), options)
    assert (made, backend.describe()["batch_size"]) == ([9, 5, 3, 2], 2)
    monkeypatch.undo()
    assert_alike(found, device_backend(CONFIG, TENSORS, 9).generate(*parts(asked), options)[1])


def test_out_of_memory_for_one_dialogue(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("for tests")

    backend = device_backend(CONFIG, TENSORS, 4)
    monkeypatch.setattr(backend.model, "understand", fails)
    nothing = np.full(len(asked), 2, np.int32), np.arange(len(asked) + 1)
    with pytest.raises(BackendError, match="memory does not suffice for one dialogue: for tests"):
        backend.score(*parts(asked), *nothing)


@pytest.mark.parametrize("way", [{"num_beams": 1}, {}, {"search": "mime"}], ids=["greedy", "beams", "mime"])
@pytest.mark.parametrize("call", errors.CALLS.values(), ids=errors.CALLS)
def test_nan_in_the_context(call: Callable[[Backend, GenerationConfig], Any], way: dict[str, Any]) -> None:
    case = DeviceCase(errors.CONFIG, errors.broken("word_embedding.weight", 59))
    errors.both_fail(BackendError, [1, 4], case, call, **way)


def test_nan_in_the_context_vectors() -> None:
    case = DeviceCase(errors.CONFIG, errors.broken("word_embedding.weight", 59))
    reference, device = errors.both_fail(BackendError, [1, 4], case, errors.context_vectors)
    assert device == reference


@pytest.mark.parametrize(
    ("call", "name"),
    [
        pytest.param(call, name, id=f"{key}-{name}")
        for key, call in errors.CALLS.items()
        for name in ("emotion_query.weight", "fc_decode.bias")
        if (key, name) != ("classify", "fc_decode.bias")  # which no emotion depends on
    ],
)
def test_nan_elsewhere(call: Callable[[Backend, GenerationConfig], Any], name: str) -> None:
    case = DeviceCase(errors.CONFIG, errors.broken(name))
    reference, device = errors.both_fail(BackendError, [0, 1, 2, 3, 4], case, call)
    assert device == reference


@pytest.mark.parametrize(
    "way",
    [
        {"num_beams": 1, "suppress_tokens": range(60)},
        {"do_sample": True, "num_beams": 1, "num_return_sequences": 3, "suppress_tokens": range(60)},
        {"min_new_tokens": 2, "suppress_tokens": [token for token in range(60) if token != 2]},
        {"no_repeat_ngram_size": 1, "suppress_tokens": range(2, 60)},
    ],
)
def test_no_response(way: dict[str, Any]) -> None:
    case = DeviceCase(errors.CONFIG, random_tensors(errors.CONFIG, 1))
    reference, device = errors.both_fail(ConfigError, [0, 1, 2, 3, 4], case, errors.CALLS["generate"], **way)
    assert device == reference


def test_calls_from_several_threads_wait_for_each_other(asked: Asked) -> None:
    backend = device_backend(CONFIG, TENSORS, 4)
    expected = [backend.generate(*parts(asked), options)[1] for options in WAYS.values()]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda options: backend.generate(*parts(asked), options)[1], WAYS.values()))
    for one, other in zip(found, expected, strict=True):
        assert_alike(one, other)


def test_stopped(asked: Asked) -> None:
    backend, stop = device_backend(CONFIG, TENSORS), np.ones(1, np.uint8)
    with pytest.raises(BackendError, match="stopped"):
        backend.generate(*parts(asked), GenerationConfig(), None, stop)
    with pytest.raises(BackendError, match="stopped"):
        backend.classify(parts(asked)[0], stop)
    with pytest.raises(BackendError, match="stopped"):
        backend.context_vectors(parts(asked)[0], stop)


def test_what_runs_is_described() -> None:
    told = device_backend(CONFIG, TENSORS).describe()["implementations"]
    wanted = {"triton", "cuda"} if ON_DEVICE else {"plain"}
    assert {found["choice"] for found in told.values()} == wanted


@every_way
def test_what_earlier_searches_left_changes_nothing(
    asked: Asked, options: GenerationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All buffers are full of NaN, or of tokens and rows that do not exist, before the first search."""
    expected = device_backend(CONFIG, TENSORS, 4).generate(*parts(asked), options)[1]
    init = Session.__init__

    def poisoned(self: Session, *args: Any) -> None:
        init(self, *args)
        for cache in self.caches:
            for x in vars(cache).values():
                x.fill_(torch.nan)
        for x in (self.state.words, self.state.pool_words, self.state.pool_counts, self.state.broken_at):
            x.fill_(CONFIG.vocab_size - 1)
        for x in (self.state.sums, self.state.word_log_probs, self.state.pool_scores, self.state.pool_log_probs):
            x.fill_(torch.nan)

    monkeypatch.setattr(Session, "__init__", poisoned)
    assert_alike(device_backend(CONFIG, TENSORS, 4).generate(*parts(asked), options)[1], expected)


@every_way
def test_nobody_looks_at_what_free_slots_get(asked: Asked, options: GenerationConfig) -> None:
    """Kernels leave them alone: here they get NaN, and words that do not exist."""
    ops, seen = plain_ops("for tests"), set()

    def spoilt(name: str) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            found = getattr(ops, name)(*given)
            active = given[-1]
            seen.add((name, bool(active.all())))
            for x in found if isinstance(found, tuple) else (found,):
                free = (active == 0).repeat_interleave(len(x) // len(active))
                x[free] = torch.nan if x.is_floating_point() else 2**30
            return found

        return run

    searched = ["vocab_logits", "sample_tokens"] if options.do_sample else ["vocab_topk"]
    names = ["decoder_step", *(searched if options.repetition_penalty == 1.0 else [])]
    changed: Ops = replace(ops, **dict[str, Any]((name, spoilt(name)) for name in names))
    backend = CudaBackend(torch_mime(CONFIG, TENSORS), torch.float32, 8, changed, Graphs("for tests"))
    prefixes = [[7, 8][: i % 3] for i in range(len(asked))]
    for each in (list(range(len(asked))), [2, 5, 7]):  # by the queue, and without it
        given, begun = parts(asked.only(each)), [prefixes[i] for i in each]
        _, found = backend.generate(*given, options, begun)
        assert_alike(found, device_backend(CONFIG, TENSORS, 8).generate(*given, options, begun)[1])
    assert seen == {(name, each) for name in names for each in (True, False)}


@every_way
def test_a_fresh_thread_makes_the_second_call(asked: Asked, options: GenerationConfig) -> None:
    """It captures, on a GPU, what the first call ran eagerly; so does a third call in another thread."""
    backend = device_backend(CONFIG, TENSORS, 4)
    expected = backend.generate(*parts(asked), options)[1]
    for _ in range(2):
        with ThreadPoolExecutor(1) as pool:
            assert_alike(pool.submit(lambda: backend.generate(*parts(asked), options)[1]).result(), expected)
    assert backend.describe()["cuda_graphs"] == ("on" if ON_DEVICE else "off: for tests")


def test_tables_are_the_backend_s_own(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is there, none is made or looked for in a cache: a graph would read freed memory, or not be captured."""

    def asks(*_: Any) -> Any:
        raise AssertionError("a table is asked for")

    backend = CudaBackend(torch_mime(CONFIG, TENSORS), torch.float32, 4, plain_ops("for tests"), FakeGraphs())
    monkeypatch.setattr(layers, "sinusoidal_positions", asks)
    nothing = np.full(len(asked), 2, np.int32), np.arange(len(asked) + 1)
    for _ in range(2):
        backend.generate(*parts(asked), WAYS["sampling"])
        backend.score(*parts(asked), *nothing)
        backend.classify(parts(asked)[0])
        backend.context_vectors(parts(asked)[0])


def test_shapes_of_the_prefill_are_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "SHAPES", 2)
    model, graphs = torch_mime(CONFIG, TENSORS), FakeGraphs()
    backend = CudaBackend(model, torch.float32, 4, plain_ops("for tests"), graphs)
    expected = device_backend(CONFIG, TENSORS, 4).generate(*parts(asked), WAYS["greedy"])[1]
    for _ in range(2):
        assert_alike(backend.generate(*parts(asked), WAYS["greedy"])[1], expected)
        assert len(backend._understand._shapes) == 2
    alike = asked.only([0] * 9)
    before = graphs.pools[0].replays
    for _ in range(3):
        backend.generate(*parts(alike), WAYS["greedy"])
    assert graphs.pools[0].replays >= before + 2  # the last shapes used stay


@pytest.mark.parametrize(
    "way",
    [{"do_sample": True, "num_beams": 1}, {"num_beams": 1, "repetition_penalty": 1.3}, {"num_beams": 17}],
    ids=str,
)
def test_what_looks_at_all_logits_has_them_from_their_op(asked: Asked, way: dict[str, Any]) -> None:
    """Which gives them in float32 (tests/kernels), whatever the dtype of the products."""
    ops = plain_ops("for tests")

    def vocab_logits(*given: Tensor) -> Tensor:
        logits = ops.vocab_logits(*given)
        assert logits.dtype == torch.float32
        logits[:, 11] += 90.0
        return logits

    changed = replace(ops, vocab_logits=vocab_logits)
    backend = CudaBackend(torch_mime(CONFIG, TENSORS), torch.bfloat16, 8, changed, Graphs("for tests"))
    _, replies = backend.generate(*parts(asked), GenerationConfig(max_new_tokens=1, **way))
    assert {each[0].token_ids for each in replies} == {(11,)}


def test_a_session_serves_shorter_memories(asked: Asked) -> None:
    """One for longer memories takes its place; options of their own have a session of their own."""
    backend = device_backend(CONFIG, TENSORS, 4)
    expected = device_backend(CONFIG, TENSORS, 4).generate(*parts(asked), WAYS["beams"])[1]
    long, short = [7, 2, 3, 4], [0, 1, 6, 8]
    made = []
    for each in (short, long, short, long, [3, 4, 5, 6]):
        found = backend.generate(*parts(asked.only(each)), WAYS["beams"])[1]
        made.append(backend.last_session())
        assert len(backend._sessions) == 1
        assert_alike(found, [expected[i] for i in each])
    assert made[0] is not made[1] and made[1:] == [made[1]] * 4
    backend.generate(*parts(asked.only(short)), WAYS["mime"])
    assert len(backend._sessions) == 2
