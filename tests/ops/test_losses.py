"""Losses that aren't elementwise distances: counts by hand, and from loops that return torch's result."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.frontends.torch import Training, record
from cnncost.ops import cost_of
from tests.oracles.ctc import ctc
from tests.versions import facts

if facts.CROSS_ENTROPY_OF_A_PROJECTION:
    from torch.nn.modules import linear_cross_entropy  # noqa: F401  # its ops are defined with it

projects = pytest.mark.skipif(not facts.CROSS_ENTROPY_OF_A_PROJECTION, reason="torch has no such op before 2.13")


class Loss(nn.Module):
    """Connectionist temporal classification with fixed labels and lengths."""

    def __init__(self, targets, steps, as_tensors=False):
        super().__init__()
        lengths = [len(t) for t in targets]
        self.steps, self.lengths = (
            (torch.tensor(steps), torch.tensor(lengths)) if as_tensors else (tuple(steps), tuple(lengths))
        )
        self.targets = torch.tensor([label for target in targets for label in target])

    def forward(self, log_probs):
        return F.ctc_loss(log_probs, self.targets, self.steps, self.lengths, reduction="sum")


def cost(graph, kind):
    """The cost of the one op of this kind."""
    (found,) = [node for node in graph.nodes if node.spec.kind == kind]
    return cost_of(found.spec)


@pytest.mark.parametrize("as_tensors", [False, True], ids=["numbers", "tensors"])
def test_ctc_by_hand(as_tensors):
    """Two sequences of 6 and 5 steps, of 3 and 2 labels: 7 and 5 states; 4 classes."""
    loss = Loss([[1, 2, 3], [1, 1]], [6, 5], as_tensors)
    graph = record(loss, torch.rand(6, 2, 4, requires_grad=True), training=Training())
    transitions = 5 * 7 + 4 * 5
    assert cost(graph, "ctc").flops == 13 * transitions + 9 * 2
    assert cost(graph, "ctc_backward").flops == 22 * transitions + 2 * 2 + 6 * (6 + 5) * 4
    assert cost(graph, "ctc").macs == cost(graph, "ctc_backward").macs == 0


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_ctc_matches_counting_loops(data):
    """The loops return torch's loss and gradient, and take the counted operations."""
    sequences, classes = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    labels = st.lists(st.integers(1, classes - 1), min_size=1, max_size=3)
    targets = data.draw(st.lists(labels, min_size=sequences, max_size=sequences))
    steps = [data.draw(st.integers(2 * len(t), 7)) for t in targets]  # enough for repeated labels
    torch.manual_seed(0)
    x = torch.randn(max(steps), sequences, classes).log_softmax(2).requires_grad_()
    loss = Loss(targets, steps)
    result = loss(x)
    result.backward()
    losses, forward = ctc(x.detach(), targets, steps, backward=False)
    gradient, backward = ctc(x.detach(), targets, steps, backward=True)
    torch.testing.assert_close(losses.sum(), result.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient, x.grad, rtol=1e-3, atol=1e-4)
    graph = record(loss, x.detach().requires_grad_(), training=Training())
    assert (cost(graph, "ctc").flops, cost(graph, "ctc_backward").flops) == (forward, backward)


@pytest.mark.parametrize(
    "loss",
    [
        lambda p, labels: F.ctc_loss(p, labels, (6, 6), (3, 3)),
        lambda p, labels: F.ctc_loss(p, labels, torch.tensor([6, 6]), torch.tensor([3, 3]), zero_infinity=True),
        lambda p, labels: F.ctc_loss(p, labels, torch.full((2,), 6), torch.full((2,), 3), reduction="none").sum(),
        lambda p, labels: nn.CTCLoss()(p, labels.flatten(), [6, 6], [3, 3]),
        lambda p, labels: F.ctc_loss(p[:, 0], labels[0], (6,), (3,)),
    ],
    ids=["numbers", "tensors", "each", "module", "one sequence"],
)
def test_ctc_backward_for_every_form_of_call(loss):
    labels = torch.tensor([[1, 2, 3], [3, 4, 4]])
    report = cnncost.analyze(
        nn.Linear(8, 5), torch.randn(6, 2, 8), training=True, loss=lambda y: loss(y.log_softmax(2), labels)
    )
    assert report.unknown == {}
    (forward, backward) = [row for row in report.phases if row.phase != "optimizer"]
    assert (forward.macs, backward.macs) == (6 * 2 * 8 * 5, 6 * 2 * 8 * 5)  # the input has no gradient


def test_ctc_with_computed_lengths():
    """Lengths that forward computes from an input are unknown."""

    class Computed(nn.Module):
        def forward(self, log_probs, targets, shares):
            return F.ctc_loss(log_probs, targets, (shares * 6).long(), torch.tensor([3, 3]))

    with pytest.raises(cnncost.CnncostError, match="reads the values of a tensor"):
        record(Computed(), (torch.rand(6, 2, 4), torch.ones(2, 3, dtype=torch.int64), "600000"))


N, C, WIDTH = 6, 5, 8


def projection(*wanted, bias=True):
    """The loss of logits x·Wᵀ, and the gradients in `wanted`, of (input, weight, bias)."""
    linear = nn.Linear(WIDTH, C, bias=bias).requires_grad_(False)

    def function(x, target):
        return torch.ops.torch_nn._linear_cross_entropy_batch_chunked(
            x, linear.weight, target, linear.bias, None, "mean", -100, 0.0, 4, "compact", torch.float32, False, *wanted
        )

    return function


PRODUCT = N * C * WIDTH
PROJECTIONS = {
    # per logit: bias, maximum, −, exp, sum; per row: log, and two products that are summed
    "the loss alone": (projection(False, False, False), PRODUCT, N * C * 5 + N * 5),
    "no bias": (projection(False, False, False, bias=False), PRODUCT, N * C * 4 + N * 5),
    # and one product per logit and per row; the weight's row of the target, weighted and added
    "gradient of the input": (projection(True, False, False), 2 * PRODUCT, N * C * 6 + N * 6 + N * WIDTH * 2),
    "all gradients": (projection(True, True, True), 3 * PRODUCT, N * C * 7 + N * 6 + 2 * N * WIDTH * 2),
}


@projects
@pytest.mark.parametrize(("function", "macs", "others"), PROJECTIONS.values(), ids=PROJECTIONS)
def test_cross_entropy_of_a_projection_in_chunks(analyze, function, macs, others):
    report = analyze(function, (N, WIDTH), f"{N}:int64")
    assert (report.totals.macs, report.totals.flops) == (macs, 2 * macs + others)
    assert any("linear_cross_entropy" in name for name in report.memory.figures.unseen)  # a chunk's logits


@projects
def test_cross_entropy_of_a_projection_for_each_row(analyze):
    def function(x, weight, target):
        op = torch.ops.torch_nn._linear_cross_entropy_batch_chunked_no_reduction
        return op(x, weight, target, None, None, -100, 4, "compact", torch.float32)

    totals = analyze(function, (N, WIDTH), (C, WIDTH), f"{N}:int64").totals
    assert (totals.macs, totals.flops) == (PRODUCT, 2 * PRODUCT + N * C * 4 + N * 5)
