"""Small ONNX files on which counters differ, with figures derived by hand. No tool is asked for a number here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, BYTE = TensorProto.FLOAT, TensorProto.INT8


class Case(NamedTuple):
    """A pitfall.

    Attributes:
        name: what is special.
        build: the file.
        macs, params: by hand.
        derivation: how.
        why: what goes wrong with it elsewhere.
    """

    name: str
    build: Callable[[], Any]
    macs: int
    params: int
    derivation: str
    why: str


def op(kind: str, inputs: str, outputs: str, domain: str = "", **attributes: Any) -> Any:
    """A node; `-` stands for an input that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), domain=domain, **attributes)


def weight(name: str, *shape: int, dtype: Any = np.float32) -> Any:
    """Numbers other than zero and one, which could be told apart from weights."""
    values = np.random.default_rng(len(shape)).standard_normal(shape) * 3
    return numpy_helper.from_array(values.astype(dtype), name)


def const(name: str, values: Any, dtype: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def file(
    nodes: list[Any], x: tuple[int, ...], y: tuple[int, ...], stored: list[Any], *, opset: int = 17,
    others: dict[str, tuple[int, ...]] | None = None, functions: tuple[Any, ...] = (), domains: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    given = [helper.make_tensor_value_info(n, FLOAT, s) for n, s in {"x": x, **(others or {})}.items()]
    out = [helper.make_tensor_value_info("y", FLOAT, y)]
    graph = helper.make_graph(nodes, "g", given, out, stored)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def _transposed() -> Any:
    up = op("ConvTranspose", "x w", "y", group=4, strides=[2, 2], kernel_shape=[3, 3])
    return file([up], (1, 8, 5, 5), (1, 12, 11, 11), [weight("w", 8, 3, 3, 3)])


def _same_lower() -> Any:
    conv = op("Conv", "x w", "y", auto_pad="SAME_LOWER", kernel_shape=[4, 4], strides=[3, 3])
    return file([conv], (1, 3, 10, 10), (1, 8, 4, 4), [weight("w", 8, 3, 4, 4)])


def _gemm() -> Any:
    return file([op("Gemm", "x w c", "y", transA=1, transB=1)], (5, 3), (3, 7), [weight("w", 7, 5), weight("c", 7)])


def _broadcast() -> Any:
    return file([op("MatMul", "x b", "y")], (2, 1, 3, 5), (2, 4, 3, 7), [], others={"b": (4, 5, 7)})


def _line() -> Any:
    nodes = [
        op("Unsqueeze", "x two", "u"), op("Conv", "u w", "c", kernel_shape=[1, 5], pads=[0, 2, 0, 2]),
        op("Squeeze", "c two", "y"),
    ]  # fmt: skip
    return file(nodes, (2, 4, 30), (2, 6, 30), [weight("w", 6, 4, 1, 5), const("two", [2])])


def _resized() -> Any:
    nodes = [
        op("Shape", "x", "s"), op("Slice", "s zero two", "lead"), op("Concat", "lead size", "to", axis=0),
        op("Resize", "x - - to", "r", mode="nearest"), op("Conv", "r w", "y", kernel_shape=[1, 1]),
    ]  # fmt: skip
    stored = [weight("w", 8, 3, 1, 1), const("zero", [0]), const("two", [2]), const("size", [12, 9])]
    return file(nodes, (1, 3, 4, 4), (1, 8, 12, 9), stored)


def _split() -> Any:
    nodes = [
        op("Split", "x sizes", "a b", axis=1), op("MatMul", "a w", "p"), op("MatMul", "b v", "q"),
        op("Add", "p q", "y"),
    ]  # fmt: skip
    stored = [const("sizes", [3, 5]), weight("w", 3, 7), weight("v", 5, 7)]
    return file(nodes, (2, 8), (2, 7), stored)


def _quantized() -> Any:
    nodes = [
        op("QuantizeLinear", "x s z", "xq"), op("DequantizeLinear", "xq s z", "xd"),
        op("DequantizeLinear", "wq s z", "wd"), op("Conv", "xd wd", "y", kernel_shape=[3, 3]),
    ]  # fmt: skip
    stored = [const("s", 0.1, np.float32), const("z", 0, np.int8), weight("wq", 8, 3, 3, 3, dtype=np.int8)]
    return file(nodes, (1, 3, 6, 6), (1, 8, 4, 4), stored, opset=19)


def _shared() -> Any:
    nodes = [op("MatMul", "x w", "h"), op("Relu", "h", "r"), op("MatMul", "r w", "y")]
    return file(nodes, (3, 6), (3, 6), [weight("w", 6, 6)])


def _constant() -> Any:
    return file([op("Constant", "", "w", value=weight("v", 6, 5)), op("MatMul", "x w", "y")], (3, 6), (3, 5), [])


def _folded() -> Any:
    return file([op("Conv", "x w b", "y", kernel_shape=[3, 3])], (1, 3, 6, 6), (1, 8, 4, 4),
                [weight("w", 8, 3, 3, 3), weight("b", 8)])  # fmt: skip


def _norm() -> Any:
    nodes = [op("Conv", "x w", "c", kernel_shape=[3, 3]), op("BatchNormalization", "c s b m v", "y")]
    norm = [weight(name, 8) for name in "sbm"] + [const("v", [1.5] * 8, np.float32)]
    return file(nodes, (1, 3, 6, 6), (1, 8, 4, 4), [weight("w", 8, 3, 3, 3), *norm])


_HEADS = {"k": (2, 4, 6, 8), "v": (2, 4, 6, 8)}


def _fused() -> Any:
    return file([op("Attention", "x k v", "y")], (2, 4, 5, 8), (2, 4, 5, 8), [], opset=23, others=_HEADS)


def _written() -> Any:
    nodes = [
        op("Transpose", "k", "t", perm=[0, 1, 3, 2]), op("MatMul", "x t", "s"), op("Mul", "s scale", "m"),
        op("Softmax", "m", "p", axis=-1), op("MatMul", "p v", "y"),
    ]  # fmt: skip
    return file(nodes, (2, 4, 5, 8), (2, 4, 5, 8), [const("scale", 8**-0.5, np.float32)], others=_HEADS)


def _captured() -> Any:
    def branch(name: str, *nodes: Any) -> Any:
        return helper.make_graph(list(nodes), name, [], [helper.make_tensor_value_info(name, FLOAT, (3, 6))])

    step = helper.make_graph(
        [op("MatMul", "h w", "n"), op("Identity", "go", "on")], "step",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ()), helper.make_tensor_value_info("go", 9, ()),
         helper.make_tensor_value_info("h", FLOAT, (3, 6))],
        [helper.make_tensor_value_info("on", 9, ()), helper.make_tensor_value_info("n", FLOAT, (3, 6))],
    )  # fmt: skip
    taken = branch("taken", op("MatMul", "l w", "taken"))
    nodes = [
        op("Loop", "four - x", "l", body=step),
        op("If", "yes", "y", then_branch=taken, else_branch=branch("other", op("Neg", "l", "other"))),
    ]  # fmt: skip
    return file(nodes, (3, 6), (3, 6), [weight("w", 6, 6), const("four", 4), const("yes", True, bool)])


