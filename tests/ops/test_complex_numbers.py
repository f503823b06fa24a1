"""Complex numbers: their real operations, the same with and without autograd; empty tensors cost nothing."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost.frontends.torch import record
from cnncost.ops import Cost, flops, macs
from cnncost.ops.complex_numbers import COMPLEX_FLOPS, COMPLEX_REDUCTION_FLOPS
from tests.oracles import complex_parts as parts
from tests.oracles.counting import Tally

C = "3x4:complex64"
N = 12

PRODUCTS = {
    # a multiply-accumulate is four real ones; a sum is two
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
def test_a_complex_convolution_costs_three_real_ones(counted, layer, shape):
    x = torch.zeros(shape)
    with FlopCounterMode(display=False) as counter:  # the same layer on real numbers
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
def test_ops_on_empty_tensors_cost_nothing(name, dtype):
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


def test_a_sum_over_an_empty_slice_costs_nothing():
    class Net(nn.Module):
        def forward(self, x):
            return x[:, :0].sum(1)

    assert cnncost.analyze(Net(), (4, 3)).totals.flops == 0


@pytest.mark.parametrize("terms", [(flops("less", -1, "n", 4),), (macs("n", -4),), (flops("a", 1), flops("b", -2))])
def test_negative_costs_are_refused(terms):
    with pytest.raises(ValueError, match=r"at least 0 MACs and FLOPs"):
        Cost(terms, 0, 0)


def products_of_a_real_run(run):
    """Multiply-accumulates of all batched products, by the shapes that torch's profiler saw."""
    what = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=what, record_shapes=True, acc_events=True) as seen:
        run()
    shapes = [event.input_shapes[:2] for event in seen.events() if event.name == "aten::bmm"]
    return sum(b * m * k * n for (b, m, k), (_, _, n) in shapes)


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.parametrize("needed", [(False, False), (True, False), (False, True), (True, True)])
def test_training_macs_of_a_bilinear_layer_match_a_real_run(rows, needed):
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
    """z·exp(w·log 2): two for w·log 2; five for exp, as exp(a)·(cos b + i·sin b); six for the product."""
    assert analyze(torch.ldexp, "3x4:complex64", "3x4:complex64").totals.flops == 12 * (2 + 5 + 6)


BY = 2 - 3j


def times_by(z):
    """Multiplication by the constant BY."""
    return parts.mul(*parts.numbers(z.re.tally, BY), z)


def conjugate_of_one_less(z):
    """The conjugate of 1 − z: its imaginary part is that of z."""
    return parts.Z(1 - z.re, z.im)


def silu_backward(g, z):
    """g·σ·(1 + z·(1 − σ)): torch takes no conjugate; with one, the number of products would be the same."""
    y = parts.sigmoid(z)
    return parts.mul(g, parts.mul(y, parts.more(parts.by_rest(z, y), 1)))


def squared_error(z, w):
    difference = parts.sub(z, w)
    return parts.mul(difference, difference)


