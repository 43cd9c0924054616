"""Which back end runs, and why not another one."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mime_fast
from mime_fast import _native
from mime_fast.backends.kinds import KINDS
from mime_fast.backends.placement import why_no_gpu
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.backends.select import CONTRACTS, Choice, Wanted, choose, find_kind, torch_device
from mime_fast.backends.threads import default_threads
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.model import ModelConfig, MoelConfig, MultiTaskConfig
from mime_fast.errors import BackendError, ConfigError
from mime_fast.reference.dialogue_model import DialogueModel
from tests.reference.tiny import tiny, tiny_model

NO_GPU = "no GPU in this test"


class StandIn:
    """A native back end that only notes what it was made of."""

    name = "native"

    def __init__(self, _: Any, precision: str, batch_size: int, threads: int, isa: str, exact_logprobs: bool) -> None:
        self.made_of = precision, batch_size, threads, isa, exact_logprobs

    def describe(self) -> dict[str, Any]:
        return {}


def chosen(model: DialogueModel | None = None, **wanted: Any) -> Choice:
    return choose(ModelWeights.of(model or tiny_model()), Wanted(**wanted))


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mime_fast.backends.kinds.why_no_gpu", lambda: NO_GPU)


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the native back end runs, but not with AVX2."""
    extension = SimpleNamespace(
        isas=("generic", "avx2"),
        why_not={"generic": "", "avx2": "this CPU has no AVX2"}.get,
        interface=_native.interface,
    )
    monkeypatch.setitem(sys.modules, "mime_fast._native", extension)
    monkeypatch.setitem(sys.modules, "mime_fast.backends.native", SimpleNamespace(NativeBackend=StandIn))


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the extension."""
    monkeypatch.setitem(sys.modules, "mime_fast._native", None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_native_wherever_it_can_run(able: None, precision: str) -> None:
    choice = chosen(device="cpu", precision=precision)
    assert isinstance(choice.backend, StandIn)
    assert choice.backend.made_of == (precision, 64, default_threads(), "auto", False)
    assert choice.reason
    choice = chosen(precision=precision, threads=3, batch_size=7, backend="native", isa="generic")
    assert isinstance(choice.backend, StandIn)
    assert choice.backend.made_of == (precision, 7, 3, "generic", False)
    assert (choice.reason, choice.placement.device) == ("asked for", "cpu")
    assert "native back end was asked for" in choice.placement.reason


def test_exact_logprobs_are_the_native_back_end_s(able: None) -> None:
    choice = chosen(device="cpu", precision="screened", exact_logprobs=True)
    assert isinstance(choice.backend, StandIn)
    assert choice.backend.made_of == ("screened", 64, default_threads(), "auto", True)


def test_the_reference_where_it_was_asked_for_or_must_be(able: None) -> None:
    assert chosen(device="cpu", backend="reference").reason == "asked for"
    double = chosen(device="cpu", precision="float64")
    assert isinstance(double.backend, ReferenceBackend)
    assert double.reason == "float64 is only for the reference back end"
    assert {found["reason"] for found in double.backend.describe()["implementations"].values()} == {double.reason}


def test_the_reference_where_native_cannot_run(unable: None) -> None:
    """Never without a word: it is many times slower."""
    with pytest.warns(RuntimeWarning, match=r"_native cannot be imported .*source tree: .*many times slower"):
        choice = chosen(device="cpu")
    assert isinstance(choice.backend, ReferenceBackend)
    assert choice.reason.startswith("the extension mime_fast._native cannot be imported")
    assert isinstance(chosen(device="cpu", backend="reference").backend, ReferenceBackend)  # no warning


def test_bfloat16_where_there_are_no_products_of_it() -> None:
    """Never without a word: it is no faster than float32 there."""
    with pytest.warns(UserWarning, match=r"^precision='bfloat16': generic has no bfloat16 products.*'screened'"):
        engine = mime_fast.load(device="cpu", precision="bfloat16", isa="generic")
    assert "generic has no bfloat16 products" in engine.describe()["remark"]


@pytest.mark.parametrize("precision", ["float32", "screened", "bfloat16", "int8"])
def test_no_warning_where_a_precision_pays(precision: str) -> None:
    isa = "avx512_bf16" if precision == "bfloat16" else "auto"
    if isa != "auto" and (why := _native.why_not(isa)):
        pytest.skip(why)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = mime_fast.load(device="cpu", precision=precision, isa=isa)
    assert "remark" not in engine.describe()


@pytest.mark.parametrize("interface", ["0" * 64, None], ids=["another", "older than the check"])
def test_an_extension_of_another_version_is_named_at_load(
    monkeypatch: pytest.MonkeyPatch, interface: str | None
) -> None:
    """In place of a TypeError in the first call whose arguments have changed since it was built."""
    stale = SimpleNamespace(**{name: value for name, value in vars(_native).items() if name != "interface"})
    if interface is not None:
        stale.interface = interface
    monkeypatch.setitem(sys.modules, "mime_fast._native", stale)
    told = r"_native was built for another version of mime_fast; .*build it again \(make build"
    with pytest.raises(BackendError, match=f"^backend='native' cannot run: .*{told}[^\n]*$"):
        mime_fast.load(backend="native")
    with pytest.warns(RuntimeWarning, match=f"{told}.*many times slower"):
        assert isinstance(chosen(device="cpu").backend, ReferenceBackend)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"backend": "native"}, "^device='cpu', backend='native' cannot run: .*cannot be imported"),
        ({"precision": "int8"}, "^device='cpu', precision='int8' cannot run: .*cannot be imported"),
        ({"precision": "bfloat16", "isa": "avx512"}, "precision='bfloat16', isa='avx512' cannot run: .*imported"),
    ],
)
def test_what_is_asked_for_by_name_runs_or_raises(unable: None, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        chosen(device="cpu", **wanted)


def test_an_instruction_set_that_is_missing(able: None) -> None:
    with pytest.raises(BackendError, match="isa='avx2' cannot run: this CPU has no AVX2"):
        chosen(device="cpu", isa="avx2")
    with pytest.raises(BackendError, match=r"isa='generic' cannot run: .*float64 is only for the reference"):
        chosen(device="cpu", precision="float64", isa="generic")


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"backend": "cpp"}, ConfigError, "backend='cpp': must be 'auto', 'cuda', 'native', 'reference'"),
        ({"backend": None}, ConfigError, "backend=None"),
        ({"isa": "sse"}, ConfigError, "isa='sse': must be 'auto', 'generic'"),
        ({"isa": ["avx2"]}, ConfigError, "isa="),
        ({"batch_size": 0}, ConfigError, "batch_size=0"),
        ({"batch_size": 1.5}, ConfigError, "batch_size=1.5"),
        ({"backend": "reference", "isa": "avx2"}, ConfigError, "isa='avx2' with backend='reference'"),
        ({"cuda_graphs": "no"}, ConfigError, "cuda_graphs='no': must be true or false"),
        ({"backend": "reference", "precision": "int8"}, BackendError, "int8 is only for the native back end"),
    ],
)
def test_arguments_are_checked_before_anything_is_read(
    wanted: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        mime_fast.load("no-such-model", **wanted)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, Triton and the extension."""
    monkeypatch.setattr("mime_fast.backends.kinds.why_no_gpu", lambda: "")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("mime_fast.reference.mime.Mime.to", lambda self, **_: self)
    monkeypatch.setattr("mime_fast.backends.gpu.backend.CudaBackend", StandInOnAGpu)
    monkeypatch.setattr("mime_fast.kernels.select.device_ops", lambda: "the kernels")
    monkeypatch.setattr("mime_fast.kernels.select.why_no_device_ops", lambda device: "")


