"""CONTRIBUTING's recipe for an op: after one declaration and one lowering, every pass supports it.

The op blurs rows: each row of the result is the mean of `size` rows, by a padded copy of the input.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.errors import GraphError
from cnncost.frontends.torch.lowering.registry import lowers
from cnncost.ops import cost, flops, kind, one, verify_graph
from cnncost.ops.reach import Route, routes
from cnncost.ops.reach.windows import sliding


@torch.library.custom_op("recipe::row_blur", mutates_args=())
def row_blur(x: torch.Tensor, size: int) -> torch.Tensor:
    padded = F.pad(x, (0, 0, size // 2, size // 2))
    return F.avg_pool2d(padded, (size, 1), 1)


@row_blur.register_fake
def _(x, size):
    return torch.empty_like(x)


# ---- what a contributor writes


@lowers("recipe::row_blur")
def lower_row_blur(call):
    return "row_blur", {"size": call["size"]}


def rows_seen(spec):
    """A window of rows, padded so that there are as many as before."""
    rows, size = spec.inputs[0].shape[2], spec["size"]
    return routes(Route(0, (sliding(2, rows, rows, kernel=size, padding=size // 2),)))


def padded_copy(spec):
    """The input with size // 2 rows more above and below."""
    n, c, h, w = spec.inputs[0].shape
    return 4 * n * c * (h + 2 * (spec["size"] // 2)) * w


def odd(spec):
    return None if spec["size"] % 2 else f"expected an odd size, got {spec['size']}"


@kind(
    "row_blur",
    inputs=(one("x", 4),),
    outputs=(one("y", 4),),
    attributes={"size": int},
    reach=rows_seen,
    scratch=padded_copy,
    check=odd,
)
def row_blur_cost(spec):
    """FLOPs = E·R: R − 1 sums and a division for each of E elements."""
    return cost(spec, flops("sum and divide", 1, "E", spec.outputs[0].numel, "R", spec["size"]))


# ---- what every pass then knows


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)

    def forward(self, x):
        return row_blur(self.conv(x), 5)


@pytest.fixture(scope="module")
def report():
    return cnncost.analyze(Net(), (1, 1, 12, 10))


def test_its_cost(report):
    """The convolution leaves 2·10·8 elements of 9 MACs; the blur takes 5 FLOPs for each."""
    assert (report.totals.macs, report.totals.flops) == (160 * 9, 160 * 9 * 2 + 160 * 5)
    assert report.unknown == {}


def test_its_receptive_field(report):
    """3 rows, and 4 more; 3 columns."""
    field = report.receptive_field("")
    assert (field.size, field.jump, field.start) == ((7, 3), (1, 1), (-2, 0))


def test_its_memory(report):
    """18 weights, an input of 120; while it runs 160 in, 160 out, and a padded copy of 2·14·8; 4 bytes each."""
    assert report.memory.inference_peak == 4 * (18 + 120 + 160 + 160 + 2 * 14 * 8)


def test_it_is_checked(report):
    verify_graph(report.graph)
    (number,) = (i for i, node in enumerate(report.graph.nodes) if node.spec.kind == "row_blur")
    for size, said in ((4, "kind 'row_blur': expected an odd size, got 4"), (5.0, "expected int, got 5.0")):
        nodes = list(report.graph.nodes)
        nodes[number] = nodes[number]._replace(spec=replace(nodes[number].spec, attrs=(("size", size),)))
        with pytest.raises(GraphError, match=f"node {number} .*{said}"):
            verify_graph(replace(report.graph, nodes=tuple(nodes)))
