"""Derivatives as autograd computes them without a dispatch mode: their values beside torch's, and peaks of training
steps beside the allocator's."""

import re
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import cnncost
from cnncost.errors import ForwardError
from cnncost.frontends.torch.formulas import Cumprod, Extreme, HouseholderProduct, MatrixExp, Prod
from tests.oracles.allocations import peaks, training_peak

DTYPES = [torch.float64, torch.complex128]
VALUES = {
    "a product": (Prod, torch.ops.aten.prod.default, [(2, 5)], ()),
    "products along an axis": (Prod, torch.ops.aten.prod.dim_int, [(2, 5)], (1, False)),
    "products along an axis that stays": (Prod, torch.ops.aten.prod.dim_int, [(2, 5)], (0, True)),
    "cumulative products": (Cumprod, torch.ops.aten.cumprod.default, [(2, 5)], (1,)),
    "a maximum": (Extreme, torch.ops.aten.max.default, [(2, 5)], ()),
    "a median": (Extreme, torch.ops.aten.median.default, [(2, 5)], ()),
    "an exponential": (MatrixExp, torch.ops.aten.linalg_matrix_exp.default, [(4, 4)], ()),
    "exponentials": (MatrixExp, torch.ops.aten.linalg_matrix_exp.default, [(2, 3, 4, 4)], ()),
    **{
        f"reflections of {n}×{m} by {k}": (
            HouseholderProduct, torch.ops.aten.linalg_householder_product.default, [(2, n, m), (2, k)], ()
        )
        for n, m, k in ((6, 3, 3), (6, 6, 6), (6, 4, 2), (5, 5, 1), (4, 1, 1), (1, 1, 1), (4, 3, 0))
    },
}  # fmt: skip
REAL = {name for name, (function, *_) in VALUES.items() if function is Extreme}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in VALUES for dtype in DTYPES if name not in REAL or not dtype.is_complex],
)
def test_the_gradients_are_torchs(name, dtype):
    function, op, shapes, args = VALUES[name]
    torch.manual_seed(0)
    values = [torch.randn(shape, dtype=dtype) for shape in shapes]

    def gradients(call):
        leaves = [v.clone().requires_grad_() for v in values]
        result = call(*leaves, *args)
        weights = torch.arange(result.numel()).cos().to(dtype).reshape(result.shape)
        result.backward(weights)
        return [leaf.grad for leaf in leaves]

    for found, expected in zip(gradients(lambda *a: function.apply(op, *a)), gradients(op), strict=True):
        assert (found is None) == (expected is None)
        torch.testing.assert_close(found, expected)


class Net(nn.Module):
    """An op behind a convolution. h: 2,8,16,16."""

    def __init__(self, op):
        super().__init__()
        self.conv, self.op = nn.Conv2d(4, 8, 1), op
        self.register_buffer("index", torch.arange(4096).reshape(2, 8, 16, 16) % 7)

    def forward(self, x):
        return self.op(self.conv(x), self.index)


def a_loss(function, target, reduction, **weights):
    def loss(h, _):
        x = h.detach() if target == "the target alone" else h
        goal = (h.detach() if target == "no target" else h).sigmoid()
        given = {name: torch.ones_like(x.detach()) for name, is_given in weights.items() if is_given}
        x = x.sigmoid() if function is F.binary_cross_entropy else x
        return function(x, goal, reduction=reduction, **given)

    return loss


