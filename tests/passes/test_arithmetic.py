"""Multiply-accumulates by number format, on hand-made graphs."""

from __future__ import annotations

import pytest

from cnncost.graph import Call, Graph, Node, OpSpec, Scope, Storage, TensorType, Value
from cnncost.passes.arithmetic import macs_by_dtype


def linear(rows, i, o, dtype="float32"):
    types = (TensorType((rows, i), dtype), TensorType((o, i), dtype))
    return OpSpec("linear", types, (TensorType((rows, o), dtype),), (("bias", True),))


def relu(n):
    return OpSpec("pointwise", (TensorType((n,), "float32"),), (TensorType((n,), "float32"),), (("fn", "relu"),))


def integers(rows, i, o):
    """A dynamically quantized layer: floats in and out, integer products."""
    attrs = (("dynamic", True), ("in", i), ("out", o), ("rows", rows))
    x, y = TensorType((rows, i), "float32"), TensorType((rows, o), "float32")
    return OpSpec("quantized_linear", (x,), (y,), attrs)


def graph(*nodes):
    """A graph of ops, each with the phase in which it runs."""
    x = TensorType((1,), "float32")
    return Graph(
        (Value(0, x, 0, "input"), Value(1, x, 1, "activation")),
        tuple(Node(spec, (0,), (1,), 0, "op", phase) for spec, phase in nodes),
        (Scope("", "Net", calls=1),), (Call(0, None, 0, (), ()),),
        (Storage(0, 4, None, None), Storage(1, 4, 0, None)), (0,), (1,),
    )  # fmt: skip


def test_nothing():
    assert macs_by_dtype(graph()) == {}
    assert macs_by_dtype(graph((relu(5), "forward"))) == {}
    assert macs_by_dtype(graph((OpSpec("cnncost_test::no_rule", (), ()), "forward"))) == {}


def test_only_forward_counts_and_each_run_of_an_op():
    spec = linear(2, 3, 5)
    nodes = [(spec, "forward"), (relu(4), "forward"), (spec, "forward"), (spec, "backward"), (spec, "forward")]
    assert macs_by_dtype(graph(*nodes)) == {"float32": 3 * 2 * 3 * 5}
    assert macs_by_dtype(graph((spec, "backward"), (spec, "optimizer"))) == {}


def test_largest_counts_come_first():
    few, many, half = linear(1, 3, 5, "float64"), linear(7, 3, 5), linear(2, 3, 5, "bfloat16")
    found = macs_by_dtype(graph((few, "forward"), (many, "forward"), (half, "forward"), (half, "forward")))
    assert list(found.items()) == [("float32", 7 * 15), ("bfloat16", 2 * 2 * 15), ("float64", 15)]


def test_products_without_rows_have_no_format():
    assert macs_by_dtype(graph((linear(0, 3, 5), "forward"))) == {}


def test_integer_products_between_floats_count_as_int8():
    found = macs_by_dtype(graph((linear(1, 3, 5), "forward"), (integers(2, 3, 5), "forward")))
    assert list(found.items()) == [("int8", 2 * 15), ("float32", 15)]


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint16"])
def test_products_of_wide_integers_have_their_own_format(dtype):
    """They have no FLOPs, as those of quantized layers, but are no products of 8-bit integers."""
    found = macs_by_dtype(graph((linear(2, 3, 5, dtype), "forward"), (integers(1, 3, 5), "forward")))
    assert list(found.items()) == [(dtype, 2 * 15), ("int8", 15)]


def test_products_have_the_format_of_the_data():
    """Weights stored in fewer bits are converted to the data's format first."""
    types = (TensorType((2, 3), "bfloat16"), TensorType((5, 3), "int8"), TensorType((5,), "float32"))
    spec = OpSpec("linear", types, (TensorType((2, 5), "bfloat16"),), (("bias", False),))
    assert macs_by_dtype(graph((spec, "forward"))) == {"bfloat16": 2 * 15}


def test_products_without_an_input_have_the_format_of_the_output():
    """As a module with a rule that computes from its own weights alone."""
    attrs = (("read", None), ("terms", (("product", (("n", 7),), 2, True),)), ("written", None))
    spec, none = OpSpec("custom", (), (TensorType((3,), "float16"),), attrs), OpSpec("custom", (), (), attrs)
    assert macs_by_dtype(graph((spec, "forward"), (none, "forward"))) == {"float16": 7, "unknown": 7}
