from __future__ import annotations

from math import ceil, log2, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost_of
from tests.oracles import naive
from tests.oracles.counting import tallied

SHAPE = (3, 4, 5)
N = 60


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(torch.sum, N - 1, id="sum of all: one addition less than there are elements"),
        pytest.param(lambda x: x.sum(1), N - 15, id="sums along an axis"),
        pytest.param(lambda x: x.sum((0, 2)), N - 4, id="sums along two axes"),
        pytest.param(lambda x: x.sum(1, keepdim=True), N - 15, id="sums that keep the axis"),
        pytest.param(torch.prod, N - 1, id="product of all"),
        pytest.param(torch.mean, N, id="mean: a sum and a division"),
        pytest.param(lambda x: x.mean(1), N, id="means along an axis: 45 additions, 15 divisions"),
        pytest.param(torch.amax, N - 1, id="amax"),
        pytest.param(lambda x: x.max(1), N - 15, id="maxima with their places"),
        pytest.param(lambda x: x.min(1).values, N - 15, id="minima"),
        pytest.param(torch.argmax, N - 1, id="place of the maximum"),
        pytest.param(torch.argmin, N - 1, id="place of the minimum"),
        pytest.param(torch.nansum, 2 * N - 1, id="sum without NaN: a comparison an element more"),
        pytest.param(torch.nanmean, 3 * N, id="mean without NaN: and how many those are"),
        pytest.param(torch.count_nonzero, 0, id="counting is no arithmetic on floating-point numbers"),
        pytest.param(torch.any, 0, id="any: logic"),
        pytest.param(torch.all, 0, id="all: logic"),
        pytest.param(torch.aminmax, 2 * (N - 1), id="both extremes"),
        pytest.param(lambda x: x.median(1), N - 15, id="medians"),
        pytest.param(torch.var, 4 * N, id="variance: mean n, deviations n, squares n, their mean n"),
        pytest.param(lambda x: x.var(1), 4 * N, id="variances along an axis"),
        pytest.param(torch.std, 4 * N + 1, id="deviation: and a root"),
        pytest.param(lambda x: x.std(1), 4 * N + 15, id="deviations along an axis: and 15 roots"),
        pytest.param(lambda x: torch.var_mean(x, 1), 4 * N, id="variances with the means that they took"),
        pytest.param(lambda x: torch.std_mean(x, 1), 4 * N + 15, id="deviations with their means"),
        pytest.param(torch.norm, 2 * N, id="norm: squares n, sums n − 1, a root"),
        pytest.param(lambda x: torch.linalg.vector_norm(x, dim=1), 2 * N, id="norms along an axis"),
        pytest.param(lambda x: torch.logsumexp(x, 1), 4 * N, id="logsumexp: max, −, exp, sums, log and +"),
        pytest.param(lambda x: x[0, :, :4].trace(), 4 - 1, id="trace: a sum of the diagonal"),
        pytest.param(lambda x: torch.any(x > 0), N, id="any: the comparison alone"),
        pytest.param(lambda x: torch.all(x > 0, 1), N, id="all: the comparison alone"),
        pytest.param(lambda x: torch.dist(x, x), 3 * N + 1, id="dist: differences, powers, sums and a root"),
        pytest.param(lambda x: F.softmax(x, 1), 5 * N, id="softmax: maximum, −, exp, sum, /"),
        pytest.param(lambda x: F.log_softmax(x, 1), 5 * N, id="log-softmax: maximum, −, exp, sum, −"),
        pytest.param(lambda x: F.softmin(x, 1), 6 * N, id="softmin: and a negation"),
        pytest.param(lambda x: x.cumsum(1), N - 15, id="running sums: the first of each row is free"),
        pytest.param(lambda x: x.cumprod(2), N - 12, id="running products"),
        pytest.param(lambda x: torch.vander(x[0, 0], 6), 5 * 4, id="vander: powers from x², by running products"),
        pytest.param(lambda x: torch.linalg.vander(x[0], N=6), 4 * 5 * 4, id="vander of linalg: the same, in a batch"),
        pytest.param(lambda x: x.cummax(0), N - 20, id="running maxima"),
        pytest.param(lambda x: x.logcumsumexp(1), 4 * (N - 15), id="running logsumexp"),
        pytest.param(lambda x: x.diff(dim=1), 3 * 3 * 5, id="differences of neighbours"),
        pytest.param(lambda x: x.sort(2), N * 3, id="sort: 5 elements take ⌈log₂ 5⌉ = 3 comparisons each"),
        pytest.param(lambda x: x.sort(1), N * 2, id="sort along an axis of 4: 2 each"),
        pytest.param(lambda x: x.argsort(1), N * 2, id="argsort"),
        pytest.param(lambda x: x.msort(), N * 2, id="msort along an axis of 3: 2 each"),
        pytest.param(lambda x: x.topk(2, 1), N * 2, id="topk"),
        pytest.param(lambda x: x.topk(2), N * 3, id="topk along the last axis"),
        pytest.param(lambda x: x.kthvalue(2, 1), N * 2, id="kthvalue"),
        pytest.param(lambda x: x[:, :2].sort(1), 30, id="sort along an axis of 2: one comparison each"),
        pytest.param(lambda x: x[:, :1].sort(1), 0, id="one element is sorted"),
        pytest.param(lambda x: x[0, :1, :1].trace(), 0, id="trace of one number"),
    ],
)
def test_flops_by_hand(counted, function, expected):
    assert counted(function, SHAPE) == (0, expected)


