from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnncost.frontends.torch.lowering import tables
from cnncost.graph import OpSpec, TensorType
from cnncost.ops import cost_of
from cnncost.ops.pointwise import FLOPS
from tests.oracles import naive
from tests.oracles.counting import tallied

SHAPE = (2, 3, 4)
N = 2 * 3 * 4


def _gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


@pytest.mark.parametrize("name", naive.ELEMENTWISE)
def test_elementwise_functions_match_counted_definitions(counted, name):
    """The definition, computed on counting numbers along its longest branch, returns torch's values."""
    functions = {"gelu_tanh": _gelu_tanh, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "logit": torch.logit,
                 "rsqrt": torch.rsqrt, "frac": torch.frac}  # fmt: skip
    function = functions.get(name) or getattr(F, name)
    x = torch.rand(SHAPE, dtype=torch.float64) * 0.8 + 0.1
    if name not in {"logit", "rsqrt", "frac"}:
        x = -x - 0.5
    result, tally = tallied(naive.each, x, name=name)
    torch.testing.assert_close(result, function(x))
    assert counted(function, x) == (0, tally.flops)
    types = (TensorType(SHAPE, "float32"),)
    assert cost_of(OpSpec("pointwise", types, types, (("fn", name),))).flops == tally.flops


@pytest.mark.parametrize(
    ("layer", "each"),
    [
        pytest.param(nn.ReLU(), 1, id="ReLU: a comparison"),
        pytest.param(nn.ReLU(inplace=True), 1, id="ReLU in place"),
        pytest.param(nn.ReLU6(), 2, id="ReLU6: two comparisons"),
        pytest.param(nn.Hardtanh(), 2, id="Hardtanh: two comparisons"),
        pytest.param(nn.Threshold(0.1, 2.0), 1, id="Threshold: a comparison"),
        pytest.param(nn.LeakyReLU(), 2, id="LeakyReLU: compare, αx"),
        pytest.param(nn.PReLU(), 2, id="PReLU: compare, αx"),
        pytest.param(nn.PReLU(3), 2, id="PReLU with an α a channel"),
        pytest.param(nn.RReLU(), 2, id="RReLU: compare, αx"),
        pytest.param(nn.ELU(), 4, id="ELU: compare, exp, −1, α·"),
        pytest.param(nn.CELU(2.0), 5, id="CELU: and x/α"),
        pytest.param(nn.SELU(), 5, id="SELU: ELU and λ·"),
        pytest.param(nn.Sigmoid(), 4, id="Sigmoid: −, exp, 1+, 1/"),
        pytest.param(nn.LogSigmoid(), 5, id="LogSigmoid: −softplus(−x)"),
        pytest.param(nn.SiLU(), 5, id="SiLU: x·sigmoid"),
        pytest.param(nn.Mish(), 5, id="Mish: x·tanh(softplus)"),
        pytest.param(nn.GELU(), 5, id="GELU: x/√2, erf, 1+, ·x, ·½"),
        pytest.param(nn.GELU("tanh"), 9, id="GELU by tanh: x³ (2), a·, +x, c·, tanh, 1+, ·x, ·½"),
        pytest.param(nn.Softplus(), 3, id="Softplus: exp, 1+, log"),
        pytest.param(nn.Softsign(), 3, id="Softsign: abs, 1+, /"),
        pytest.param(nn.Tanh(), 1, id="Tanh"),
        pytest.param(nn.Tanhshrink(), 2, id="Tanhshrink: tanh, −"),
        pytest.param(nn.Hardshrink(), 2, id="Hardshrink: two comparisons"),
        pytest.param(nn.Softshrink(), 3, id="Softshrink: two comparisons, x∓λ"),
        pytest.param(nn.Hardsigmoid(), 4, id="Hardsigmoid: +3, two comparisons, /6"),
        pytest.param(nn.Hardswish(), 5, id="Hardswish: and ·x"),
        pytest.param(nn.Identity(), 0, id="Identity"),
        pytest.param(nn.Dropout(0.5), 0, id="Dropout"),
        pytest.param(nn.Dropout(0.5, inplace=True), 0, id="Dropout in place"),
        pytest.param(nn.Dropout1d(), 0, id="Dropout1d"),
        pytest.param(nn.AlphaDropout(), 0, id="AlphaDropout"),
        pytest.param(nn.FeatureAlphaDropout(), 0, id="FeatureAlphaDropout"),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_flops_of_an_activation(counted, layer, each, train):
    assert counted(layer.train(train), SHAPE) == (0, each * N)


def test_a_gate_counts_its_outputs(counted):
    """GLU: half of the 24 elements gate the other half: a sigmoid and a product each."""
    assert counted(nn.GLU(2), SHAPE) == (0, 5 * N // 2)


@pytest.mark.parametrize(
    ("function", "each"),
    [
        pytest.param(lambda x, y: x + y, 1, id="sum"),
        pytest.param(lambda x, y: x - y, 1, id="difference"),
        pytest.param(lambda x, y: x * y, 1, id="product: no multiply-accumulate, nothing is summed"),
        pytest.param(lambda x, y: x / y, 1, id="quotient"),
        pytest.param(lambda x, y: x // y, 1, id="floored quotient"),
        pytest.param(lambda x, y: torch.div(x, y, rounding_mode="trunc"), 1, id="truncated quotient"),
        pytest.param(lambda x, y: x % y, 1, id="remainder"),
        pytest.param(lambda x, y: x**y, 1, id="power"),
        pytest.param(lambda x, _: x**2, 1, id="square"),
        pytest.param(lambda x, _: 2**x, 1, id="a number to the power of a tensor"),
        pytest.param(lambda x, _: 1 - x, 1, id="from a number"),
        pytest.param(lambda x, _: x.reciprocal(), 1, id="reciprocal"),
        pytest.param(lambda x, _: 3 / x, 2, id="a number over a tensor: torch takes 1/x and multiplies"),
        pytest.param(lambda x, _: -x, 1, id="negation"),
        pytest.param(lambda x, y: torch.add(x, y, alpha=2), 2, id="sum with a factor"),
        pytest.param(lambda x, y: torch.sub(x, y, alpha=2), 2, id="difference with a factor"),
        pytest.param(torch.maximum, 1, id="maximum"),
        pytest.param(torch.max, 1, id="max of two tensors"),
        pytest.param(torch.fmin, 1, id="fmin"),
        pytest.param(torch.atan2, 1, id="atan2"),
        pytest.param(torch.hypot, 4, id="hypot: x², y², +, √"),
        pytest.param(torch.logaddexp, 5, id="logaddexp: maximum, difference, exp, log(1+·), sum"),
        pytest.param(torch.logaddexp2, 5, id="logaddexp2"),
        pytest.param(torch.xlogy, 2, id="x·log y"),
        pytest.param(torch.special.xlog1py, 3, id="x·log(1 + y)"),
        pytest.param(lambda x, _: torch.special.entr(x), 3, id="entr: log, ·, −"),
        pytest.param(lambda x, _: x.nan_to_num(), 3, id="nan_to_num: three comparisons"),
        pytest.param(torch.polar, 4, id="polar: cos, sin, two products"),
        pytest.param(lambda x, _: torch.ops.aten.elu(x, 1.0, 1.5, 2.0), 6, id="ELU with both scales: and two products"),
        pytest.param(lambda x, y: torch.lerp(x, y, 0.5), 3, id="lerp: y − x, w·, x +"),
        pytest.param(lambda x, y: torch.addcmul(x, x, y, value=0.5), 3, id="addcmul: a·b, v·, x +"),
        pytest.param(lambda x, y: torch.addcdiv(x, x, y, value=0.5), 3, id="addcdiv: a/b, v·, x +"),
        pytest.param(lambda x, _: torch.clamp(x, 0, 1), 2, id="clamp on both sides: two comparisons"),
        pytest.param(lambda x, _: torch.clamp(x, min=0), 1, id="clamp from below: one comparison"),
        pytest.param(lambda x, _: torch.clamp(x, max=1), 1, id="clamp from above: one comparison"),
        pytest.param(lambda x, _: x.clamp_min(0), 1, id="clamp_min"),
        pytest.param(lambda x, y: x < y, 1, id="comparison"),
        pytest.param(lambda x, _: x == 0, 1, id="comparison with a number"),
        pytest.param(torch.isclose, 10, id="isclose: =, or |x − y| ≤ atol + |rtol·y|, and that finite"),
        pytest.param(lambda x, _: x.isnan(), 1, id="isnan"),
        pytest.param(lambda x, _: x.isfinite(), 3, id="isfinite: x = x, |x| ≠ ∞"),
        pytest.param(torch.copysign, 0, id="copysign moves a bit"),
        pytest.param(lambda x, _: x.floor(), 1, id="floor"),
        pytest.param(lambda x, _: x.round(), 1, id="round"),
        pytest.param(lambda x, _: x.exp(), 1, id="exp"),
        pytest.param(lambda x, _: x.log1p(), 1, id="log1p"),
        pytest.param(lambda x, _: x.erf(), 1, id="erf"),
        pytest.param(lambda x, _: x.sin(), 1, id="sin"),
        pytest.param(lambda x, _: x.sqrt(), 1, id="sqrt"),
        pytest.param(lambda x, _: x.abs(), 1, id="abs"),
        pytest.param(lambda x, y: x.masked_fill(y > 0, 0.0), 1, id="masked_fill picks: the comparison alone"),
        pytest.param(lambda x, y: torch.where(x > y, x, y), 1, id="where picks: the comparison alone"),
        pytest.param(lambda x, y: (x > 0) & (y > 0), 2, id="logic is free: two comparisons"),
        pytest.param(torch.complex, 0, id="two real tensors as one complex"),
        pytest.param(lambda x, _: x.half(), 0, id="another dtype"),
        pytest.param(lambda x, y: x.clone().add_(y).mul_(y), 2, id="in place"),
        pytest.param(lambda x, y: torch.add(x, y, out=torch.empty_like(x)), 1, id="into a given tensor"),
    ],
)
def test_flops_of_arithmetic(counted, function, each):
    assert counted(function, SHAPE, SHAPE) == (0, each * N)


ONE_EACH = """
abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor i0 isinf isnan
isneginf isposinf lgamma log log10 log1p log2 neg rad2deg reciprocal relu round sgn sign sin sinc sinh sqrt square tan
tanh trunc
""".split()


@pytest.mark.parametrize("name", ONE_EACH)
def test_an_elementary_function_is_one_flop(counted, name):
    assert counted(getattr(torch, name), SHAPE) == (0, N)


def test_an_outer_product_that_is_added(counted):
    """A product and a sum per element; not multiply-accumulates, as nothing is accumulated over an axis."""
    assert counted(torch.addr, (3, 4), (3,), (4,)) == (0, 2 * 12)
    assert counted(lambda m, a, b: torch.addr(m, a, b, alpha=0.5), (3, 4), (3,), (4,)) == (0, 3 * 12)


@pytest.mark.parametrize(
    ("a", "b", "elements"),
    [
        pytest.param((4, 3), (3,), 12, id="a row over a matrix"),
        pytest.param((4, 1), (1, 5), 20, id="a column and a row"),
        pytest.param((1,), (2, 3, 4), 24, id="one number over all"),
    ],
)
def test_broadcast_operands_count_by_the_result(counted, a, b, elements):
    assert counted(torch.mul, a, b) == (0, elements)


def _whole(*shape):
    return torch.ones(shape, dtype=torch.int64, device="meta")


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda i: i + i, id="sum"),
        pytest.param(lambda i: i * 3, id="product"),
        pytest.param(lambda i: i // 2, id="floored quotient"),
        pytest.param(lambda i: i % 2, id="remainder"),
        pytest.param(lambda i: i > 2, id="comparison"),
        pytest.param(lambda i: i.clamp(0, 5), id="clamp"),
        pytest.param(lambda i: i & 1, id="bits"),
        pytest.param(lambda i: i << 1, id="shift"),
        pytest.param(torch.abs, id="abs"),
        pytest.param(lambda i: torch.gcd(i, i), id="gcd"),
        pytest.param(lambda i: (i > 0) | (i < 5), id="logic"),
        pytest.param(torch.relu, id="relu"),
        pytest.param(lambda i: i.to(torch.int32), id="another width"),
        pytest.param(lambda i: i.float(), id="to floating point"),
    ],
)
def test_arithmetic_on_integers_is_free(counted, function):
    assert counted(function, _whole(3, 4)) == (0, 0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda i: i / 2, 12, id="a true quotient of integers"),
        pytest.param(lambda i: i * 0.5, 12, id="an integer times a fraction"),
        pytest.param(lambda i: i.sqrt(), 12, id="a root"),
        pytest.param(lambda i: i.float() + 1, 12, id="a sum after the change"),
    ],
)
def test_arithmetic_that_promotes_integers_to_floats_counts(counted, function, expected):
    assert counted(function, _whole(3, 4)) == (0, expected)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(torch.real, id="real part"),
        pytest.param(torch.imag, id="imaginary part"),
        pytest.param(torch.conj, id="conjugate"),
        pytest.param(torch.view_as_real, id="as pairs of reals"),
        pytest.param(lambda c: c.conj().resolve_conj(), id="conjugate, written out"),
        pytest.param(torch.is_complex, id="a question"),
    ],
)
def test_parts_of_complex_numbers_are_free(counted, function):
    c = torch.empty(3, 4, dtype=torch.complex64, device="meta")
    assert counted(function, c) == (0, 0)


def test_pairs_of_reals_as_complex_numbers_are_free(counted):
    assert counted(torch.view_as_complex, (3, 4, 2)) == (0, 0)


def test_every_function_that_a_lowering_names_has_a_count():
    """Every function name that the torch front end emits must be in the table."""
    names = {tables._ALIASES.get(name, name) for name in (*tables._FUNCTIONS, *tables._ALIASES)}
    assert names - FLOPS.keys() == set()
    assert set(tables._LOSSES.values()) - FLOPS.keys() == set()


SPECIAL = """
airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_i0 modified_bessel_i1 modified_bessel_k0
modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0
""".split()
POLYNOMIALS = """
chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
""".split()


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_function_is_one_flop(analyze, name):
    assert analyze(getattr(torch.special, name), (3, 4)).totals.flops == 12


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_a_polynomial_is_one_flop_whatever_its_degree(analyze, name):
    function = getattr(torch.special, name)
    assert analyze(lambda x: function(x, 3), (3, 4)).totals.flops == 12
    assert analyze(function, (3, 1), (4,)).totals.flops == 12
