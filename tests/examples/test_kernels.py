"""The examples of kernels that torch can't see: figures derived by hand, and what is said where there is no rule."""

import runpy
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import CnncostError
from cnncost.opaque import registered
from cnncost.ops import cost_of

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


def scanned_back(u, delta, a, b, c, d, grad):
    """The scan's gradients element by element, with the MACs and the other operations that they take."""
    (n, channels, length), states = u.shape, a.shape[1]
    grads = [torch.zeros_like(t) for t in (u, delta, a, b, c, d)]
    of_u, of_delta, of_a, of_b, of_c, of_d = grads
    macs = others = 0
    for i, k in product(range(n), range(channels)):
        held, inputs = [[0.0] * states], []
        for t in range(length):  # the states anew
            inputs.append(delta[i, k, t] * u[i, k, t])
            others += 1
            held.append([])
            for s in range(states):
                decay, taken = torch.exp(delta[i, k, t] * a[k, s]), inputs[t] * b[i, s, t]
                held[-1].append(decay * held[-2][s] + taken)
                macs, others = macs + 1, others + 3
        later = [0.0] * states
        for t in reversed(range(length)):
            y, of_input = grad[i, k, t], 0.0
            for s in range(states):
                decay = torch.exp(delta[i, k, t] * a[k, s])  # kept from above
                of_state = later[s] + c[i, s, t] * y
                of_c[i, s, t] += held[t + 1][s] * y
                of_product = of_state * held[t][s] * decay
                of_delta[i, k, t] += of_product * a[k, s]
                of_a[k, s] += of_product * delta[i, k, t]
                of_b[i, s, t] += of_state * inputs[t]
                of_input += of_state * b[i, s, t]
                later[s] = of_state * decay  # the sum is the next step's
                macs, others = macs + 7, others + 2
            of_delta[i, k, t] += of_input * u[i, k, t]
            of_u[i, k, t] += of_input * delta[i, k, t] + d[k] * y
            of_d[k] += u[i, k, t] * y
            macs += 4
    return grads, macs, others


class Scanned(nn.Module):
    def __init__(self, function, tensors):
        super().__init__()
        self.function, self.tensors = function, nn.ParameterList(tensors)

    def forward(self):
        return self.function.apply(*self.tensors)


def test_the_scans_gradients_take_what_is_counted(example):
    shapes = ((2, 3, 4), (2, 3, 4), (3, 2), (2, 2, 4), (2, 2, 4), (3,))  # N 2, D 3, L 4, S 2
    tensors = [torch.rand(shape, dtype=torch.float64) for shape in shapes]
    grad = torch.rand(2, 3, 4, dtype=torch.float64)
    found, macs, others = scanned_back(*tensors, grad)
    wanted = [t.clone().requires_grad_() for t in tensors]
    real = example("selective_scan")["scan"](*wanted)
    for each, expected in zip(found, torch.autograd.grad(real, wanted, grad), strict=True):
        assert torch.allclose(each, expected)
    model = Scanned(example("selective_scan")["SelectiveScan"], tensors)
    report = cnncost.analyze(model, (), training=True, loss=lambda y: y.sum(), strict=True)
    (backward,) = [node for node in report.training.nodes if node.name == "SelectiveScan backward"]
    cost = cost_of(backward.spec)
    assert (cost.macs, cost.flops) == (macs, 2 * macs + others)


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
    with pytest.raises(TypeError, match=r"alternating names and ints, .* got 3 arguments.*label='…'"):
        make("scores", "N", 2)