@pytest.mark.parametrize(
    "function",
    [torch.sum, torch.prod, torch.amax, torch.argmax, torch.cumsum, torch.sort, torch.topk, torch.count_nonzero],
)
def test_integers_are_free(counted, function):
    x = torch.ones(3, 4, dtype=torch.int64, device="meta")
    more = {torch.cumsum: (0,), torch.topk: (2,)}.get(function, ())
    assert counted(lambda i: function(i, *more), x) == (0, 0)


@settings(max_examples=40, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), data=st.data())
def test_reductions_along_any_axes(counted, shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    outs = prod(size for axis, size in enumerate(shape) if axis not in axes)
    dim = tuple(axes)
    x = tuple(shape)
    assert counted(lambda x: x.sum(dim), x) == (0, prod(shape) - outs)
    assert counted(lambda x: x.mean(dim), x) == (0, prod(shape))
    assert counted(lambda x: x.amax(dim), x) == (0, prod(shape) - outs)


@pytest.mark.parametrize("log", [False, True])
def test_softmax_does_what_is_counted(counted, log):
    x = torch.rand(2, 5, dtype=torch.float64)

    def function(x):
        return (F.log_softmax if log else F.softmax)(x, dim=1)

    result, tally = tallied(naive.softmax, x, log=log)
    torch.testing.assert_close(result, function(x))
    assert counted(function, x) == (0, tally.flops)


def test_a_sparse_sum_counts_stored_elements_minus_results():
    kind = TensorType((3, 4), "float32")
    cost = cost_of(OpSpec("sparse::reduce", (kind,), (kind,), (("fn", "sum"), ("stored", 7), ("left", 3))))
    assert [(term.flops, term.factors) for term in cost.terms] == [(1, (("Z", 7),)), (-1, (("O", 3),))]
    assert cost.flops == 7 - 3


# ---- searching


@pytest.mark.parametrize(
    ("boundaries", "values"),
    [(8, 3), (8, 100), (1000, 5), (5, 3), (1, 4)],
)
def test_searching_halves_the_boundaries_for_each_value(counted, boundaries, values):
    """⌈log₂ B⌉ comparisons per value, for any number of values."""
    expected = values * ceil(log2(boundaries))
    assert counted(torch.searchsorted, (boundaries,), (values,)) == (0, expected)
    assert counted(torch.bucketize, (values,), (boundaries,)) == (0, expected)


# ---- distances


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        pytest.param(torch.cdist, [(3, 4), (5, 4)], 15 * (3 * 4 + 1), id="cdist: 15 pairs, −, power, + and a root"),
        pytest.param(torch.cdist, [(2, 3, 4), (2, 5, 4)], 30 * (3 * 4 + 1), id="cdist of batches"),
        pytest.param(torch.cdist, [(30, 4), (40, 4)], 1200 * (3 * 4 + 1), id="cdist of many: the same by pair"),
        pytest.param(lambda a, b: torch.cdist(a, b, p=1.0), [(3, 4), (5, 4)], 15 * 13, id="cdist with another power"),
        pytest.param(F.pdist, [(4, 3)], 6 * (3 * 3 + 1), id="pdist: 4·3/2 pairs"),
        pytest.param(nn.PairwiseDistance(), [(3, 4), (3, 4)], 2 * 12 + 2 * 12, id="by row: −, +ε, then a norm"),
        pytest.param(
            nn.CosineSimilarity(),
            [(3, 4), (3, 4)],
            2 * (2 * 12 + 3 + 12) + 12 + 9,
            id="cosine by row: two norms, max with ε, quotients; products and their sums",
        ),
        pytest.param(torch.linalg.cross, [(5, 3), (5, 3)], 15 * 3, id="cross: two products and a difference"),
    ],
)
def test_flops_of_distances(counted, function, shapes, expected):
    assert counted(function, *shapes) == (0, expected)


