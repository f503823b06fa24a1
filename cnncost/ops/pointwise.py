"""Elementwise functions and their FLOPs per element.

The convention: one FLOP for each arithmetic operation, comparison, elementary function (exp, log, sqrt, tanh, erf, sin,
pow, …) and special function (gamma, Bessel, Airy functions, orthogonal polynomials of any degree) on floating-point
numbers. A composite function counts the operations of its definition. Selection, copies, logic and all arithmetic on
integers count 0.
"""

from __future__ import annotations

from cnncost.graph import OpSpec
from cnncost.ops.complex_numbers import COMPLEX_FLOPS
from cnncost.ops.kinds import kind, rest
from cnncost.ops.registry import Cost, cost, flops

_ONE = """
add sub mul div neg abs reciprocal square sqrt exp exp2 expm1 log log2 log10 log1p pow
sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sinc erf erfc erfinv lgamma digamma polygamma
i0 i0e i1 i1e ndtri log_ndtr erfcx gammaln floor ceil round trunc sign sgn maximum minimum fmax fmin relu threshold
eq ne lt le gt ge isnan isinf isposinf isneginf fmod remainder floor_divide heaviside angle
clamp_min clamp_max ldexp nextafter zeta igamma igammac airy_ai
bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_i0 modified_bessel_i1 modified_bessel_k0 modified_bessel_k1
scaled_modified_bessel_k0 scaled_modified_bessel_k1 spherical_bessel_j0
chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
""".split()
"""Functions that count one FLOP per element."""

_NONE = """
where masked_fill copysign signbit logical_not logical_and logical_or logical_xor bitwise_not bitwise_and bitwise_or
bitwise_xor bitwise_shift gcd lcm real imag conj complex isreal positive
""".split()
"""Functions that count no FLOPs: they select or copy, or work on bits, booleans or integers."""

FLOPS: dict[str, int] = {
    **dict.fromkeys(_ONE, 1),
    **dict.fromkeys(_NONE, 0),
    "rsqrt": 2,  # √, 1/x
    "add_scaled": 2,  # x ± αy
    "rsub": 1,
    "frac": 2,  # x − ⌊x⌋
    "clamp": 2,  # two comparisons
    "hardtanh": 2,
    "relu6": 2,
    "isfinite": 3,  # x = x, |x| ≠ ∞
    "isclose": 10,  # as torch computes it: x = y, or |x − y| ≤ |atol + |rtol·y|| and that is finite
    "leaky_relu": 2,  # compare, αx
    "prelu": 2,
    "rrelu": 2,
    "elu": 4,  # compare, exp, −1, α·
    "elu_scaled": 5,
    "elu_scaled_twice": 6,
    "celu": 5,  # elu, and x/α
    "selu": 5,  # elu, and λ·
    "sigmoid": 4,  # 1 / (1 + exp(−x))
    "silu": 5,  # x · sigmoid
    "glu": 5,  # a · sigmoid(b), per output
    "softplus": 3,  # log(1 + exp x)
    "mish": 5,  # x · tanh(softplus)
    "logsigmoid": 5,  # −softplus(−x)
    "softsign": 3,  # x / (1 + |x|)
    "hardsigmoid": 4,  # min(max(x + 3, 0), 6) / 6
    "hardswish": 5,  # hardsigmoid, and · x
    "hardshrink": 2,
    "softshrink": 3,  # two comparisons, x ∓ λ
    "tanhshrink": 2,
    "gelu": 5,  # ½·x·(1 + erf(x/√2))
    "gelu_tanh": 9,  # ½·x·(1 + tanh(c·(x + a·x³)))
    "logit": 3,  # log(x / (1 − x))
    "lerp": 3,  # x + w·(y − x)
    "addcmul": 3,  # x + v·a·b
    "addcdiv": 3,
    "multiply_add": 2,  # x + a·b
    "cross": 3,  # a₁b₂ − a₂b₁
    "hypot": 4,  # √(x² + y²)
    "xlogy": 2,
    "xlog1py": 3,
    "entr": 3,  # −x·log x
    "logaddexp": 5,  # m + log(exp(a − m) + exp(b − m)), a − m or b − m being 0
    "logaddexp2": 5,
    "nan_to_num": 3,  # three comparisons
    "deg2rad": 1,
    "rad2deg": 1,
    "polar": 4,  # r·cos φ, r·sin φ
    "mse": 2,  # (x − y)²
    "l1": 2,  # |x − y|
    "smooth_l1": 5,  # |x − y|, compare, ½·d²/β
    "huber": 5,
    "mvlgamma": 1,
    "bce": 6,  # −(t·log p + (1 − t)·log(1 − p)): two logs, 1 − t, two products, a sum
    "bce_logits": 7,  # (1 − t)·x + log(1 + exp(−x))
    "multi_margin": 4,  # max(0, margin − x_y + x), summed
    "kl": 4,  # t·(log t − x)
    "soft_margin": 4,  # log(1 + exp(−t·x))
    # Derivatives, including the product with the incoming gradient, unless the gradient is only selected.
    "threshold_backward": 1,  # compare
    "hardtanh_backward": 2,
    "hardshrink_backward": 2,
    "softshrink_backward": 2,
    "leaky_relu_backward": 2,
    "rrelu_with_noise_backward": 2,
    "prelu_kernel_backward": 3,  # compare, g·w, g·x
    "sigmoid_backward": 3,  # g·y·(1 − y)
    "tanh_backward": 3,  # g·(1 − y²)
    "gelu_backward": 11,  # g·(½·(1 + erf(x/√2)) + x·φ(x)), φ(x) = c·exp(−½·x²)
    "silu_backward": 9,  # g·σ·(1 + x·(1 − σ)), σ as in sigmoid
    "mish_backward": 14,  # g·(t + x·σ·(1 − t²)), t = tanh(softplus(x))
    "hardswish_backward": 5,  # two comparisons, g·(x/3 + ½)
    "hardsigmoid_backward": 3,
    "elu_backward": 4,  # compare, g·α·exp(x)
    "softplus_backward": 5,  # g·σ
    "log_sigmoid_backward": 5,  # g·(1 − σ)
    "glu_backward": 4,  # g·σ(b) and g·a·σ·(1 − σ) are eight, for two elements
    "logit_backward": 3,  # g / (x·(1 − x))
    "mse_loss_backward": 3,  # 2/n · (x − y) · g
    "smooth_l1_loss_backward": 4,
    "huber_loss_backward": 4,
    "binary_cross_entropy_backward": 5,  # g·(x − t) / (x·(1 − x))
    "soft_margin_loss_backward": 5,
    "multi_margin_loss_backward": 4,  # margin − x_y + x, compare, the target's sum
}
"""FLOPs per output element, by function."""


@kind(
    "pointwise",
    inputs=(rest("x"),),
    attributes={"fn": str},
    optional={"axis": int | None},
    reach="elements.pointwise",
)
def pointwise(spec: OpSpec) -> Cost | None:
    """FLOPs = c·E for E output elements, where c is the function's count; 0 on integers and booleans.

    Attribute: fn. Inputs are broadcast; the products of an elementwise multiplication are not MACs,
    because nothing is accumulated. Functions of complex numbers have their own counts.
    """
    each = (COMPLEX_FLOPS if any(t.complex for t in spec.inputs + spec.outputs) else FLOPS).get(spec["fn"])
    if each is None:
        return None
    if not each or not any(t.floating for t in spec.inputs + spec.outputs):
        return cost(spec)
    return cost(spec, flops(spec["fn"], each, "E", spec.outputs[0].numel))
