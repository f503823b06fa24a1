"""Elementwise ops: ONNX's names for the functions whose FLOPs `pointwise` knows."""

from __future__ import annotations

from cnncost.frontends.onnx.lowering.registry import MICROSOFT, Made, Op, Ref, Source, lowers, shapes
from cnncost.tensor_types import TensorType

_SAME = {
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


@lowers(*_SAME)
def same(op: Op) -> Made:
    """The function of this name; inputs are broadcast."""
    return op.done("pointwise", {"fn": _SAME[op.type]})


@lowers("PRelu", weights=(1,))
def prelu(op: Op) -> Made:
    """x, slope; the slope is broadcast."""
    return op.done("pointwise", {"fn": "prelu"})


@lowers("Mod")
def mod(op: Op) -> Made:
    """The attribute `fmod` says whether the result has the sign of the dividend, or of the divisor."""
    return op.done("pointwise", {"fn": "fmod" if op.get("fmod") else "remainder"})


@lowers("Gelu")
def gelu(op: Op) -> Made:
    """By erf, or by the tanh approximation."""
    return op.done("pointwise", {"fn": "gelu_tanh" if op.get("approximate", "none") == "tanh" else "gelu"})


@lowers("Swish")
def swish(op: Op) -> Made:
    """x · sigmoid(αx): one multiplication more if α is not 1."""
    x: Source = 0
    if op.get("alpha", 1.0) != 1.0:
        scaled = op.pointwise("mul", [0])
        gate = op.pointwise("sigmoid", [scaled])
        return [op.pointwise("mul", [x, gate])]
    return op.done("pointwise", {"fn": "silu"})


@shapes("Gelu", "QuickGelu", "BiasGelu", "FastGelu")
def like_x(op: Op) -> list[TensorType | None]:
    """y: the type of x."""
    return [op.x()]


@lowers("QuickGelu", domain=MICROSOFT)
def quick_gelu(op: Op) -> Made | None:
    """x · sigmoid(αx), α = 1.702."""
    return swish(op) if op.get("alpha", 1.702) == 1.0 else _gated(op)


def _gated(op: Op) -> Made:
    gate = op.pointwise("sigmoid", [op.pointwise("mul", [0])])
    return [op.pointwise("mul", [0, gate])]


@lowers("Gelu", domain=MICROSOFT)
def fused_gelu(op: Op) -> Made:
    """By erf."""
    return op.done("pointwise", {"fn": "gelu"})


@lowers("BiasGelu", "FastGelu", domain=MICROSOFT, weights=(1,))
def bias_gelu(op: Op) -> Made:
    """x + bias, which FastGelu may lack, through GELU; FastGelu is the tanh approximation."""
    x: Source = op.pointwise("add", [0, 1], op.y().shape) if op.has(1) else 0
    return [op.pointwise("gelu_tanh" if op.type == "FastGelu" else "gelu", [x])]


@lowers("Clip")
def clip(op: Op) -> Made:
    """Bounds are attributes up to opset 10, then inputs; ReLU6 and hardtanh are exported as Clip."""
    low = op.has(1) or (op.opset < 11 and "min" in op.attributes)
    high = op.has(2) or (op.opset < 11 and "max" in op.attributes)
    if not low and not high:
        return op.done("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])
    return op.done("pointwise", {"fn": "clamp" if low and high else "clamp_min" if low else "clamp_max"}, [0])


@lowers("Shrink")
def shrink(op: Op) -> Made:
    """With a bias it is soft shrinkage, else hard."""
    return op.done("pointwise", {"fn": "softshrink" if op.get("bias", 0.0) else "hardshrink"})


_CHAINS = {"Max": "maximum", "Min": "minimum", "Sum": "add", "Mean": "add"}


@lowers(*_CHAINS)
def chain(op: Op) -> Made:
    """Max, Min, Sum or Mean of n tensors: n − 1 operations per element; a mean also divides."""
    last: Source = 0
    for i in range(1, len(op.inputs)):
        final = i == len(op.inputs) - 1
        shape = op.y().shape if final else _joint(op.type_of(last).shape, op.x(i).shape)
        last = op.pointwise(_CHAINS[op.type], [last, i], shape)
    if op.type == "Mean":
        return [op.pointwise("div", [last])]
    if isinstance(last, Ref):
        return [last]
    return op.done("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])


def _joint(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    size = max(len(x), len(y))
    pairs = zip((1,) * (size - len(x)) + x, (1,) * (size - len(y)) + y, strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)


@shapes("Dropout", domain="")
def dropout_type(op: Op) -> list[TensorType | None]:
    """y, and a mask, whose type the package's inference knows from opset 10 on, as booleans."""
    return [op.x(), op.x() if op.opset < 10 else op.x()._replace(dtype="bool")]


@lowers("Dropout")
def dropout(op: Op) -> Made | None:
    """The identity in inference; a constant input says if it is in training mode. The mask is written if it is read."""
    training = op.constant(2)
    if op.has(2) and training is None:
        return None
    return op.done("dropout", {"training": training is not None and bool(training.reshape(-1)[0])}, [0])


@lowers("Cast", "CastLike")
def cast(op: Op) -> Made:
    """A copy in another dtype."""
    return op.done("layout", {"copy": True, "moves": (("reshape", op.x().shape),)}, [0])