LOSSES = {
    f"{name}, {target}, {reduction}{', weighted' if weight else ''}{', positives weighted' if positive else ''}": (
        a_loss(function, target, reduction, weight=weight, **({"pos_weight": True} if positive else {}))
    )
    for name, function in (("bce", F.binary_cross_entropy), ("bce of logits", F.binary_cross_entropy_with_logits))
    for target in ("both", "the target alone", "no target")
    for reduction in ("mean", "none")
    for weight, positive in product((False, True), repeat=2)
    if name != "bce" or not positive
}
BOUNDS = {
    "none": lambda _: None, "of the same shape": torch.sin,
    "a number for each channel": lambda h: h.mean((2, 3), keepdim=True), "one number": torch.mean,
}  # fmt: skip
CLAMPS = {
    f"clamp {of}, {low} to {high}": lambda h, _, of=of, low=low, high=high: (h if of == "whole" else h[:, :1]).clamp(
        BOUNDS[low](h), BOUNDS[high](h * 2)
    )
    for of in ("whole", "one channel")
    for low, high in product(BOUNDS, BOUNDS)
    if (low, high) != ("none", "none")
}
EXTREMES = {
    f"{name} {how}": lambda h, _, name=name, other=other: getattr(torch, name)(h.exp(), other(h))
    for name in ("maximum", "minimum", "fmax", "fmin", "clamp_min", "clamp_max")
    for how, other in {
        "of two": torch.sin, "of a number for each channel": lambda h: h.mean((2, 3), keepdim=True),
        "of a constant": lambda h: h.detach() * 2,
    }.items()
}  # fmt: skip
SCATTERS = {
    f"{name} by {reduce}{', into zeros' if zeros else ''}{'' if own else ' without itself'}": (
        lambda h, index, name=name, reduce=reduce, own=own, zeros=zeros: getattr(
            torch.zeros_like(h.detach()) if zeros else h.sin(), name
        )(1, index if name == "scatter_reduce" else index[0, :, 0, 0], h.exp(), reduce, include_self=own)
    )
    for name, reductions in (
        ("scatter_reduce", ("sum", "mean", "prod", "amax", "amin")), ("index_reduce", ("mean", "prod", "amax", "amin")),
    )
    for reduce in reductions
    for own in (True, False)
    for zeros in (False, True)
}  # fmt: skip
OTHERS = {
    "both extremes": lambda h, _: sum(h.aminmax()),
    "both extremes along an axis": lambda h, _: sum(h.aminmax(dim=1)),
    "both extremes, and another use": lambda h, _: sum(h.aminmax()) + h.sin().sum() + h.cos().sum(),
    "another use, and both extremes": lambda h, _: h.sin().sum() + sum(h.aminmax(dim=1)).sum() + h.exp().sum(),
    "the smallest alone": lambda h, _: h.aminmax(dim=1)[0],
    "selected by a mask": lambda h, index: h.masked_select(index > 3),
    "products of what a mask leaves": lambda h, index: torch.masked.cumprod(h, 1, mask=index > 3),
    "cumulative products, of the same dtype": lambda h, _: h.cumprod(1, dtype=torch.float32),
    "a product, of the same dtype": lambda h, _: torch.prod(h, dtype=torch.float32),
    "a product of another dtype": lambda h, _: h.prod(1, dtype=torch.float64),
    "a product of all, of another dtype": lambda h, _: torch.prod(h, dtype=torch.float64),
    "a product of a lower dtype": lambda h, _: h.prod(2, dtype=torch.bfloat16).float(),
    "cumulative products of another dtype": lambda h, _: h.cumprod(1, dtype=torch.float64),
    "a trace": lambda h, _: h.flatten(0, 2).trace(),
    "signs": lambda h, _: torch.sgn(h),
    "signs, times a number": lambda h, _: torch.sgn(h * 1.5),
}
COMPLEX = {
    "a complex product": lambda h: h.prod(1).abs(),
    "complex cumulative products": lambda h: h.cumprod(1).abs(),
    "reflections by complex vectors": lambda h: torch.linalg.householder_product(h, h[..., 0]).abs(),
    "a complex exponential": lambda h: h.exp().abs(),
    "a quotient": lambda h: (h / h.sin()).abs(),
    "products with conjugates": lambda h: torch.view_as_real(torch.bmm(h[0].conj(), h[1])),
    "products with adjoints": lambda h: torch.view_as_real(torch.bmm(h[0], h[1].mH)),
    "products and a sum": lambda h: torch.view_as_real(torch.baddbmm(h[0], h[0].conj(), h[1].conj())),
}


@pytest.mark.filterwarnings("ignore:index_reduce.. is in beta")
@pytest.mark.parametrize("name", [*LOSSES, *CLAMPS, *EXTREMES, *SCATTERS, *OTHERS])
def test_the_peak_is_the_allocators(name):
    net, x = Net({**LOSSES, **CLAMPS, **EXTREMES, **SCATTERS, **OTHERS}[name]), torch.randn(2, 4, 16, 16)
    try:
        expected = training_peak(net, x)
    except RuntimeError as error:  # backward writes the comparison of two bounds into a smaller one
        with pytest.raises(ForwardError, match=re.escape(str(error).partition("[")[0])):
            cnncost.analyze(net, (2, 4, 16, 16), training=True)
    else:
        found = cnncost.analyze(net, (2, 4, 16, 16), training=True).memory.training_peak
        assert found == pytest.approx(expected, abs=64)