class StandInOnAGpu:
    """A back end that only notes what it was made of."""

    name = "cuda"

    def __init__(self, _: Any, *made_of: Any) -> None:
        self.made_of = made_of

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_cuda_wherever_there_is_a_gpu(gpu: None, precision: str) -> None:
    for wanted in ({}, {"device": "cuda"}, {"cuda_graphs": False}, {"backend": "cuda", "batch_size": 7}):
        choice = chosen(precision=precision, **wanted)
        assert isinstance(choice.backend, StandInOnAGpu)
        assert choice.placement.device == "cuda"
        assert choice.batch_size == wanted.get("batch_size", 1024)
        assert choice.backend.made_of[:3] == (getattr(torch, precision), choice.batch_size, "the kernels")
        assert choice.backend.made_of[3].describe() == ("off: asked for" if "cuda_graphs" in wanted else "on")
    assert choice.reason == "asked for"


def test_a_gpu_does_not_draw_away_what_runs_only_on_the_cpu(gpu: None, able: None) -> None:
    ways: list[dict[str, Any]] = [{"precision": "int8"}, {"backend": "native"}, {"isa": "generic"}]
    for wanted in ways:
        choice = chosen(**wanted)
        assert isinstance(choice.backend, StandIn)
        assert choice.placement.device == "cpu"
        assert "native" in choice.placement.reason
    with pytest.raises(BackendError, match=r"backend='native' cannot run: it runs on the CPU, not on cuda"):
        chosen(device="cuda", backend="native")
    with pytest.raises(BackendError, match=r"device='cuda:1' cannot run: this machine has 1 GPU$"):
        chosen(device="cuda:1")


