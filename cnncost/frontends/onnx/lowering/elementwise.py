"""Elementwise ops."""

from __future__ import annotations

from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Op, Outputs, Ref, Source, lowers, shapes
from cnncost.tensor_types import TensorType

_POINTWISE = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Neg": "neg", "Abs": "abs", "Reciprocal": "reciprocal",
    "Sqrt": "sqrt", "Exp": "exp", "Log": "log", "Pow": "pow", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin",
    "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh", "Tanh": "tanh", "Asinh": "asinh", "Acosh": "acosh",
    "Atanh": "atanh", "Erf": "erf", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Sign": "sign",
    "Relu": "relu", "LeakyRelu": "leaky_relu", "Elu": "elu", "Celu": "celu", "Selu": "selu", "Sigmoid": "sigmoid",
    "HardSigmoid": "hardsigmoid", "HardSwish": "hardswish", "Softplus": "softplus", "Softsign": "softsign",
    "Mish": "mish", "ThresholdedRelu": "threshold", "Equal": "eq", "Greater": "gt", "Less": "lt",
    "GreaterOrEqual": "ge", "LessOrEqual": "le", "IsNaN": "isnan", "IsInf": "isinf", "Not": "logical_not",
    "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "BitShift": "bitwise_shift",
    "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "BitwiseNot": "bitwise_not",
    "Where": "where",
}  # fmt: skip
"""By ONNX op, the equivalent function (`fn`) of the Graph's `pointwise` op."""


@lowers(*_POINTWISE)
def pointwise(op: Op) -> Outputs:
    """The corresponding elementwise function; inputs broadcast."""
    return op.lower_to("pointwise", {"fn": _POINTWISE[op.type]})


@lowers("PRelu", weights=(1,))
def prelu(op: Op) -> Outputs:
    """x, slope; the slope broadcasts."""
    return op.lower_to("pointwise", {"fn": "prelu"})


@lowers("Mod")
def mod(op: Op) -> Outputs:
    """With `fmod`, the result has the sign of the dividend, otherwise that of the divisor."""
    return op.lower_to("pointwise", {"fn": "fmod" if op.get("fmod") else "remainder"})


@lowers("Gelu")
def gelu(op: Op) -> Outputs:
    """Exact (by erf), or the tanh approximation."""
    return op.lower_to("pointwise", {"fn": "gelu_tanh" if op.get("approximate", "none") == "tanh" else "gelu"})


@lowers("Swish")
def swish(op: Op) -> Outputs:
    """x · sigmoid(αx): one more multiplication if α is not 1."""
    return op.lower_to("pointwise", {"fn": "silu"}) if op.get("alpha", 1.0) == 1.0 else _gated(op)


@shapes("Gelu", "QuickGelu", "BiasGelu", "FastGelu")
def like_x(op: Op) -> list[TensorType | None]:
    """y: the type of x."""
    return [op.x()]


@lowers("QuickGelu", domain=MICROSOFT)
def quick_gelu(op: Op) -> Outputs | None:
    """x · sigmoid(αx), α = 1.702."""
    return swish(op) if op.get("alpha", 1.702) == 1.0 else _gated(op)


def _gated(op: Op) -> Outputs:
    """Append the steps of x · sigmoid(αx) for α ≠ 1."""
    gate = op.pointwise("sigmoid", [op.pointwise("mul", [0])])
    return [op.pointwise("mul", [0, gate])]


@lowers("Gelu", domain=MICROSOFT)
def fused_gelu(op: Op) -> Outputs:
    """Exact (by erf)."""
    return op.lower_to("pointwise", {"fn": "gelu"})


@lowers("BiasGelu", "FastGelu", domain=MICROSOFT, weights=(1,))
def bias_gelu(op: Op) -> Outputs:
    """GELU of x + bias; the bias is optional for FastGelu, which is the tanh approximation."""
    x: Source = op.pointwise("add", [0, 1], op.y().shape) if op.has(1) else 0
    return [op.pointwise("gelu_tanh" if op.type == "FastGelu" else "gelu", [x])]


@lowers("Clip")
def clip(op: Op) -> Outputs:
    """Bounds are attributes up to opset 10, then inputs; ReLU6 and hardtanh are exported as Clip."""
    low = op.has(1) or (op.opset < 11 and "min" in op.attributes)
    high = op.has(2) or (op.opset < 11 and "max" in op.attributes)
    if not low and not high:  # without bounds, the op copies its input
        return op.lower_to("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])
    return op.lower_to("pointwise", {"fn": "clamp" if low and high else "clamp_min" if low else "clamp_max"}, [0])


@lowers("Shrink")
def shrink(op: Op) -> Outputs:
    """With a bias it is soft shrinkage, else hard."""
    return op.lower_to("pointwise", {"fn": "softshrink" if op.get("bias", 0.0) else "hardshrink"})


_VARIADIC = {"Max": "maximum", "Min": "minimum", "Sum": "add", "Mean": "add"}


@lowers(*_VARIADIC)
def variadic(op: Op) -> Outputs:
    """Max, Min, Sum or Mean of n tensors: n − 1 operations per element; a mean also divides."""
    last: Source = 0
    for i in range(1, len(op.inputs)):
        final = i == len(op.inputs) - 1
        shape = op.y().shape if final else _broadcast_shape(op.type_of(last).shape, op.x(i).shape)
        last = op.pointwise(_VARIADIC[op.type], [last, i], shape)
    if op.type == "Mean":
        return [op.pointwise("div", [last])]
    if isinstance(last, Ref):
        return [last]
    # with one input, the op copies it
    return op.lower_to("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])


def _broadcast_shape(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    size = max(len(x), len(y))
    pairs = zip((1,) * (size - len(x)) + x, (1,) * (size - len(y)) + y, strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)


@shapes("Dropout", domain="")
def dropout_type(op: Op) -> list[TensorType | None]:
    """y and a mask, which has the type of x before opset 10 and is boolean since."""
    return [op.x(), op.x() if op.opset < 10 else op.x()._replace(dtype="bool")]


@lowers("Dropout")
def dropout(op: Op) -> Outputs | None:
    """The identity unless a constant input sets the training mode. The mask is written only if it is read."""
    training = op.constant(2)
    if op.has(2) and training is None:
        return None
    return op.lower_to("dropout", {"training": training is not None and bool(training.reshape(-1)[0])}, [0])


@lowers("Cast", "CastLike")
def cast(op: Op) -> Outputs:
    """A copy in another dtype."""
    return op.lower_to("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])