LN2, LN10, DEGREE = math.log(2), math.log(10), math.pi / 180
WRITTEN_OUT = {
    # computed on counting real numbers; and by torch, or by Python for dtypes that torch doesn't support
    "add": (parts.add, torch.add),
    "sub": (parts.sub, torch.sub),
    "rsub": (lambda z, w: parts.sub(w, z), torch.rsub),
    "neg": (lambda z, w: parts.neg(z), lambda z, w: -z),
    "add_scaled": (lambda z, w: parts.add(z, times_by(w)), lambda z, w: torch.add(z, w, alpha=BY)),
    "mul": (parts.mul, torch.mul),
    "square": (lambda z, w: parts.mul(z, z), lambda z, w: torch.square(z)),
    "div": (parts.divide, torch.div),
    "reciprocal": (lambda z, w: parts.reciprocal(z), lambda z, w: torch.reciprocal(z)),
    "abs": (lambda z, w: parts.absolute(z), lambda z, w: torch.abs(z)),
    "angle": (lambda z, w: parts.angle(z), lambda z, w: torch.angle(z)),
    "sgn": (lambda z, w: parts.sgn(z), lambda z, w: torch.sgn(z)),
    "polar": (lambda z, w: parts.polar(*z), lambda z, w: torch.polar(z.real, z.imag)),
    "exp": (lambda z, w: parts.exp(z), lambda z, w: torch.exp(z)),
    "exp2": (lambda z, w: parts.exp(parts.scaled(z, LN2)), lambda z, w: torch.exp2(z)),
    "expm1": (lambda z, w: parts.more(parts.exp(z), -1), lambda z, w: torch.expm1(z)),
    "log": (lambda z, w: parts.log(z), lambda z, w: torch.log(z)),
    "log1p": (lambda z, w: parts.log(parts.more(z, 1)), lambda z, w: torch.log1p(z)),
    "log2": (lambda z, w: parts.scaled(parts.log(z), 1 / LN2), lambda z, w: torch.log2(z)),
    "log10": (lambda z, w: parts.scaled(parts.log(z), 1 / LN10), lambda z, w: torch.log10(z)),
    "logaddexp": (parts.logaddexp, torch.logaddexp),
    "sqrt": (lambda z, w: parts.sqrt(z), lambda z, w: torch.sqrt(z)),
    "rsqrt": (lambda z, w: parts.reciprocal(parts.sqrt(z)), lambda z, w: torch.rsqrt(z)),
    "pow": (parts.power, torch.pow),
    "ldexp": (lambda z, w: parts.mul(z, parts.exp(parts.scaled(w, LN2))), torch.ldexp),
    "sin": (lambda z, w: parts.sin(z), lambda z, w: torch.sin(z)),
    "cos": (lambda z, w: parts.cos(z), lambda z, w: torch.cos(z)),
    "tan": (lambda z, w: parts.tan(z), lambda z, w: torch.tan(z)),
    "sinh": (lambda z, w: parts.sinh(z), lambda z, w: torch.sinh(z)),
    "cosh": (lambda z, w: parts.cosh(z), lambda z, w: torch.cosh(z)),
    "tanh": (lambda z, w: parts.tanh(z), lambda z, w: torch.tanh(z)),
    "sinc": (lambda z, w: parts.sinc(z), lambda z, w: torch.sinc(z)),
    "asin": (lambda z, w: parts.asin(z), lambda z, w: torch.asin(z)),
    "acos": (lambda z, w: parts.acos(z), lambda z, w: torch.acos(z)),
    "atan": (lambda z, w: parts.atan(z), lambda z, w: torch.atan(z)),
    "asinh": (lambda z, w: parts.asinh(z), lambda z, w: torch.asinh(z)),
    "acosh": (lambda z, w: parts.acosh(z), lambda z, w: torch.acosh(z)),
    "atanh": (lambda z, w: parts.atanh(z), lambda z, w: torch.atanh(z)),
    "sigmoid": (lambda z, w: parts.sigmoid(z), lambda z, w: torch.sigmoid(z)),
    "silu": (lambda z, w: parts.mul(z, parts.sigmoid(z)), lambda z, w: F.silu(z)),
    "softsign": (lambda z, w: parts.softsign(z), lambda z, w: F.softsign(z)),
    "lerp": (lambda z, w: parts.add(z, parts.mul(z, parts.sub(w, z))), lambda z, w: torch.lerp(z, w, z)),
    "addcmul": (
        lambda z, w: parts.add(z, times_by(parts.mul(z, w))), lambda z, w: torch.addcmul(z, z, w, value=BY),
    ),
    "addcdiv": (
        lambda z, w: parts.add(z, times_by(parts.divide(z, w))), lambda z, w: torch.addcdiv(z, z, w, value=BY),
    ),
    "multiply_add": (lambda z, w: parts.add(w, parts.mul(z, w)), lambda z, w: w + z * w),
    "cross": (
        lambda z, w: parts.sub(parts.mul(z, z), parts.mul(w, w)),
        lambda z, w: torch.linalg.cross(torch.stack([z, w, z]), torch.stack([w, z, z]))[2],
    ),
    "deg2rad": (lambda z, w: parts.scaled(z, DEGREE), lambda z, w: z * DEGREE),
    "rad2deg": (lambda z, w: parts.scaled(z, 1 / DEGREE), lambda z, w: z / DEGREE),
    "nan_to_num": (lambda z, w: parts.Z(*map(parts.number_for_nan, z)), lambda z, w: torch.nan_to_num(z)),
    "l1": (lambda z, w: parts.absolute(parts.sub(z, w)), lambda z, w: F.l1_loss(z, w, reduction="none")),
    "mse": (squared_error, lambda z, w: (z - w) ** 2),
    "mse_loss_backward": (lambda z, w: parts.mul(z, times_by(parts.sub(z, w))), lambda z, w: BY * (z - w) * z),
    "eq": (parts.same, torch.eq),
    "ne": (lambda z, w: not parts.same(z, w), torch.ne),
    "isnan": (lambda z, w: parts.either(z, math.isnan), lambda z, w: torch.isnan(z)),
    "isinf": (lambda z, w: parts.either(z, math.isinf), lambda z, w: torch.isinf(z)),
    "isfinite": (lambda z, w: parts.finite(z), lambda z, w: torch.isfinite(z)),
    "isclose": (parts.close, torch.isclose),
    "sigmoid_backward": (
        lambda z, w: parts.by_conjugate(z, parts.by_rest(w, w)), torch.ops.aten.sigmoid_backward.default,
    ),
    "tanh_backward": (
        lambda z, w: parts.mul(z, conjugate_of_one_less(parts.mul(w, w))), torch.ops.aten.tanh_backward.default,
    ),
    "silu_backward": (silu_backward, torch.ops.aten.silu_backward.default),
    # selecting, copying and logic compute nothing
    **{name: (lambda z, w: z, lambda z, w: z) for name in ("where", "masked_fill", "positive", "complex")},
    "real": (lambda z, w: z.re, lambda z, w: z.real),
    "imag": (lambda z, w: z.im, lambda z, w: z.imag),
    "logical_not": (lambda z, w: bool(z.re.value or z.im.value), lambda z, w: z.logical_not().logical_not()),
    "logical_and": (lambda z, w: True, torch.logical_and),
    "logical_or": (lambda z, w: True, torch.logical_or),
    "logical_xor": (lambda z, w: False, torch.logical_xor),
}  # fmt: skip

