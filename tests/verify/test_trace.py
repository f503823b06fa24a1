"""Ops of a jit trace, and the nodes that cnncost records for them."""

import warnings

import pytest
import torch
from torch import nn

from cnncost.verify.trace import Parts, TracedOp, TracedTensor, traced


class Model(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *tensors):
        return self.function(*tensors)


def ops(function, *tensors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph, _ = torch.jit._get_trace_graph(Model(function), tensors)
    return [traced(node) for node in graph.nodes() if not node.kind().startswith("prim::") or "Python" in node.kind()]


def macs(op):
    from cnncost.verify.nodes import macs as of

    return sum(of(node) for node in Parts().nodes_of(op))


def test_arguments_are_plain_data():
    (op,) = ops(lambda a, b: torch.tensordot(a, b, dims=([1], [0])), torch.zeros(3, 5), torch.zeros(5, 7))
    left, right = TracedTensor((3, 5), torch.float32), TracedTensor((5, 7), torch.float32)
    assert op == TracedOp("aten::tensordot", "", (left, right, (1,), (0,)), ())
    assert op.shapes() == ((3, 5), (5, 7))


def test_keyword_arguments_are_apart_and_lists_are_tuples():
    (op,) = ops(lambda a, b: torch.einsum("ij,jk->ik", a, b), torch.zeros(3, 5), torch.zeros(5, 7))
    assert op.args[0] == "ij,jk->ik"
    assert [t.shape for t in op.args[1]] == [(3, 5), (5, 7)]
    assert op.kwargs == (("path", None),)


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        pytest.param(lambda a, b: torch.einsum("ij,jk->ik", a, b), ((3, 5), (5, 7)), 105, id="einsum"),
        pytest.param(torch.inner, ((3, 5), (7, 5)), 105, id="inner"),
        pytest.param(lambda x: x.relu(), ((3,),), 0, id="an op without products"),
    ],
)
def test_an_op_is_recorded_alone(function, shapes, expected):
    (op,) = ops(function, *map(torch.zeros, shapes))
    assert macs(op) == expected


def test_equal_ops_are_recorded_once():
    first, second = ops(lambda a, b: (torch.inner(a, b), torch.inner(a, b)), torch.zeros(3, 5), torch.zeros(7, 5))
    parts = Parts()
    assert first == second
    assert parts.nodes_of(first) is parts.nodes_of(second)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a @ b + a @ b

    @staticmethod
    def backward(ctx, grad):
        return grad, grad


def test_a_python_function_is_the_ops_in_it():
    (op,) = ops(Double.apply, torch.zeros(3, 5), torch.zeros(5, 7))
    assert op.kind == "prim::PythonOp.Double"
    assert [part.kind for part in op.body] == ["aten::matmul", "aten::matmul", "aten::add"]
    assert macs(op) == 210


def test_an_op_whose_arguments_the_trace_computes_has_no_parts():
    found = ops(lambda x: x.reshape(x.shape[0] * 2, -1), torch.zeros(4, 6))
    op = next(op for op in found if op.kind == "aten::reshape")
    assert op.args is None
    assert Parts().nodes_of(op) == ()


def test_an_op_that_does_not_exist_or_fails_has_no_parts():
    assert Parts().nodes_of(TracedOp("no_lib::no_op", "", (), ())) == ()
    bad = TracedTensor((3, 5), torch.float32)
    assert Parts().nodes_of(TracedOp("aten::inner", "", (bad, TracedTensor((3, 4), torch.float32)), ())) == ()


def test_constants_are_known_by_their_type_alone():
    (op,) = ops(lambda x: torch.inner(x, torch.ones(7, 5)), torch.zeros(3, 5))[-1:]
    assert op.args == (TracedTensor((3, 5), torch.float32), TracedTensor((7, 5), torch.float32))


def test_an_argument_that_cannot_be_hashed_is_no_hindrance():
    x = TracedTensor((3, 5), torch.float32)
    assert len(Parts().nodes_of(TracedOp("aten::sum", "dim_IntList", (x, [1]), ()))) == 1
