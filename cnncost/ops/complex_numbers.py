"""FLOPs of functions of complex numbers, from their formulas in real and imaginary parts.

z = a + bi. A sum is two real sums, a product four products and two sums; elementary functions are expanded into real
ones, which count one FLOP each, as everywhere. Ref: Abramowitz & Stegun 1964, sections 3.7 and 4.2 to 4.6.
"""

from __future__ import annotations

ADD, MULTIPLY, DIVIDE = 2, 6, 11
"""FLOPs of a sum, a product, and a quotient.

(a + bi) / (c + di) = (ac + bd + (bc − ad)i) / (c² + d²): six products, three sums, two divisions.
"""
_ABS = 4  # √(a² + b²)
_LOG = _ABS + 2  # log|z| + i·atan2(b, a)
_EXP = 5  # exp(a)·(cos b + i·sin b)
_SQRT = _ABS + 5  # p = √((|z| + a)/2), and b/(2p)
_RECIPROCAL = 6  # (a − bi) / (a² + b²)
_SIN = 6  # sin a·cosh b + i·cos a·sinh b

COMPLEX_FLOPS: dict[str, int] = {
    **dict.fromkeys("add sub rsub neg".split(), ADD),
    **dict.fromkeys("eq ne isnan isinf".split(), 2),  # of either part
    **dict.fromkeys(
        "where masked_fill logical_not logical_and logical_or logical_xor real imag conj complex".split(), 0
    ),
    "positive": 0,
    "add_scaled": MULTIPLY + ADD,
    "mul": MULTIPLY,
    "square": MULTIPLY,
    "div": DIVIDE,
    "reciprocal": _RECIPROCAL,
    "abs": _ABS,
    "angle": 1,
    "sgn": _ABS + 2,
    "polar": 4,  # r·cos φ, r·sin φ
    "isfinite": 6,
    "isclose": 2 + ADD + _ABS + 2 + _ABS + 2 + 3,  # as for real numbers: z = w, or |z − w| ≤ atol + |rtol·w| and finite
    "exp": _EXP,
    "exp2": 2 + _EXP,  # exp(z·log 2)
    "expm1": _EXP + 1,
    "log": _LOG,
    "log1p": 1 + _LOG,
    "log2": _LOG + 2,
    "log10": _LOG + 2,
    "logaddexp": 4 + 2 * _EXP + ADD + _LOG,  # both exponents minus the larger real part
    "sqrt": _SQRT,
    "rsqrt": _SQRT + _RECIPROCAL,
    "pow": _LOG + MULTIPLY + _EXP,  # exp(w·log z)
    "ldexp": 2 + _EXP + MULTIPLY,  # z·exp(w·log 2)
    "sin": _SIN,
    "cos": _SIN + 1,  # cos a·cosh b − i·sin a·sinh b, with the sign
    "tan": 2 * _SIN + 1 + DIVIDE,
    "sinh": _SIN,
    "cosh": _SIN,
    "tanh": 2 * _SIN + DIVIDE,
    "sinc": 2 + _SIN + DIVIDE,  # sin(πz)/πz
    "asin": 1 + MULTIPLY + ADD + _SQRT + ADD + _LOG + 1,  # −i·log(iz + √(1 − z²))
    "acos": 1 + MULTIPLY + ADD + _SQRT + ADD + _LOG + 1 + ADD,  # π/2 − asin z
    "atan": 1 + 3 + 2 * _LOG + ADD + 2,  # i/2·(log(1 − iz) − log(1 + iz)); 1 + iz is one real sum
    "asinh": MULTIPLY + 1 + _SQRT + ADD + _LOG,  # log(z + √(z² + 1))
    "acosh": 2 * (1 + _SQRT) + MULTIPLY + ADD + _LOG,  # log(z + √(z + 1)·√(z − 1))
    "atanh": 3 + 2 * _LOG + ADD + 2,  # ½·(log(1 + z) − log(1 − z))
    "sigmoid": 2 + _EXP + 1 + _RECIPROCAL,  # 1 / (1 + exp(−z))
    "silu": 2 + _EXP + 1 + _RECIPROCAL + MULTIPLY,
    "softsign": _ABS + 1 + 2,  # z / (1 + |z|)
    "lerp": ADD + MULTIPLY + ADD,
    "addcmul": 2 * MULTIPLY + ADD,
    "addcdiv": MULTIPLY + DIVIDE + ADD,
    "multiply_add": MULTIPLY + ADD,
    "cross": 2 * MULTIPLY + ADD,
    "deg2rad": 2,
    "rad2deg": 2,
    "nan_to_num": 6,
    "mse": ADD + MULTIPLY,
    "l1": ADD + _ABS,
    "mse_loss_backward": ADD + 2 * MULTIPLY,
    "sigmoid_backward": 1 + 2 * MULTIPLY,  # g·conj(y·(1 − y)); 1 − y counts one real sum
    "tanh_backward": 1 + 2 * MULTIPLY,  # g·conj(1 − y²)
    "silu_backward": 2 + _EXP + 1 + _RECIPROCAL + 1 + MULTIPLY + 1 + 2 * MULTIPLY,  # g·conj(σ·(1 + z·(1 − σ)))
}
"""FLOPs per output element, by function, if an input or the output is complex."""

COMPLEX_REDUCTION_FLOPS: dict[str, tuple[int, int]] = {  # a and b of the FLOPs a·n + b·o
    "sum": (ADD, -ADD),
    "nansum": (ADD + 2, -ADD),
    "mean": (ADD, 0),
    "prod": (MULTIPLY, -MULTIPLY),
    "var": (8, 1),  # the variances of the real and of the imaginary parts, added
    "std": (8, 2),
    "norm": (4, 0),  # squares of both parts, their sum; n − o sums, o roots
    "logsumexp": (
        1 + 1 + _EXP + ADD,
        _LOG + 1 - 1 - ADD,
    ),  # largest real part (n − o), its difference, exp, sums (n − o); log, +
    "count_nonzero": (0, 0),
    "any": (0, 0),
    "all": (0, 0),
}