PAIRS = [(0.5 - 0.75j, 0.25 + 0.3j), (-0.4 + 0.6j, 0.7 - 0.2j), (0.3 + 0.1j, 0.3 + 0.1j), (-0.2 - 0.9j, -0.6 + 0.4j)]


def value_of(found):
    """Convert a result of counting numbers to a Python number."""
    if isinstance(found, parts.Z):
        return complex(float(found.re), float(found.im))
    return found if isinstance(found, bool) else float(found)


@pytest.mark.parametrize(("z", "w"), PAIRS)
@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_complex_functions_match_written_out_computations(name, z, w):
    """A computation in real numbers that returns torch's result takes as many operations as cnncost counts."""
    written, truth = WRITTEN_OUT[name]
    tally = Tally()
    found = value_of(written(*parts.numbers(tally, z, w)))
    expected = truth(torch.tensor(z, dtype=torch.complex128), torch.tensor(w, dtype=torch.complex128))
    assert found == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)
    assert COMPLEX_FLOPS[name] == tally.flops


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "nan_to_num"])
@pytest.mark.parametrize("z", [complex("nan"), complex("inf"), complex(1, -math.inf), complex(2, math.nan)])
def test_complex_functions_on_nan_and_inf(name, z):
    written, truth = WRITTEN_OUT[name]
    found = value_of(written(*parts.numbers(Tally(), z, z)))
    expected = truth(torch.tensor(z, dtype=torch.complex64), None).item()
    assert found == pytest.approx(expected, rel=1e-2)  # the largest number of float32


def test_every_function_of_complex_numbers_is_written_out():
    alone = {"conj"}  # lazy: torch sets a conjugate bit, and the next op applies the sign
    assert COMPLEX_FLOPS.keys() - alone == {*WRITTEN_OUT}
    assert COMPLEX_FLOPS["conj"] == 0


def whether(values, ask):
    """Whether `ask` holds, without any operation on numbers."""
    return ask([bool(z.re.value or z.im.value) for z in values])


REDUCED = {
    "sum": (lambda x: parts.fold(x, parts.add), torch.sum),
    "nansum": (parts.nansum, lambda x: torch.sum(x[~x.isnan()])),
    "mean": (parts.mean, torch.mean),
    "prod": (lambda x: parts.fold(x, parts.mul), torch.prod),
    "var": (parts.variance, torch.var),
    "std": (lambda x: parts.variance(x).function("sqrt"), torch.std),
    "norm": (parts.norm, torch.linalg.vector_norm),
    "logsumexp": (parts.logsumexp, lambda x: torch.logsumexp(x, 0)),
    "any": (lambda x: whether(x, any), torch.any),
    "all": (lambda x: whether(x, all), torch.all),
    "count_nonzero": (lambda x: whether(x, sum), torch.count_nonzero),
}


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("name", REDUCED)
def test_complex_reductions_match_written_out_computations(name, count):
    """For one row: a FLOPs per element, plus b for the result."""
    written, truth = REDUCED[name]
    values = [complex(0.3 * i - 0.7, 0.5 - 0.2 * i * i) for i in range(count)]
    tally = Tally()
    found = written(parts.numbers(tally, *values))
    found = found if isinstance(found, int) else value_of(found)
    assert found == pytest.approx(truth(torch.tensor(values, dtype=torch.complex128)).item(), rel=1e-9)
    each, once = COMPLEX_REDUCTION_FLOPS[name]
    assert each * count + once == tally.flops


def test_every_reduction_of_complex_numbers_is_written_out():
    assert COMPLEX_REDUCTION_FLOPS.keys() == {*REDUCED}