def test_the_reference_on_a_gpu_for_float64(gpu: None) -> None:
    assert chosen(precision="float64").placement.device == "cuda"
    assert isinstance(chosen(backend="reference").backend, ReferenceBackend)
    with pytest.raises(BackendError, match="it runs on the CPU, not on cuda"):
        chosen(device="cuda", precision="int8")
    assert torch_device("auto") == "cuda"
    assert torch_device("cpu") == "cpu"


@pytest.mark.parametrize("kind", [MultiTaskConfig, MoelConfig])
def test_a_gpu_is_not_for_baselines(gpu: None, able: None, kind: type[ModelConfig]) -> None:
    model = tiny(kind)
    assert isinstance(chosen(model).backend, StandIn)
    assert chosen(model).placement.reason == f"it runs only MIME, not a model of type {kind.model_type!r}"
    choice = chosen(model, backend="reference")
    assert isinstance(choice.backend, ReferenceBackend)
    assert choice.placement.device == "cpu"
    with pytest.raises(BackendError, match=f"^backend='cuda' cannot run: it runs only MIME.*'{kind.model_type}'"):
        chosen(model, backend="cuda")


FOUND: dict[str, Any] = {"torch.cuda.is_available": lambda: True}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mime_fast.extras.find_spec": lambda _: None}, "PyTorch is not installed (pip install 'mime-fast[torch]')"),
        ({"mime_fast.backends.placement._why_no_driver": lambda: "there is no NVIDIA driver"}, "no NVIDIA driver"),
        ({"torch.version.cuda": None}, "is built without CUDA"),
        ({}, "finds no usable NVIDIA GPU or driver"),
        (FOUND | {"mime_fast.kernels.select.installed": lambda _: False}, "triton is not installed"),
        (FOUND, "mime_fast._cuda is not there: nobody built it"),
    ],
)
def test_what_a_gpu_lacks(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str) -> None:
    """Asked for by name it raises; left to itself the CPU runs and says why."""
    defaults: dict[str, Any] = {
        "mime_fast.backends.kinds.why_no_gpu": why_no_gpu,
        "mime_fast.backends.placement._why_no_driver": lambda: "",
        "torch.version.cuda": "13.0",
        "torch.cuda.is_available": lambda: False,
        "mime_fast.kernels.select.installed": lambda _: True,
        "mime_fast.kernels.select._missing_extension": lambda: "nobody built it",
    }
    for name, value in (defaults | changes).items():
        monkeypatch.setattr(name, value)
    ways: list[dict[str, Any]] = [
        {"device": "cuda", "precision": "bfloat16"},
        {"backend": "cuda"},
        {"precision": "float16"},
    ]
    for wanted in ways:
        with pytest.raises(BackendError, match=re.escape(why)):
            Wanted(**wanted)
    kind, others = find_kind(Wanted(), "mime")
    assert (kind.name, list(others)) == ("native", ["cuda"])
    assert why in others["cuda"]
    with pytest.raises(BackendError, match="cuda: it runs on a GPU, and device='cpu' was asked for; native: float16"):
        Wanted(device="cpu", precision="float16")


def test_nothing_runs_without_torch_and_the_extension(monkeypatch: pytest.MonkeyPatch, unable: None) -> None:
    monkeypatch.setattr("mime_fast.extras.find_spec", lambda _: None)
    with pytest.raises(BackendError, match=r"^no back end can run") as found:
        Wanted()
    assert "_native cannot be imported" in str(found.value) and "mime-fast[torch]" in str(found.value)
    with pytest.raises(BackendError, match=r"float64' cannot run: PyTorch is not installed .*'mime-fast\[torch\]'"):
        Wanted(precision="float64")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_back_end_says_what_it_can_do(kind: Any) -> None:
    assert set(kind.precisions) <= CONTRACTS.keys()
    assert kind.batch_size > 0 and kind.about


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_an_engine_says_what_runs(model_folder: Path, precision: str) -> None:
    told = mime_fast.load(model_folder, device="cpu", precision=precision, batch_size=5).describe()
    assert told["backend"] == {"float32": "native", "float64": "reference"}[precision]
    assert told["backend_reason"]
    assert told["batch_size"] == 5
    assert told["contract"] == CONTRACTS[precision]
    assert told["threads"] >= 1
    assert (told["backend"] == "native") == ("isa" in told)
    assert {found["choice"] for found in told["implementations"].values()} == {told["backend"]}
