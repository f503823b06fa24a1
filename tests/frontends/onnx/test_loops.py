"""Loops: how often they run, by the rounds of onnx's own evaluator, and those that are too long."""

import time

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_files import analyzed, model, node, value, weight

INT64, BOOL = TensorProto.INT64, TensorProto.BOOL


def number(name, n, dtype=np.int64):
    return numpy_helper.from_array(np.array(n, dtype), name)


def scalar(name, dtype=INT64):
    return helper.make_tensor_value_info(name, dtype, [])


ON = number("on", True, bool)


def counting(nodes, trips="most", states=(), most=9, on="on", more=()):
    """h ← h·w and r ← r + 1, for as long as the nodes make `go` true of the round i and the states."""
    names = [state for state, _, _ in states]
    body = helper.make_graph(
        [*nodes, node("MatMul", "h w", "g"), node("Add", "r one", "q")], "body",
        [scalar("i"), scalar("c", BOOL), *map(scalar, names), value("h", 3, 5), scalar("r")],
        [scalar("go", BOOL), *(scalar(update) for _, update, _ in states), value("g", 3, 5), scalar("q")],
        [number("one", 1), number("three", 3), weight("w", 5, 5)],
    )  # fmt: skip
    finals = [f"{name}_last" for name in names]
    loop = helper.make_node(
        "Loop", [trips, on, *(f"{name}_first" for name in names), "x", "none"], [*finals, "y", "rounds"], body=body
    )
    stored = [number("most", most), ON, number("off", False, bool), number("none", 0), number("two", 2), *more]
    stored += [number(f"{name}_first", first) for name, _, first in states]
    proto = model([loop], [("x", 3, 5)], ("y", "rounds"), stored)
    proto.graph.output[1].type.tensor_type.elem_type = INT64
    return proto


CASES = [
    pytest.param(counting([node("Identity", "c", "go")]), id="as it was"),
    pytest.param(counting([node("Cast", "c", "go", to=BOOL)]), id="cast, as torch writes it"),
    pytest.param(counting([node("Less", "i three", "go")]), id="by the round"),
    pytest.param(counting([node("Less", "i two", "go")]), id="by the round and a constant outside"),
    pytest.param(counting([node("Less", "i three", "go")], trips=""), id="without a number of rounds"),
    pytest.param(counting([node("Less", "i three", "go")], most=2), id="more than the number of rounds"),
    pytest.param(counting([node("Not", "c", "go")]), id="once"),
    pytest.param(counting([node("Identity", "c", "go")], on="off"), id="never"),
    pytest.param(counting([node("Add", "k two", "l"), node("Less", "l three", "go")], states=[("k", "l", 0)], trips=""),
                 id="by a state"),
    pytest.param(counting([node("Add", "k m", "l"), node("Mul", "m two", "n"), node("Less", "l seven", "go")],
                          states=[("k", "l", 0), ("m", "n", 1)], trips="", more=[number("seven", 7)]),
                 id="by two states, one of which follows the other"),
    pytest.param(counting([node("Constant", "", "go", value=number("", False, bool))]), id="a constant that is false"),
]  # fmt: skip


@pytest.mark.parametrize("proto", CASES)
def test_rounds_that_constants_decide(tmp_path, proto):
    _, rounds = ReferenceEvaluator(proto).run(None, {"x": np.zeros((3, 5), np.float32)})
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.macs) == ({}, int(rounds) * 3 * 5 * 5)
    assert report.totals.params == (25 if rounds else 0)


def test_a_loop_of_a_number_of_rounds_alone(tmp_path):
    """No condition, and no state: each round stacks a product of the same tensors."""
    body = helper.make_graph(
        [node("MatMul", "x w", "g"), node("Identity", "c", "go")], "body", [scalar("i"), scalar("c", BOOL)],
        [scalar("go", BOOL), value("g", 3, 7)], [weight("w", 5, 7)],
    )  # fmt: skip
    loop = helper.make_node("Loop", ["four", ""], ["y"], body=body)
    report = analyzed(tmp_path, model([loop], [("x", 3, 5)], stored=[number("four", 4)]))
    assert (report.unknown, report.totals.macs, report.totals.params) == ({}, 4 * 3 * 5 * 7, 35)
    assert report.graph.values[report.graph.outputs[0]].shape == (4, 3, 7)


@pytest.mark.parametrize(
    "proto",
    [
        pytest.param(counting([node("ReduceSum", "h", "s", keepdims=0), node("Cast", "s", "go", to=BOOL)]), id="data"),
        pytest.param(counting([node("Identity", "c", "go")], trips=""), id="for ever"),
        pytest.param(counting([node("Identity", "c", "go")], most=10**12), id="very often"),
        pytest.param(counting([node("Less", "i three", "go")], on=""), id="a condition that the standard ignores"),
    ],
)
def test_rounds_that_are_unknown(tmp_path, proto):
    report = analyzed(tmp_path, proto)
    assert (report.unknown, report.totals.params) == ({"onnx.Loop": 1}, 25)


def test_a_loop_in_a_loop_is_as_long_as_both(tmp_path):
    """4,000 rounds of 4,000 would be 16 million nodes: the inner one is unknown each time."""
    inner = helper.make_graph(
        [node("Identity", "c2", "go2"), node("MatMul", "h2 w", "g2")], "inner",
        [scalar("i2"), scalar("c2", BOOL), value("h2", 3, 5)], [scalar("go2", BOOL), value("g2", 3, 5)],
    )  # fmt: skip
    outer = helper.make_graph(
        [node("Identity", "c", "go"), node("Loop", "most on h", "g", body=inner)], "outer",
        [scalar("i"), scalar("c", BOOL), value("h", 3, 5)], [scalar("go", BOOL), value("g", 3, 5)],
    )  # fmt: skip
    stored = [number("most", 4_000), ON, weight("w", 5, 5)]
    start = time.process_time()
    report = analyzed(tmp_path, model([node("Loop", "most on x", "y", body=outer)], [("x", 3, 5)], stored=stored))
    assert set(report.unknown) == {"onnx.Loop"}
    assert (report.totals.params, report.totals.macs) == (25, 0)
    assert time.process_time() - start < 20
