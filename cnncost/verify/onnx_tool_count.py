"""Counts an ONNX file with onnx-tool, and predicts its count. Source: onnx_tool/node.py, version 1.0.

onnx-tool calls its count MACs, but also counts ops without MACs, such as a comparison as 1, a division as 4, and an
exponential as 32. It counts a transposed convolution by output positions, cnncost by input positions.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from math import prod
from time import perf_counter
from typing import Any

from cnncost.graph import Graph, Node
from cnncost.passes.compute import compute
from cnncost.verify.account import Account, Expected
from cnncost.verify.nodes import macs
from cnncost.verify.reasons import reason
from cnncost.verify.result import PeerCount, Verification

INSTALL = "not installed; install it with: pip install onnx-tool"
_PER_OUTPUT = {
    "Add": 1, "Sub": 1, "Mul": 1, "Relu": 1, "Max": 1, "Min": 1, "Neg": 1, "Abs": 1, "Div": 4, "Reciprocal": 4,
    "Clip": 2, "LeakyRelu": 2, "PRelu": 2, "HardSigmoid": 4, "HardSwish": 5, "Sqrt": 24, "Pow": 32, "Exp": 32,
    "Sigmoid": 32, "Softmax": 36, "Tanh": 76, "Log": 43, "BatchNormalization": 31,
}  # fmt: skip
_PER_INPUT = {"ReduceMean": 1}
"""Counts per output element and per input element, by op."""
_GATES = 4 + 3 * 32 + 2 * 38 + 4
"""Count per hidden unit of an LSTM: four additions, three sigmoids, two tanh (38 each, although a Tanh op counts 76),
and four for the update of the cell."""


def verified(name: str, graph: Graph, inputs: dict[str, Any], seconds: float) -> Verification:
    """Return the counts of a file's Graph and of onnx-tool. If onnx-tool is missing or fails, the result says so."""
    found = compute(graph)
    return Verification(
        model=name,
        inputs=tuple((graph.values[i].shape, graph.values[i].dtype) for i in graph.inputs),
        macs=found.total.macs,
        flops=found.total.flops,
        unknown={u.op: u.count for u in found.unknown},
        seconds=seconds,
        peers=(_count(name, graph, inputs),),
        notes=graph.notes,
    )


def _count(path: str, graph: Graph, inputs: dict[str, Any]) -> PeerCount:
    peer, run = "onnx-tool", "with its own shape inference"
    try:
        import onnx_tool
    except ImportError:
        return PeerCount(peer, "", "MAC", run, failure=INSTALL)
    start = perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = onnx_tool.Model(path).graph
            theirs.shape_infer(inputs)
            theirs.profile()
    except Exception as error:  # noqa: BLE001  # a failing peer is a result
        return PeerCount(peer, version(peer), "MAC", run, failure=reason(error))
    seconds = perf_counter() - start
    by_op: Counter[str] = Counter()
    for node in theirs.nodemap.values():
        by_op[node.op_type] += int(node.macs[0])
    account = Account(expected, macs)
    account.add(graph.nodes)
    return PeerCount(
        peer, version(peer), "MAC", run, sum(by_op.values()), {op: n for op, n in by_op.items() if n}, {},
        account.explanations(), account.unexplained(by_op), seconds,
    )  # fmt: skip


def expected(node: Node) -> Expected:
    """Return onnx-tool's predicted count for a node."""
    op = node.name.rpartition(".")[2]
    rule = _RULES.get(op)
    if rule is not None:
        return rule(op, node)
    outputs, inputs = (t[0].numel if t else 0 for t in (node.spec.outputs, node.spec.inputs))
    if op in _PER_OUTPUT:
        each = _PER_OUTPUT[op]
        return Expected(op, each * outputs, f"{each} per element out of {op}; it has no MACs")
    if op in _PER_INPUT:
        return Expected(op, _PER_INPUT[op] * inputs, f"1 per element into {op}; it has no MACs")
    return Expected(op, 0, f"{op} counts as 0" if macs(node) else "")


def _convolution(op: str, node: Node) -> Expected:
    w, y = node.spec.inputs[1].shape, node.spec.outputs[0].numel
    if node.spec.kind != "conv":  # a convolution that the front end doesn't know
        return Expected(op, macs(node), "1 per MAC")
    bias = y if node.spec["bias"] else 0
    if op == "ConvTranspose":
        return Expected(
            op, y * prod(w[1:]) + bias, "by output positions and output channels, and 1 per output for a bias"
        )
    return Expected(op, macs(node) + bias, "1 per MAC, and 1 per output for a bias")


def _gemm(op: str, node: Node) -> Expected:
    # the front end records the addition as part of the product or as a node of its own
    y, added = node.spec.outputs[0].numel, node.spec.get("bias") or node.spec.get("fn") == "add"
    return Expected(op, macs(node) + (y if added else 0), "1 per MAC, and 1 per output for a bias")


def _matmul(op: str, node: Node) -> Expected:
    w = node.spec.inputs[1].shape
    inner = w[-2] if len(w) > 1 else 1
    return Expected(op, node.spec.outputs[0].numel * inner, "1 per MAC, but 1 per output of a product with a vector")


def _lstm(op: str, node: Node) -> Expected:
    if node.spec.kind != "recurrent":  # a node that only moves its inputs or outputs
        return Expected(op, 0)
    units = node.spec["tokens"] * node.spec["hidden"]
    biases = 8 * units * node.spec["directions"] if node.spec["bias"] else 0
    return Expected(op, macs(node) + biases + _GATES * units, f"1 per MAC and bias, {_GATES} per hidden unit and step")


def _pool(op: str, node: Node) -> Expected:
    each = prod(node.spec["kernel"])
    return Expected(op, each * node.spec.outputs[0].numel, f"1 per element of each window of {op}; it has no MACs")


def _global_pool(op: str, node: Node) -> Expected:
    x, y = node.spec.inputs[0].numel, node.spec.outputs[0].numel
    return Expected(op, x + 4 * y, f"1 per element into {op} and 4 per output; it has no MACs")


_RULES: dict[str, Callable[[str, Node], Expected]] = {
    "Conv": _convolution, "ConvTranspose": _convolution, "Gemm": _gemm, "MatMul": _matmul, "LSTM": _lstm,
    "MaxPool": _pool, "AveragePool": _pool, "GlobalAveragePool": _global_pool,
}  # fmt: skip
