"""The device back end on a GPU where there is one, else on the CPU by the plain ops: the same code but the kernels."""

from __future__ import annotations

import torch

from mime_fast.backends.gpu.backend import CudaBackend
from mime_fast.backends.gpu.graphs import Graphs
from mime_fast.backends.placement import Placement
from mime_fast.backends.reference import ReferenceBackend
from mime_fast.checkpoints.model_folder import ModelWeights
from mime_fast.config.model import MimeConfig
from mime_fast.kernels.select import Ops, device_ops, plain_ops, why_no_device_ops
from mime_fast.reference.mime import Mime
from tests.native.parity_case import BATCH_SIZE, Case, torch_model
from tests.native.random_models import Tensors

ON_DEVICE = torch.cuda.is_available() and not why_no_device_ops()


def torch_mime(config: MimeConfig, tensors: Tensors) -> Mime:
    model = torch_model(config, tensors)
    assert isinstance(model, Mime)
    return model


def device_backend(
    config: MimeConfig, tensors: Tensors, batch_size: int = BATCH_SIZE, dtype: torch.dtype = torch.float32
) -> CudaBackend:
    ops: Ops = device_ops() if ON_DEVICE else plain_ops("for tests")
    model = torch_mime(config, tensors).to("cuda" if ON_DEVICE else "cpu")
    return CudaBackend(model, dtype, batch_size, ops, Graphs("" if ON_DEVICE else "for tests"))


class DeviceCase(Case):
    """`native` is the device back end."""

    def __init__(self, config: MimeConfig, tensors: Tensors, *, batch_size: int = BATCH_SIZE) -> None:
        self.config = config
        self.native = device_backend(config, tensors, batch_size)
        dtypes = torch.float32, torch.float64
        model, exact = (ModelWeights.of(torch_model(config, tensors).to(dtype)) for dtype in dtypes)
        self.plain = ReferenceBackend(model, Placement("cpu", "float32", ""), 64, 1)
        self.exact = ReferenceBackend(exact, Placement("cpu", "float64", ""), 64, 1)
        self.all = (self.native, self.plain, self.exact)