@pytest.mark.parametrize("name", COMPLEX)
def test_the_peak_of_complex_numbers_is_the_allocators(name):
    net, x = Net(lambda h, _: COMPLEX[name](torch.complex(h, h * 2))), torch.randn(2, 4, 16, 16)

    def step(_):
        out = net(x)
        loss = out.sum()
        loss.backward()
        return out, loss

    # everything: a kernel makes the copies of conjugates, which the oracle takes for workspaces
    before = sum(t.nbytes for t in (*net.parameters(), *net.buffers(), x))
    expected = before + peaks(step, lambda: net.zero_grad(set_to_none=True)).everything
    found = cnncost.analyze(net, (2, 4, 16, 16), training=True).memory.training_peak
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", ["products with conjugates", "products with adjoints", "products and a sum"])
def test_the_peak_of_inference_has_copies_of_conjugates(name, trace):
    net, x = Net(lambda h, _: COMPLEX[name](torch.complex(h, h * 2))), torch.randn(2, 4, 16, 16)

    @torch.no_grad()
    def run():
        return net(x)

    before = sum(t.nbytes for t in (*net.parameters(), *net.buffers(), x))
    found = cnncost.analyze(net, x, trace=trace).memory.inference_peak
    assert found == pytest.approx(before + peaks(run).everything, rel=0.001)


OF_MATRICES = {  # a: 512,16 and s, its first rows: BLAS takes a conjugated matrix as it is if it lies by columns
    "a conjugate, times": lambda a, s: a.conj() @ s,
    "times an adjoint": lambda a, s: s @ a.mH,
    "times a transposed matrix, of which backward takes the conjugate": lambda a, s: s @ a.mT,
    "conjugates": lambda a, s: a.conj() @ s.conj(),
    "a conjugate, times a vector": lambda a, s: a.conj() @ s[0],
    "an adjoint, times a conjugated vector": lambda a, s: a.mH @ a[:, 0].conj(),
    "a product and a sum": lambda a, s: torch.addmm(a, a.conj(), s),
    "a column, conjugated": lambda a, s: s[:, :1] @ a[:, :1].mH,
}
BY_COLUMNS = {"times an adjoint", "a column, conjugated"}


class OfMatrices(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.scale, self.product = nn.Parameter(torch.rand(16)), product

    def forward(self, x):
        y = x * self.scale  # no layer, whose kernel would take a workspace
        a = torch.complex(y, y * 2)
        return torch.view_as_real(self.product(a, a[:16]))


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", OF_MATRICES)
def test_products_of_conjugated_matrices_copy_those_that_lie_by_rows(name, trace):
    net, x = OfMatrices(OF_MATRICES[name]), torch.randn(512, 16)

    @torch.no_grad()
    def infer():
        return net(x)

    def step(_):
        out = net(x)
        loss = out.sum()
        loss.backward()
        return out, loss

    before = sum(t.nbytes for t in (*net.parameters(), x))
    memory = cnncost.analyze(net, x, training=True, trace=trace).memory
    trained = peaks(step, lambda: net.zero_grad(set_to_none=True)).everything
    inferred = before + peaks(infer).everything
    if name in BY_COLUMNS:  # without autograd torch resolves operands of a composite op under a mode: docs/limits.md
        assert memory.inference_peak >= inferred
    else:
        assert memory.inference_peak == pytest.approx(inferred, rel=0.001)
    assert memory.training_peak == pytest.approx(before + trained, rel=0.001)


ZEROS = {
    "a product": (lambda h: h.prod(1), ["aten.prod.dim_int"]),
    "cumulative products": (lambda h: h.cumprod(1), ["aten.cumprod"]),
    "a product of whole numbers": (lambda h: h * torch.arange(1, 4).prod(), []),
    "a sum": (lambda h: h.sum(1), []),
}


@pytest.mark.parametrize("name", ZEROS)
def test_products_are_those_without_zeros_and_a_note_says_so(name):
    op, names = ZEROS[name]
    notes = cnncost.analyze(Net(lambda h, _: op(h)), (2, 4, 16, 16), training=True).notes
    assert [note for note in notes if "without zeros" in note] == [
        f"the training peak is for values without zeros; with zeros, {each} needs more memory" for each in names
    ]


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("shape", [(64, 64), (96, 32), (32, 96)], ids=str)
@pytest.mark.parametrize("mapping", ["matrix_exp", "cayley", "householder"])
def test_the_peak_with_orthogonal_weights_is_the_allocators(mapping, shape, trace):
    net = parametrizations.orthogonal(nn.Linear(*shape), orthogonal_map=mapping)
    x = torch.randn(8, shape[0])
    found = cnncost.analyze(net, x, training=True, trace=trace).memory.training_peak
    assert found == pytest.approx(training_peak(net, x), rel=0.002)
