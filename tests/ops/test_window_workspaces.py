"""Copies of non-contiguous operands in kernels of pools, resizing, norms and softmax, compared with the allocator."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnncost
from cnncost.ops.workspace import Kernels
from tests.oracles.allocations import peaks

N, C, H, W = 2, 16, 12, 20
LAYOUTS = {
    "contiguous": ((N, C, H, W), lambda x: x),
    "channels_last": ((N, H, W, C), lambda x: x.permute(0, 3, 1, 2)),
    "some of the channels": ((N, 2 * C, H, W), lambda x: x[:, :C]),
    "some of the columns": ((N, C, H, W + 5), lambda x: x[..., :W]),
    "some of the last channels": ((N, H, W, 3 * C), lambda x: x[..., :C].permute(0, 3, 1, 2)),
    "rows and columns exchanged": ((N, C, W, H), lambda x: x.transpose(2, 3)),
}
OPS = {
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 1),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, 3),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 3),
    "a global average": lambda x: F.adaptive_avg_pool2d(x, 1),
    "max_pool1d": lambda x: F.max_pool1d(x[:, :, 0], 2),
    "max_pool3d": lambda x: F.max_pool3d(x.unsqueeze(2), (1, 2, 2)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest-exact": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "bilinear": lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
    "bilinear, large": lambda x: F.interpolate(x, (64, 65), mode="bilinear"),
    "nearest, of one channel": lambda x: F.interpolate(x[:, :1], scale_factor=2),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "batch_norm": lambda x: F.batch_norm(x, x.new_zeros(C), x.new_ones(C)),
    "softmax of rows": lambda x: F.softmax(x, -1),
    "log_softmax of channels": lambda x: F.log_softmax(x, 1),
}
SMALL = 4096
"""Bytes of statistics, indices and weights of a filter, of which there is no estimate."""


class On(nn.Module):
    def __init__(self, op, layout):
        super().__init__()
        self.op, self.layout = op, layout

    def forward(self, x):
        return self.op(self.layout(x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", OPS)
def test_the_raw_peak_is_the_allocators(op, layout):
    shape, view = LAYOUTS[layout]
    model, x = On(OPS[op], view), torch.rand(shape)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            real = peaks(lambda: model(x)).everything
    finally:
        torch.set_num_threads(threads)
    memory = cnncost.analyze(model, shape).memory
    assert abs(memory.with_workspaces(Kernels(lanes=8, threads=1), False).nbytes - x.nbytes - real) <= SMALL