def _function() -> Any:
    body = [op("Gemm", "a b", "c", transB=1), op("Relu", "c", "d")]
    dense = helper.make_function("own", "Dense", ["a", "b"], ["d"], body, [helper.make_opsetid("", 17)])
    calls = [op("Dense", "x w", "h", domain="own"), op("Dense", "h w", "y", domain="own")]
    return file(calls, (3, 6), (3, 6), [weight("w", 6, 6)], functions=(dense,), domains=("own",))


def _empty() -> Any:
    nodes = [op("Conv", "x w -", "c", kernel_shape=[3, 3]), op("Clip", "c - six", "r"),
             op("Resize", "r - scales", "y", mode="nearest")]  # fmt: skip
    stored = [weight("w", 8, 3, 3, 3), const("six", 6, np.float32), const("scales", [1, 1, 2, 2], np.float32)]
    return file(nodes, (1, 3, 6, 6), (1, 8, 8, 8), stored)


CASES = (
    Case("transposed convolution with groups", _transposed, 5 * 5 * 8 * 3 * 9, 8 * 3 * 9,
         "25 input positions, each of 8 channels times 3 outputs of its group of 3×3",
         "onnx-tool goes by the 121 output positions: 121·12·3·9"),
    Case("auto_pad SAME_LOWER", _same_lower, 16 * 8 * 3 * 16, 8 * 3 * 16,
         "⌈10/3⌉² = 16 positions of 8 kernels of 3×4×4",
         "without the attribute it would be 3² positions; onnx-tool counts as derived"),
    Case("Gemm with transposed operands", _gemm, 3 * 5 * 7, 7 * 5 + 7,
         "xᵀ: 3×5, wᵀ: 5×7", "onnx-tool takes each bias for a MAC: + 3·7"),
    Case("MatMul that broadcasts", _broadcast, 2 * 4 * 3 * 5 * 7, 0,
         "2×1 and 4 matrices broadcast to 2×4 pairs of 3×5 by 5×7", "onnx-tool has the batch of one side alone: 4·105"),
    Case("Conv1D written as Conv2D", _line, 2 * 30 * 6 * 4 * 5, 6 * 4 * 5,
         "2 rows of 30 positions, 6 kernels of 4×1×5", "onnx-tool's parameters have the axis of Unsqueeze"),
    Case("Resize by sizes from constants", _resized, 12 * 9 * 8 * 3, 8 * 3,
         "108 pixels after Shape, Slice and Concat have said so, 8 kernels of 3×1×1",
         "onnx-tool's parameters have the four sizes and positions"),
    Case("Split by sizes", _split, 2 * 3 * 7 + 2 * 5 * 7, 3 * 7 + 5 * 7, "2×3 by 3×7, and 2×5 by 5×7",
         "onnx-tool takes the sum for MACs, and the two sizes for parameters"),
    Case("QuantizeLinear and DequantizeLinear", _quantized, 16 * 8 * 27, 8 * 27,
         "16 positions of 8 kernels of 3×3×3; quantizing multiplies, and accumulates nothing",
         "onnx-tool takes quantizing for MACs, two for each value"),
    Case("an initializer that two ops read", _shared, 2 * 3 * 6 * 6, 36, "two products of 3×6 by 6×6, one weight",
         "onnx-tool takes ReLU for MACs"),
    Case("a weight in a Constant node", _constant, 3 * 6 * 5, 30, "3×6 by 6×5",
         "for onnx-tool initializers alone are parameters"),
    Case("batch norm folded into its convolution", _folded, 16 * 8 * 27, 8 * 27 + 8,
         "16 positions of 8 kernels of 3×3×3; the bias is a parameter", "onnx-tool takes each bias for a MAC: + 16·8"),
    Case("batch norm left in the file", _norm, 16 * 8 * 27, 8 * 27 + 16,
         "the same; scale and shift are parameters, running statistics are buffers",
         "onnx-tool takes the norm for 31 MACs an element, and running statistics for parameters"),
    Case("attention, one op", _fused, 8 * 5 * 6 * 8 * 2, 0,
         "8 pairs of 5×8 by 8×6, and of 5×6 by 6×8", "onnx-tool fails: it does not know the op"),
    Case("attention, written out", _written, 8 * 5 * 6 * 8 * 2, 0,
         "the same: the scale multiplies, and accumulates nothing",
         "onnx-tool takes the scale for a MAC, and softmax for 36, for each score"),
    Case("a branch and a loop that read outside", _captured, 5 * 3 * 6 * 6, 36,
         "four rounds and the branch taken: five products of 3×6 by 6×6, one weight",
         "onnx-tool fails at the loop"),
    Case("a function of the file, called twice", _function, 2 * 3 * 6 * 6, 36, "two products of 3×6 by 6×6",
         "onnx-tool fails: it does not follow functions"),
    Case("optional inputs that are empty", _empty, 16 * 8 * 27, 8 * 27, "16 positions of 8 kernels of 3×3×3, no bias",
         "onnx-tool counts the bias that is left out, and takes Clip for MACs"),
)  # fmt: skip


def write(case: Case, path: str) -> None:
    """Write a case's file; the package's own check must pass."""
    model = case.build()
    onnx.checker.check_model(model)
    onnx.save(model, path)
