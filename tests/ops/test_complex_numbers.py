"""Complex numbers: what real operations they are, the same with and without autograd; and nothing below nothing."""

import cmath
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost.frontends.torch import record
from cnncost.ops import Cost, flops, macs
from cnncost.ops.complex_numbers import COMPLEX_FLOPS

C = "3x4:complex64"
N = 12

PRODUCTS = {
    # a multiply-accumulate is four of real numbers; a sum two
    "matmul": (torch.matmul, [C, "4x2:complex64"], 4 * 3 * 4 * 2, 0),
    "bmm": (torch.bmm, ["2x3x4:complex64", "2x4x5:complex64"], 4 * 2 * 3 * 4 * 5, 0),
    "addmm": (torch.addmm, ["2:complex64", C, "4x2:complex64"], 4 * 3 * 4 * 2, 2 * 3 * 2),
    "dot": (torch.dot, ["5:complex64"] * 2, 4 * 5, 0),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), [C, "4x2:complex64"], 4 * 3 * 4 * 2, 0),
    "linear": (nn.Linear(4, 2, dtype=torch.complex64), [C], 4 * 3 * 4 * 2, 2 * 3 * 2),
}


@pytest.mark.parametrize(("function", "inputs", "products", "sums"), PRODUCTS.values(), ids=PRODUCTS)
def test_products(counted, function, inputs, products, sums):
    assert counted(function, *inputs) == (products, 2 * products + sums)


