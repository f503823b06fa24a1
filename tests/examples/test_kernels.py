"""The examples of kernels that torch can't see: figures derived by hand, and what is said where there is no rule."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import CnncostError
from cnncost.opaque import registered

torch.set_num_threads(1)

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example():
    """Run an example, and forget its rules afterwards; what it defines."""
    before = {rule.target for rule in registered()}
    yield lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"))
    for rule in registered():
        if rule.target not in before:
            cnncost.forget_rule(rule.target)


# Linear layers: MACs forward, and in backward once for the weights and, where the input needs one, once for the input.
N, L, D, S = 2, 32, 16, 8
SCAN_IN, SCAN_OUT = N * L * D * (2 * D + 2 * S), N * L * D * D
H, K, HEADS, C = 14, 5, 4, 8
WEIGHTS = HEADS * H * H * K * K
QKV, PROJ = H * H * 32 * 96, H * H * 32 * 32
POINTS, P, M = 100, 15, 12

CASES = [
    # name, model, inputs, forward MACs, backward MACs, FLOPs of the op forward
    pytest.param(
        "selective_scan", "Block", (N, L, D), SCAN_IN + SCAN_OUT + 2 * N * D * L * S + N * D * L,
        SCAN_IN + 2 * SCAN_OUT + N * D * L * S + 7 * N * D * L * S + 4 * N * D * L,
        ("SelectiveScan", 2 * (2 * N * D * L * S + N * D * L) + 3 * N * D * L * S + N * D * L), id="selective scan",
    ),
    pytest.param(
        "neighborhood_attention", "NeighborhoodAttention", (1, H, H, 32), QKV + PROJ + 2 * WEIGHTS * C,
        QKV + 2 * PROJ + 4 * WEIGHTS * C,
        ("Neighborhoods", 2 * 2 * WEIGHTS * C + HEADS * H * H * C + 5 * WEIGHTS), id="neighborhood attention",
    ),
    pytest.param(
        "kernel_point_convolution", "Network", ((POINTS, 3), f"{POINTS}x{M}:int64", (POINTS, 4)),
        POINTS * P * (M * 4 + 4 * 16 + M * 16 + 16 * 32) + POINTS * 32 * 10,
        POINTS * P * 4 * 16 + POINTS * P * (2 * 16 * 32 + M * 16) + 2 * POINTS * 32 * 10,
        (
            "KernelPointConvolution",
            2 * POINTS * P * (M * 4 + 4 * 16 + M * 16 + 16 * 32) + 2 * (3 * POINTS * M + 12 * POINTS * P * M),
        ),
        id="kernel point convolution",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "model", "inputs", "forward", "backward", "op"), CASES)
def test_figures_are_those_derived_by_hand(name, model, inputs, forward, backward, op, example):
    report = cnncost.analyze(example(name)[model](), inputs, training=True, strict=True)
    assert report.totals.macs == forward
    assert [row.macs for row in report.phases] == [forward, backward]
    assert {each.name: each.flops for each in report.ops}[op[0]] == op[1]
    assert report.assumed == ()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "model", "inputs", "forward", "backward", "op"), CASES)
def test_a_real_run_counts_the_same(name, model, inputs, forward, backward, op, training, example):
    if name == "kernel_point_convolution":
        inputs = (torch.rand(POINTS, 3), torch.randint(POINTS, (POINTS, M)), torch.rand(POINTS, 4))
    report = cnncost.analyze(example(name)[model](), inputs, training=training, trace="real")
    assert report.totals.macs == forward
    if training:
        assert [row.macs for row in report.phases] == [forward, backward]


@pytest.mark.parametrize(("name", "model", "inputs", "forward", "backward", "op"), CASES)
def test_without_the_rule_the_kernel_can_not_be_run(name, model, inputs, forward, backward, op, example):
    namespace = example(name)
    (target,) = [rule.target for rule in registered() if rule.target in namespace.values()]
    cnncost.forget_rule(target)
    with pytest.raises(CnncostError, match="a tensor without data"):
        cnncost.analyze(namespace[model](), inputs)


def test_the_scan_is_a_linear_recurrence(example):
    """With A = 0 states are sums of Δ·u·B, so that y[t] = C[t]·Σ Δ·u·B + D·u[t]."""
    scan = example("selective_scan")["scan"]
    u, delta, b, c = torch.rand(1, 2, 5), torch.rand(1, 2, 5), torch.rand(1, 3, 5), torch.rand(1, 3, 5)
    d = torch.rand(2)
    states = ((delta * u)[:, :, None] * b[:, None]).cumsum(-1)
    expected = (states * c[:, None]).sum(2) + d[:, None] * u
    assert torch.allclose(scan(u, delta, torch.zeros(2, 3), b, c, d), expected, atol=1e-6)


def test_neighborhoods_as_large_as_the_image_are_attention(example):
    attend = example("neighborhood_attention")["Neighborhoods"](5)
    q, k, v = (torch.rand(1, 2, 5, 5, 4) for _ in range(3))
    flat = [x.flatten(2, 3) for x in (q, k, v)]
    expected = nn.functional.scaled_dot_product_attention(*flat).view(1, 2, 5, 5, 4)
    assert torch.allclose(attend.forward(q, k, v), expected, atol=1e-6)


def test_the_weights_of_attention_live_until_backward(example):
    report = cnncost.analyze(example("neighborhood_attention")["NeighborhoodAttention"](), (1, H, H, 32), training=True)
    (saved,) = [s for s in report.training.storages if s.nbytes == 4 * WEIGHTS and s.born is not None]
    assert report.training.nodes[saved.died].name == "Neighborhoods backward"


@pytest.mark.parametrize("make", [cnncost.macs, lambda *pairs: cnncost.flops("sum", 1, *pairs)])
def test_a_name_too_many_is_told_with_what_to_do(make):
    with pytest.raises(TypeError, match=r"names and whole numbers in turn, .* got 3 arguments.*what='…'"):
        make("scores", "N", 2)
