"""Which back end runs, and why not another one."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mime_fast
from mime_fast.backends.placement import Placement, place
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.backends.select import CONTRACTS, MIME_ALONE, Wanted, available_cores, choose
from mime_fast.config.model import ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.errors import BackendError, ConfigError
from tests.reference.tiny import tiny, tiny_model


class StandIn:
    """A native back end that only notes what it was made of."""

    name = "native"

    def __init__(self, _: Any, precision: str, batch_size: int, threads: int, isa: str) -> None:
        self.made_of = precision, batch_size, threads, isa


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the native back end runs, but not with AVX2."""

    def why_not(_: Any, placement: Placement, isa: str) -> str:
        assert placement.device.type == "cpu"
        return "this CPU has no AVX2" if isa == "avx2" else ""

    monkeypatch.setitem(
        sys.modules, "mime_fast.backends.native", SimpleNamespace(NativeBackend=StandIn, why_not=why_not)
    )


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the extension."""
    monkeypatch.setitem(sys.modules, "mime_fast.backends.native", None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_native_wherever_it_can_run(able: None, precision: str) -> None:
    choice = choose(tiny_model(), Wanted(device="cpu", precision=precision))
    assert isinstance(choice.backend, StandIn)
    assert choice.backend.made_of == (precision, 64, available_cores(), "auto")
    assert choice.reason
    chosen = choose(tiny_model(), Wanted(precision=precision, threads=3, batch_size=7, backend="native", isa="generic"))
    assert isinstance(chosen.backend, StandIn)
    assert chosen.backend.made_of == (precision, 7, 3, "generic")
    assert (chosen.reason, chosen.placement.device.type) == ("asked for", "cpu")


def test_the_reference_where_it_was_asked_for_or_must_be(able: None) -> None:
    model = tiny_model()
    assert choose(model, Wanted(device="cpu", backend="reference")).reason == "asked for"
    double = choose(model, Wanted(device="cpu", precision="float64"))
    assert isinstance(double.backend, ReferenceBackend)
    assert double.reason == "float64 is for the reference alone"
    assert {found["reason"] for found in double.backend.describe()["implementations"].values()} == {double.reason}


def test_the_reference_where_native_cannot_run(unable: None) -> None:
    choice = choose(tiny_model(), Wanted(device="cpu"))
    assert isinstance(choice.backend, ReferenceBackend)
    assert choice.reason.startswith("the native back end cannot be imported")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"backend": "native"}, "^backend='native': the native back end cannot run: .*cannot be imported"),
        ({"precision": "int8"}, "^precision='int8': the native back end cannot run"),
        ({"precision": "bfloat16", "isa": "avx512"}, "^precision='bfloat16', isa='avx512': the native"),
    ],
)
def test_what_is_asked_for_by_name_runs_or_raises(unable: None, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        choose(tiny_model(), Wanted(device="cpu", **wanted))


def test_an_instruction_set_that_is_missing(able: None) -> None:
    with pytest.raises(BackendError, match="isa='avx2': the native back end cannot run: this CPU has no AVX2"):
        choose(tiny_model(), Wanted(device="cpu", isa="avx2"))
    with pytest.raises(BackendError, match=r"isa='generic': .* float64 is for the reference alone"):
        choose(tiny_model(), Wanted(device="cpu", precision="float64", isa="generic"))


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"backend": "cpp"}, ConfigError, "backend='cpp': 'auto', 'native', 'cuda', 'reference' are allowed"),
        ({"backend": None}, ConfigError, "backend=None"),
        ({"isa": "sse"}, ConfigError, "isa='sse': 'auto', 'generic'"),
        ({"isa": ["avx2"]}, ConfigError, "isa="),
        ({"batch_size": 0}, ConfigError, "batch_size=0"),
        ({"batch_size": 1.5}, ConfigError, "batch_size=1.5"),
        ({"backend": "reference", "isa": "avx2"}, ConfigError, "isa='avx2' with backend='reference'"),
        ({"backend": "reference", "precision": "int8"}, BackendError, "int8 is for the native back end alone"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(
    wanted: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        mime_fast.load("no-such-model", **wanted)


def test_a_gpu_does_not_draw_away_what_runs_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mime_fast.backends.placement._missing_gpu", lambda kernels: "")
    assert Wanted().place().device.type == "cuda"
    for wanted in ({"precision": "int8"}, {"backend": "native"}, {"isa": "generic"}):
        placement = Wanted(**wanted).place()
        assert placement.device.type == "cpu"
        assert "runs there alone" in placement.reason
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(BackendError, match=r"backend='native': .* runs on the CPU, not on cuda"):
        monkeypatch.setattr("mime_fast.reference.mime.Mime.to", lambda self, **_: self)
        choose(tiny_model(), Wanted(device="cuda", backend="native"))


class StandInOnAGpu:
    """A back end that only notes what it was made of."""

    name = "cuda"

    def __init__(self, _: Any, *made_of: Any) -> None:
        self.made_of = made_of


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, Triton and the extension."""
    monkeypatch.setattr("mime_fast.backends.placement._missing_gpu", lambda kernels: "")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("mime_fast.reference.mime.Mime.to", lambda self, **_: self)
    monkeypatch.setattr("mime_fast.backends.select.CudaBackend", StandInOnAGpu)
    monkeypatch.setattr("mime_fast.backends.select.device_ops", lambda: "the kernels")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_cuda_wherever_there_is_a_gpu(gpu: None, precision: str) -> None:
    for wanted in ({}, {"device": "cuda"}, {"backend": "cuda", "batch_size": 7}):
        choice = choose(tiny_model(), Wanted(precision=precision, **wanted))
        assert isinstance(choice.backend, StandInOnAGpu)
        assert choice.placement.device.type == "cuda"
        assert choice.batch_size == wanted.get("batch_size", 1024)
        assert choice.backend.made_of[:3] == (getattr(torch, precision), choice.batch_size, "the kernels")
    assert choice.reason == "asked for"