# ---- Fourier transforms


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        pytest.param(torch.fft.fft, "3x8:complex64", 3 * 5 * 8 * 3, id="3 of 8 points: 5·N·log₂N each"),
        pytest.param(torch.fft.ifft, "3x8:complex64", 3 * 5 * 8 * 3, id="and back"),
        pytest.param(torch.fft.rfft, (3, 8), 3 * 5 * 8 * 3 // 2, id="of real numbers: half"),
        pytest.param(torch.fft.fft, (3, 8), 3 * 5 * 8 * 3 // 2, id="of real numbers, written out to both sides: half"),
        pytest.param(torch.fft.irfft, "3x5:complex64", 3 * 5 * 8 * 3 // 2, id="to 8 real numbers: half"),
        pytest.param(torch.fft.fft2, "2x4x8:complex64", 2 * 5 * 32 * 5, id="2 planes of 32 points"),
        pytest.param(torch.fft.rfft2, (2, 4, 8), 2 * 5 * 32 * 5 // 2, id="real planes: half"),
        pytest.param(torch.fft.fftn, "4x8:complex64", 5 * 32 * 5, id="over all axes"),
        pytest.param(torch.fft.fft, "1x5:complex64", 5 * 5 * 3, id="5 points take as many steps as 8"),
        pytest.param(torch.fft.fft, "1x6:complex64", 5 * 6 * 3, id="6 points take ⌈log₂ 6⌉ = 3 steps"),
        pytest.param(lambda x: torch.fft.fft(x, dim=0), "8x3:complex64", 3 * 5 * 8 * 3, id="along another axis"),
        pytest.param(lambda x: torch.fft.fft(x, n=8), "3x5:complex64", 3 * 5 * 8 * 3, id="padded to 8 points"),
        pytest.param(torch.fft.fftshift, (3, 8), 0, id="a shift of halves"),
    ],
)
def test_flops_of_fourier_transforms(counted, function, x, expected):
    assert counted(function, x) == (0, expected)


# ---- losses

X, Y = (4, 5), (4, 5)


@pytest.mark.parametrize(
    ("loss", "each"),
    [
        pytest.param(nn.L1Loss, 2, id="L1: |x − y|"),
        pytest.param(nn.MSELoss, 2, id="MSE: (x − y)²"),
        pytest.param(nn.SmoothL1Loss, 5, id="smooth L1: −, abs, <, ½·d²/β as two"),
        pytest.param(nn.HuberLoss, 5, id="Huber"),
        pytest.param(nn.BCELoss, 6, id="cross entropy of bits: two logs, 1 − t, two products, −"),
        pytest.param(nn.BCEWithLogitsLoss, 7, id="cross entropy of bits, from logits"),
        pytest.param(nn.KLDivLoss, 4, id="divergence: t·(log t − x)"),
        pytest.param(nn.SoftMarginLoss, 4, id="soft margin: log(1 + exp(−t·x))"),
    ],
)
@pytest.mark.parametrize(
    ("reduction", "more"),
    [("none", 0), ("sum", 19), ("mean", 20)],
)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")
def test_flops_of_a_loss(counted, loss, each, reduction, more):
    """Costs of 20 elements, then 19 additions, and one division for a mean."""
    assert counted(loss(reduction=reduction), X, Y) == (0, each * 20 + more)


@pytest.mark.parametrize(
    ("loss", "inputs", "expected"),
    [
        pytest.param(nn.L1Loss(), ["1", "1"], 2 + 1, id="one element: nothing to sum, a division by 1"),
        pytest.param(nn.NLLLoss(), ["4x5", "4:int64"], 4 + 4, id="NLL: four picked and negated, then their mean"),
        pytest.param(nn.NLLLoss(reduction="sum"), ["4x5", "4:int64"], 4 + 3, id="NLL, summed"),
        pytest.param(nn.NLLLoss(reduction="none"), ["4x5", "4:int64"], 4, id="NLL, of each"),
        pytest.param(nn.NLLLoss(), ["2x5x3x3", "2x3x3:int64"], 18 + 18, id="NLL of a plane"),
        pytest.param(nn.CrossEntropyLoss(), ["4x5", "4:int64"], 5 * 20 + 8, id="cross entropy: log-softmax, then NLL"),
        pytest.param(nn.CrossEntropyLoss(), ["2x5x3x3", "2x3x3:int64"], 5 * 90 + 36, id="cross entropy of a plane"),
        pytest.param(
            nn.CrossEntropyLoss(), ["4x5", "4x5"], 5 * 20 + 20 + 19 + 2,
            id="cross entropy of distributions: products, their sum, −, mean",
        ),
        pytest.param(nn.KLDivLoss(reduction="batchmean"), ["4x5", "4x5"], 4 * 20 + 19 + 1, id="divergence by example"),
        pytest.param(nn.PoissonNLLLoss(), ["4x5", "4x5"], 3 * 20 + 20, id="Poisson: exp x − t·x, mean"),
        pytest.param(
            nn.HingeEmbeddingLoss(), ["4x5", "4x5"], 5 * 20 + 20,
            id="hinge: margin − x, max with 0, two comparisons of the target, sum; mean",
        ),
        pytest.param(
            nn.MarginRankingLoss(), ["4", "4", "4"], 5 * 4 + 4, id="ranking: x − y, −t, ·, + margin, max with 0; mean"
        ),
        pytest.param(
            nn.TripletMarginLoss(), ["4x5", "4x5", "4x5"], 2 * 4 * 20 + 3 * 4 + 4,
            id="triplets: two distances (−, +ε, norm), then by row + margin, −, max with 0; mean",
        ),
        pytest.param(
            nn.MultiMarginLoss(), ["4x5", "4:int64"], 4 * 20 + 19 + 1,
            id="several margins: margin − x_y, + x, max with 0, summed by row; mean",
        ),
        pytest.param(
            nn.CosineEmbeddingLoss(), ["4x5", "4x5", "4"], 3 * (20 + 16) + 2 * 4 + 9 * 4 + 4,
            id="cosine: three products and their sums, +ε twice, by row ·, √, /, 1 −, − margin, max, =, =, +; mean",
        ),
        pytest.param(
            nn.MultiLabelSoftMarginLoss(), ["4x5", "4x5"], (5 + 1 + 1 + 1 + 5 + 1 + 1 + 1) * 20 + 16 + 4 + 4,
            id="several labels: −(t·logσ(x) + (1 − t)·logσ(−x)), mean by row, mean",
        ),
    ],
)  # fmt: skip
def test_flops_of_other_losses(counted, loss, inputs, expected):
    assert counted(loss, *inputs) == (0, expected)


V = 60
LENGTHS = torch.tensor([2, 0, 1])
SEGMENTS = {
    # data 3×20: each element is combined with its segment's intermediate result
    "sum": ("sum", V),
    "largest": ("max", V),
    "product": ("prod", V),
    "mean": ("mean", V + 3 * 20),
}


@pytest.mark.parametrize(("fn", "expected"), SEGMENTS.values(), ids=SEGMENTS)
def test_segments(analyze, fn, expected):
    report = analyze(lambda x: torch.segment_reduce(x, fn, lengths=LENGTHS, unsafe=True), "3x20")
    assert report.totals.flops == expected


HISTOGRAMS = {
    # two comparisons with the range, 3 for the bin, one to add
    "range given": (lambda x: torch.histogram(x, 7, range=(0.0, 1.0))[0], "60", V * 6),
    "range found": (lambda x: torch.histogram(x, 7)[0], "60", V * 6 + 2 * 59),
    "histc": (lambda x: torch.histc(x, 7, 0, 1), "60", V * 6),
    "histc, range found": (lambda x: torch.histc(x, 7), "60", V * 6 + 2 * 59),
    # 8 edges are 3 comparisons
    "edges given": (lambda x: torch.histogram(x, torch.linspace(0, 1, 8))[0], "60", V * (3 + 1)),
    # a sum of 7 bins, and two divisions per bin
    "density": (lambda x: torch.histogram(x, 7, range=(0.0, 1.0), density=True)[0], "60", V * 6 + 6 + 7 * 2),
    # 30 points along two axes; the ranges are computed for the counts, and again for the edges
    "two axes": (lambda x: torch.histogramdd(x, [7, 3])[0], "30x2", 30 * (5 * 2 + 1) + 2 * (2 * 29 * 2)),
    "two axes, edges given": (
        lambda x: torch.histogramdd(x, [torch.linspace(0, 1, 8), torch.linspace(0, 1, 5)])[0], "30x2", 30 * (3 + 3 + 1)
    ),
    "weights": (lambda x: torch.bincount(torch.arange(60) % 5, x), "60", V),
    "integers": (lambda x: torch.bincount(torch.arange(60) % 5) * 2 + x[:5].long(), "60", 0),
}  # fmt: skip


@pytest.mark.parametrize(("function", "shape", "expected"), HISTOGRAMS.values(), ids=HISTOGRAMS)
def test_histograms(analyze, function, shape, expected):
    assert analyze(function, shape).totals.flops == expected


def test_allclose(analyze):
    """10 FLOPs per element, as for `isclose`."""
    same = torch.rand(3, 4)
    assert analyze(lambda x: x * torch.allclose(same, same[:1]), "2").totals.flops == 10 * 12 + 2


@pytest.mark.parametrize(("boundaries", "steps"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (9, 4)])
def test_steps_of_a_binary_search(boundaries, steps):
    """Each comparison halves the remaining range; with at most one boundary left there is nothing to compare."""
    values = TensorType((5,), "float32")
    found = cost_of(OpSpec("search", (values,), (values,), (("boundaries", boundaries), ("values", 5))))
    assert (found.macs, found.flops) == (0, 5 * steps)