CONVOLUTIONS = {
    "conv1d": (nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "conv2d": (nn.Conv2d(4, 8, 3), (1, 4, 8, 8)),
    "without bias": (nn.Conv2d(4, 8, 3, bias=False), (1, 4, 8, 8)),
    "groups": (nn.Conv2d(4, 8, 3, groups=2, padding=1), (1, 4, 8, 8)),
    "same": (nn.Conv2d(4, 8, 3, padding="same"), (1, 4, 8, 8)),
    "transposed": (nn.ConvTranspose2d(4, 8, 3), (1, 4, 8, 8)),
}


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize(("layer", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_a_convolution_is_three_of_real_numbers(counted, layer, shape):
    x = torch.zeros(shape)
    with FlopCounterMode(display=False) as counter:  # of the same layer on real numbers
        layer(x)
    got, _ = counted(copy.deepcopy(layer).to(torch.complex64), x.to(torch.complex64))
    assert got == 3 * counter.get_total_flops() // 2


ELEMENTWISE = {
    "add": (lambda z: z + z, 2),
    "sub with a factor": (lambda z: torch.sub(z, z, alpha=2), 6 + 2),
    "mul": (lambda z: z * z, 6),
    "a number": (lambda z: z * 2.0, 6),
    "div": (lambda z: z / z, 11),
    "abs": (torch.abs, 4),
    "angle": (torch.angle, 1),
    "exp": (torch.exp, 5),
    "log": (torch.log, 6),
    "conj": (torch.conj_physical, 0),
    "real": (torch.real, 0),
    "tanh": (torch.tanh, 2 * 6 + 11),
    "sum": (lambda z: z.sum(), 2 - 2 / N),
    "mean": (lambda z: z.mean(), 2),
    "cumsum": (lambda z: z.cumsum(0), 2 - 2 * 4 / N),
    "prod": (lambda z: z.prod(), 6 - 6 / N),
    "norm": (torch.linalg.vector_norm, 4),
    "l1 loss": (lambda z: F.l1_loss(z, z, reduction="none"), 2 + 4),
}


@pytest.mark.parametrize(("function", "each"), ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_elements(counted, function, each):
    assert counted(function, C) == (0, round(each * N))


class Real:
    """A real number that counts what is done with it, in a list."""

    def __init__(self, value, done):
        self.value, self.done = value, done

    def of(self, other, function):
        self.done.append(1)
        return Real(function(self.value, other.value if isinstance(other, Real) else other), self.done)

    def __add__(self, other):
        return self.of(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self.of(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self.of(other, lambda a, b: a * b)

    def __truediv__(self, other):
        return self.of(other, lambda a, b: a / b)

    def __pow__(self, other):  # of ½ alone: a root
        return self.of(other, lambda a, b: a**b)


def product(a, b, c, d):
    return a * c - b * d, a * d + b * c


def quotient(a, b, c, d):
    length = c * c + d * d
    return (a * c + b * d) / length, (b * c - a * d) / length


def absolute(a, b, c, d):  # of the first
    return (a * a + b * b) ** 0.5, None


@pytest.mark.parametrize(
    ("name", "function", "truth"),
    [
        ("mul", product, lambda z, w: z * w),
        ("div", quotient, lambda z, w: z / w),
        ("abs", absolute, lambda z, w: abs(z)),  # as above
    ],
)
def test_counts_are_those_of_real_numbers_that_count(name, function, truth):
    done = []
    z, w = 1.5 - 2j, 0.25 + 3j
    a, b = function(*(Real(part, done) for part in (z.real, z.imag, w.real, w.imag)))
    assert cmath.isclose(complex(a.value, b.value if b else 0), truth(z, w))
    assert COMPLEX_FLOPS[name] == len(done)


EMPTY = {
    "sum": lambda x: x.sum(),
    "sum over an axis of nothing": lambda x: x.sum(0),
    "sum over the other axis": lambda x: x.sum(1),
    "prod": lambda x: x.prod(0),
    "mean": lambda x: x.mean(),
    "nansum": lambda x: x.nansum(),
    "norm": torch.linalg.vector_norm,
    "var": lambda x: x.var(1),
    "softmax": lambda x: x.softmax(1),
    "cumsum": lambda x: x.cumsum(0),
    "sort": lambda x: x.sort(0)[0],
    "amax": lambda x: x.amax(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "product": lambda x: x @ x.t(),
    "product over nothing": lambda x: x.t() @ x,
    "layer norm": lambda x: F.layer_norm(x, (4,)),
    "rms norm": lambda x: F.rms_norm(x, (4,)),
    "mse": lambda x: F.mse_loss(x, x),
    "cdist": lambda x: torch.cdist(x, x),
    "trace": lambda x: (x @ x.t()).trace(),
    "linear": lambda x: F.linear(x, torch.zeros(2, 4)),
}


@pytest.mark.filterwarnings("ignore:.*(degrees of freedom|divide by zero)")
@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64"])
@pytest.mark.parametrize("name", EMPTY)
def test_nothing_costs_nothing(name, dtype):
    class Net(nn.Module):
        def forward(self, x):
            return EMPTY[name](x)

    x = torch.zeros(0, 4, dtype=getattr(torch, dtype))
    try:
        EMPTY[name](x)
    except (RuntimeError, NotImplementedError, TypeError):
        pytest.skip("not for numbers of this dtype")
    report = cnncost.analyze(record(Net(), (x,)))
    assert (report.totals.macs, report.totals.flops) == (0, 0)


def test_a_part_of_nothing():
    class Net(nn.Module):
        def forward(self, x):
            return x[:, :0].sum(1)

    assert cnncost.analyze(Net(), (4, 3)).totals.flops == 0


@pytest.mark.parametrize("terms", [(flops("less", -1, "n", 4),), (macs("n", -4),), (flops("a", 1), flops("b", -2))])
def test_a_cost_is_never_less_than_nothing(terms):
    with pytest.raises(ValueError, match="expected none or more"):
        Cost(terms, 0, 0)


def products_of_a_real_run(run):
    """Multiply-accumulates of all batched products, by the shapes that torch's profiler saw."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as seen:
        run()
    shapes = [event.input_shapes[:2] for event in seen.events() if event.name == "aten::bmm"]
    return sum(b * m * k * n for (b, m, k), (_, _, n) in shapes)


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize("needed", [(False, False), (True, False), (False, True), (True, True)])
def test_a_bilinear_layer_trains_by_the_products_that_torch_runs(rows, needed):
    layer = nn.Bilinear(3, 4, 5)
    x, y = (torch.randn(rows, n, requires_grad=g) for n, g in zip((3, 4), needed, strict=True))
    report = cnncost.analyze(layer, (x, y), training=True)
    assert report.unknown == {}
    got = {row.phase: row.macs for row in report.phases}
    forward = products_of_a_real_run(lambda: layer(x, y))
    assert (got["forward"], got["backward"]) == (
        forward, products_of_a_real_run(lambda: layer(x, y).sum().backward()) - forward,
    )  # fmt: skip


def test_scaling_by_a_power_of_two(analyze):
    """z·exp(w·log 2): w·log 2 is two products; exp 5, as exp(a)·(cos b + i·sin b); a product 6."""
    assert analyze(torch.ldexp, "3x4:complex64", "3x4:complex64").totals.flops == 12 * (2 + 5 + 6)