def test_the_reference_on_a_gpu_for_float64(gpu: None) -> None:
    assert isinstance(choose(tiny_model(), Wanted(precision="float64")).backend, ReferenceBackend)
    assert isinstance(choose(tiny_model(), Wanted(backend="reference")).backend, ReferenceBackend)
    with pytest.raises(BackendError, match="runs on the CPU, not on cuda"):
        choose(tiny_model(), Wanted(device="cuda", precision="int8"))


@pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig])
def test_a_gpu_is_not_for_baselines(gpu: None, kind: type[ModelConfig]) -> None:
    model = tiny(kind)
    choice = choose(model, Wanted(backend="reference"))
    assert isinstance(choice.backend, ReferenceBackend)
    assert choice.placement.device.type == "cpu"
    assert choice.placement.reason == "the GPU back end runs MIME alone"
    why = f"^backend='cuda' cannot run a model of type '{kind.model_type}': the GPU back end runs MIME alone"
    with pytest.raises(BackendError, match=why):
        choose(model, Wanted(backend="cuda"))


FOUND: dict[str, Any] = {"torch.cuda.is_available": lambda: True}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"torch.version.cuda": None}, "is built without CUDA"),
        ({}, "finds no usable NVIDIA GPU or driver"),
        (FOUND | {"mime_fast.kernels.select.find_spec": lambda _: None}, "triton is not installed"),
        (FOUND, "mime_fast._cuda is not there: nobody built it"),
    ],
)
def test_what_a_gpu_lacks(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str) -> None:
    """Asked for by name it raises; left to itself the CPU runs and says why."""
    defaults: dict[str, Any] = {
        "torch.version.cuda": "13.0",
        "torch.cuda.is_available": lambda: False,
        "mime_fast.kernels.select.find_spec": lambda _: True,
        "mime_fast.kernels.select._missing_extension": lambda: "nobody built it",
    }
    for name, value in (defaults | changes).items():
        monkeypatch.setattr(name, value)
    for wanted in ({"device": "cuda"}, {"backend": "cuda"}, {"precision": "float16"}):
        with pytest.raises(BackendError, match=re.escape(why)):
            Wanted(**wanted)
    assert why in Wanted().place().reason
    assert Wanted(precision="bfloat16").place().device.type == "cpu"
    with pytest.raises(BackendError, match="float16' runs on a GPU alone; device='cpu' was asked for"):
        Wanted(device="cpu", precision="float16")
    with pytest.raises(BackendError, match=r"float16' runs on a GPU alone; the CPU is taken: .* MIME alone"):
        place("auto", "float16", cpu_because=MIME_ALONE)


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_an_engine_says_what_runs(model_folder: Path, precision: str) -> None:
    told = mime_fast.load(model_folder, device="cpu", precision=precision, batch_size=5).describe()
    assert told["backend"] in ("native", "reference")
    assert told["backend_reason"]
    assert told["batch_size"] == 5
    assert told["contract"] == CONTRACTS[precision]
    assert told["threads"] >= 1
    assert (told["backend"] == "native") == ("isa" in told)
    assert {found["choice"] for found in told["implementations"].values()} == {told["backend"]} or "isa" in told
