"""CONTRIBUTING's recipe for an op: after one declaration and one lowering, every pass supports it.

The op blurs rows: each row of the result is the mean of `size` rows, by a padded copy of the input. Two more are
products with traits: what passes do for products, they do for these.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.budget.settings import settings
from cnncost.devices import Device
from cnncost.errors import GraphError
from cnncost.frontends.torch.lowering.registry import lowers
from cnncost.ops import cost, flops, kind, macs, one, verify_graph
from cnncost.ops.kinds import having
from cnncost.ops.reach import Route, routes
from cnncost.ops.reach.windows import sliding
from cnncost.passes.roofline import roofline


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


# ---- products: the traits of a declaration


@torch.library.custom_op("recipe::times", mutates_args=())
def times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


@torch.library.custom_op("recipe::project", mutates_args=())
def project(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x @ w.T


@times.register_fake
def _(a, b):
    return a.new_empty(*a.shape[:-1], b.shape[-1])


@project.register_fake
def _(x, w):
    return x.new_empty(*x.shape[:-1], w.shape[0])


@kind("recipe::times", inputs=(one("a", 2, None), one("b", 2, None)), traits=("product",))
def times_cost(spec):
    """MACs = Y·K: each of Y outputs is a sum of K products."""
    return cost(spec, macs("Y", spec.outputs[0].numel, "K", spec.inputs[0].shape[-1]))


@kind("recipe::project", inputs=(one("x", 1, None), one("w", 2)), traits=("product", "weighted"))
def project_cost(spec):
    """MACs = Y·K: each of Y outputs is a sum of K products."""
    return cost(spec, macs("Y", spec.outputs[0].numel, "K", spec.inputs[0].shape[-1]))


class Attention(nn.Module):
    """By products of its own: 4 queries and keys of width 8, from 6 features."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 6))
        self.weight.data[:, :3] = 0

    def forward(self, x):
        x = project(x, self.weight)
        scores = times(x, x.transpose(-1, -2)).masked_fill(torch.ones(4, 4).triu(1).bool(), -float("inf"))
        return times(scores.softmax(-1), x)


OWN, PROJECTED, SCORED = Attention(), 4 * 8 * 6, 2 * 4 * 4 * 8


@pytest.fixture(scope="module")
def attention():
    return cnncost.analyze(OWN, (4, 6))


def test_products_of_a_new_kind_are_counted(attention):
    assert (attention.totals.macs, attention.unknown) == (PROJECTED + SCORED, {})


def test_attention_by_products_of_a_new_kind_is_found(attention):
    """A mask that may leave out pairs makes their number an upper bound."""
    assert attention.with_masks().totals.mask_unknown


def test_zeros_in_weights_of_a_new_kind_are_counted():
    found = cnncost.effective_macs(OWN, (4, 6))
    assert (found.dense, found.macs, found.in_full) == (PROJECTED + SCORED, PROJECTED // 2 + SCORED, 0)


def test_zeros_in_a_run_with_a_new_kind_are_counted():
    """Input and weight are zero in the same half of the 6 features. Softmax makes 6 of 16 weights of pairs zero."""
    x = torch.ones(4, 6)
    x[:, :3] = 0
    found = cnncost.effective_macs(OWN, x, activations=True)
    assert (found.macs, found.in_full) == (PROJECTED // 2 + SCORED // 2 + 10 * 8, 0)


def test_operands_of_a_new_kind_are_packed(attention):
    """The larger of each product: 8·6, 4·8 and 4·8 numbers of 4 bytes, read and written once more."""
    device = Device("cpu", "a CPU", "cpu", {"float32": 1e12}, 1e10, "this test", copies=True)
    copies = [time.copies for time in roofline(attention.graph, device).nodes if time is not None and time.copies]
    assert copies == pytest.approx([2 * 4 * n / 1e10 for n in (8 * 6, 4 * 8, 4 * 8)])


def test_settings_of_a_new_kind_are_shown(attention):
    class Alone(nn.Module):
        def forward(self, x, w):
            return project(x, w)

    assert settings(cnncost.analyze(Alone(), ((4, 6), (8, 6))).graph)[""] == {"in": "6", "out": "8"}


def test_a_trait_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="trait 'prodct' does not exist; expected one of product, convolution, weigh"):
        kind("recipe::other", inputs=(), traits=("prodct",))
    with pytest.raises(ValueError, match="a convolution needs the attribute 'padding', as 'conv' has it"):
        kind("recipe::other", inputs=(), traits=("convolution",), attributes={"kernel": int, "stride": int})
    assert {"linear", "recipe::project"} <= having("product") & having("weighted")
