"""The invariants of every Graph, on hand-made graphs: each one is violated once."""

import warnings
from dataclasses import replace

import pytest
import torch

from cnncost.errors import GraphError
from cnncost.graph import (
    ITEM_BYTES,
    Call,
    FusedNodes,
    Graph,
    Node,
    OpSpec,
    Owned,
    Scope,
    Storage,
    TensorType,
    Value,
    verify,
)
from tests.versions import facts

X, W, Y = TensorType((2, 3), "float32"), TensorType((4, 3), "float32"), TensorType((2, 4), "float32")
LINEAR = OpSpec("linear", (X, W), (Y,), (("bias", False),))
RELU = OpSpec("pointwise", (Y,), (Y,), (("fn", "relu"),))


def drawn():
    """x (2, 3) times w (4, 3) gives y (2, 4) in module `fc`; the model itself takes the ReLU of y."""
    return Graph(
        values=(
            Value(0, X, 0, "input"),
            Value(1, W, 1, "parameter"),
            Value(2, Y, 2, "activation"),
            Value(3, Y, 3, "activation"),
        ),
        nodes=(Node(LINEAR, (0, 1), (2,), 1, "aten.linear"), Node(RELU, (2,), (3,), 0, "aten.relu")),
        scopes=(Scope("", "Net", calls=1), Scope("fc", "Linear", (Owned("weight", 1, True),), calls=1)),
        calls=(Call(0, None, 0, (0,), (3,)), Call(1, 0, 0, (0,), (2,))),
        storages=(
            Storage(0, 24, None, None),
            Storage(1, 48, None, None),
            Storage(2, 32, 0, 1),
            Storage(3, 32, 1, None),
        ),
        inputs=(0,),
        outputs=(3,),
    )


def with_item(items, index, **changes):
    """A tuple of named tuples with fields of one of them changed."""
    return (*items[:index], items[index]._replace(**changes), *items[index + 1 :])


def with_field(name, index, **changes):
    """The drawn graph with fields of one entry of one of its tables changed."""
    return lambda: replace(drawn(), **{name: with_item(getattr(drawn(), name), index, **changes)})


RIGHT = [
    pytest.param(drawn, id="a linear layer and a ReLU"),
    pytest.param(lambda: Graph((), (), (), (), (), (), ()), id="nothing at all"),
    pytest.param(
        lambda: Graph(drawn().values[:2], (), drawn().scopes, (), drawn().storages[:2], (0,), (0,)),
        id="no ops: what comes out is what went in",
    ),
    pytest.param(
        lambda: replace(drawn(), outputs=(3, 3, 0, 1)), id="a value, an input and a parameter returned, one twice"
    ),
    pytest.param(
        lambda: replace(drawn(), nodes=(drawn().nodes[0], Node(RELU, (2,), (2,), 0, "alias")), outputs=(2,)),
        id="an op that returns the very tensor that it was given",
    ),
    pytest.param(with_field("storages", 3, died=1), id="a storage that lives for the op that makes it, and no longer"),
    pytest.param(with_field("values", 3, storage=2), id="two values on one storage"),
    pytest.param(lambda: replace(drawn(), fused=(FusedNodes(0, 1, "layer", ()),)), id="both nodes as one kernel"),
]


@pytest.mark.parametrize("draw", RIGHT)
def test_a_graph_that_keeps_the_rules_is_returned_as_it_is(draw):
    graph = draw()
    assert verify(graph) is graph


BROKEN = [
    # tables
    pytest.param(with_field("values", 1, id=2), "value 1", id="a value that is not stored under its id"),
    pytest.param(with_field("values", 2, storage=4), "value 2: storage 4", id="a storage past the last"),
    pytest.param(with_field("values", 2, storage=-1), "value 2: storage -1", id="a storage before the first"),
    pytest.param(with_field("storages", 2, id=3), "storage 2", id="a storage that is not stored under its id"),
    pytest.param(with_field("storages", 2, died=-1), "storage 2", id="a storage that died before it was born"),
    pytest.param(
        with_field("storages", 2, born=7, died=None), "storage 2", id="a storage made by a node that does not exist"
    ),
    pytest.param(
        with_field("storages", 2, died=7), "storage 2", id="a storage that died with a node that does not exist"
    ),
    pytest.param(
        with_field("scopes", 1, parameters=(Owned("weight", 9),)),
        "'fc': weight is value 9",
        id="a parameter whose value does not exist",
    ),
    pytest.param(
        with_field("scopes", 1, buffers=(Owned("mean", -1),)),
        "'fc': mean is value -1",
        id="a buffer whose value does not exist",
    ),
    # calls
    pytest.param(with_field("calls", 1, scope=2), "call 1: scope 2", id="a call of a module past the last"),
    pytest.param(with_field("calls", 1, scope=-1), "call 1: scope -1", id="a call of a module before the first"),
    pytest.param(with_field("calls", 1, parent=None), "call 1: parent None", id="a second call without a caller"),
    pytest.param(with_field("calls", 0, parent=0), "call 0: parent 0", id="a first call that has a caller"),
    pytest.param(with_field("calls", 1, parent=1), "call 1: parent 1", id="a call that is its own caller"),
    pytest.param(with_field("calls", 1, parent=-1), "call 1: parent -1", id="a caller before the first call"),
    pytest.param(with_field("calls", 1, outputs=(9,)), "call 1", id="a call that returns a value that does not exist"),
    pytest.param(with_field("calls", 1, inputs=(9,)), "call 1", id="a call that took a value that does not exist"),
    # nodes
    pytest.param(with_field("nodes", 1, call=2), "node 1 (aten.relu): call 2", id="a node in a call past the last"),
    pytest.param(
        with_field("nodes", 1, call=-1), "node 1 (aten.relu): call -1", id="a node in a call before the first"
    ),
    pytest.param(
        lambda: replace(drawn(), nodes=drawn().nodes[::-1]),
        "node 0 (aten.relu): reads value 2",
        id="a value that is read before it is made",
    ),
    pytest.param(
        with_field("nodes", 1, inputs=(3,)), "node 1 (aten.relu): reads value 3", id="a node that reads what it makes"
    ),
    pytest.param(
        with_field("nodes", 1, inputs=(9,)),
        "node 1 (aten.relu): reads value 9",
        id="a node that reads a value that does not exist",
    ),
    pytest.param(
        with_field("nodes", 1, outputs=(9,)),
        "node 1 (aten.relu): value 9",
        id="a node that makes a value that does not exist",
    ),
    pytest.param(
        with_field("nodes", 1, outputs=(-1,)),
        "node 1 (aten.relu): value -1",
        id="a node that makes a value before the first",
    ),
    pytest.param(
        with_field("nodes", 0, inputs=(0,)), "node 0 (aten.linear): has 1 inputs", id="fewer inputs than the spec has"
    ),
    pytest.param(
        with_field("nodes", 1, inputs=(2, 2)), "node 1 (aten.relu): has 2 inputs", id="more inputs than the spec has"
    ),
    pytest.param(
        with_field("nodes", 1, outputs=()),
        "node 1 (aten.relu): has 1 inputs and 0 outputs",
        id="fewer outputs than the spec has",
    ),
    pytest.param(
        with_field("nodes", 0, inputs=(1, 0)),
        "value 1 is float32[4, 3], its spec says float32[2, 3]",
        id="inputs in another order than the spec's",
    ),
    pytest.param(
        with_field("values", 3, type=TensorType((2, 5), "float32")),
        "value 3 is float32[2, 5], its spec says float32[2, 4]",
        id="an output of another shape than the spec's",
    ),
    pytest.param(
        with_field("values", 0, type=TensorType((2, 3), "float16")),
        "value 0 is float16[2, 3], its spec says float32[2, 3]",
        id="an input of another dtype than the spec's",
    ),
    pytest.param(
        with_field("nodes", 1, outputs=(2,), inputs=(2,), spec=LINEAR), "node 1 (aten.relu)", id="a spec of another op"
    ),
    pytest.param(
        lambda: replace(drawn(), nodes=(drawn().nodes[0], drawn().nodes[0], drawn().nodes[1])),
        "node 1 (aten.linear): defines a value of (2,) a second time",
        id="a value that two nodes make",
    ),
    pytest.param(
        lambda: replace(
            drawn(), values=with_item(drawn().values, 2, role="parameter"), outputs=(2,), nodes=drawn().nodes[:1]
        ),
        "node 0 (aten.linear): defines a value of (2,) a second time",
        id="a node that makes a parameter",
    ),
    # ends
    pytest.param(lambda: replace(drawn(), outputs=(9,)), "output value 9", id="an output that does not exist"),
    pytest.param(lambda: replace(drawn(), nodes=()), "output value 3", id="an output that no node makes"),
    pytest.param(lambda: replace(drawn(), inputs=(9,)), "9", id="an input that does not exist"),
    pytest.param(lambda: replace(drawn(), inputs=(-1,)), "-1", id="an input before the first value"),
    # nodes that run as one kernel
    pytest.param(
        lambda: replace(drawn(), fused=(FusedNodes(1, 2, "layer", ()),)), "nodes 1 to 2", id="a kernel beyond the end"
    ),
    pytest.param(
        lambda: replace(drawn(), fused=(FusedNodes(1, 0, "layer", ()),)), "nodes 1 to 0", id="a kernel of no nodes"
    ),
    pytest.param(
        lambda: replace(drawn(), fused=(FusedNodes(0, 1, "layer", ()), FusedNodes(1, 1, "attention", ()))),
        "nodes 1 to 1 (attention)",
        id="a node in two kernels",
    ),
]


@pytest.mark.parametrize(("draw", "words"), BROKEN)
def test_a_broken_rule_is_named_with_its_place(draw, words):
    with pytest.raises(GraphError) as error:
        verify(draw())
    assert words in str(error.value)


DIFFERENT = [
    pytest.param(OpSpec("conv", (X,), (Y,)), OpSpec("linear", (X,), (Y,)), id="kind"),
    pytest.param(OpSpec("conv", (X,), (Y,)), OpSpec("conv", (W,), (Y,)), id="input shape"),
    pytest.param(OpSpec("conv", (X,), (Y,)), OpSpec("conv", (X,), (X,)), id="output shape"),
    pytest.param(OpSpec("conv", (X,), (Y,)), OpSpec("conv", (X, X), (Y,)), id="number of inputs"),
    pytest.param(OpSpec("conv", (X,), (Y,)), OpSpec("conv", (X._replace(dtype="float16"),), (Y,)), id="input dtype"),
    *(
        pytest.param(OpSpec("sum", (X,), (Y,), (("by", a),)), OpSpec("sum", (X,), (Y,), (("by", b),)), id=name)
        for name, a, b in [
            ("1 and 2", 1, 2),
            ("1 and 1.0", 1, 1.0),
            ("1 and True", 1, True),
            ("0 and False", 0, False),
            ("0.0 and -0.0", 0.0, -0.0),
            ("None and the word None", None, "None"),
            ("(1,) and (True,)", (1,), (True,)),
            ("1 and (1,)", 1, (1,)),
        ]
    ),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_specs_that_differ(one, other):
    assert one != other
    assert len({one, other}) == 2


def test_specs_made_apart_of_the_same_things_are_equal():
    one, other = (OpSpec("conv", (X, W), (Y,), (("stride", (1, 2)), ("groups", 1))) for _ in range(2))
    assert one is not other
    assert (one, hash(one)) == (other, hash(other))
    assert one != "conv"


def test_an_attribute_of_a_spec():
    spec = OpSpec("conv", (X, W), (Y,), (("stride", (1, 2)), ("bias", None)))
    assert (spec["stride"], spec["bias"]) == ((1, 2), None)
    assert (spec.get("stride"), spec.get("bias", 7), spec.get("groups"), spec.get("groups", 7)) == (
        (1, 2),
        None,
        None,
        7,
    )
    with pytest.raises(KeyError, match=r"'conv' has no attribute 'groups'; it has \['stride', 'bias'\]"):
        spec["groups"]


TENSORS = [
    # elements: the product of the sizes; bytes: elements times the width of the dtype
    pytest.param(TensorType((), "float32"), 1, 4, True, id="a scalar"),
    pytest.param(TensorType((2, 3, 4), "float16"), 24, 48, True, id="half precision"),
    pytest.param(TensorType((5,), "bfloat16"), 5, 10, True, id="bfloat16"),
    pytest.param(TensorType((3,), "complex64"), 3, 24, True, id="complex, of two floats"),
    pytest.param(TensorType((3,), "bcomplex32"), 3, 12, True, id="complex, of two halves of bfloat16"),
    pytest.param(TensorType((7,), "bool"), 7, 7, False, id="booleans"),
    pytest.param(TensorType((2, 0, 9), "int64"), 0, 0, False, id="an empty tensor"),
    pytest.param(
        TensorType((1 << 40, 1 << 40), "int64"), 1 << 80, 1 << 83, False, id="more elements than 64 bits count"
    ),
]


@pytest.mark.parametrize(("kind", "numel", "nbytes", "floating"), TENSORS)
def test_the_size_of_a_tensor(kind, numel, nbytes, floating):
    assert (kind.numel, kind.nbytes, kind.floating) == (numel, nbytes, floating)


def test_bytes_of_an_element_are_those_of_torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some dtypes are announced as experimental or deprecated
        theirs = {str(d).removeprefix("torch."): d.itemsize for d in vars(torch).values() if isinstance(d, torch.dtype)}
    ours = {name: size for name, size in ITEM_BYTES.items() if name not in facts.DTYPES_NOT_YET_IN_TORCH}
    assert {name: theirs[name] for name in ours} == ours
    # all that tensors are made of but for raw bits and integers narrower than a byte, which torch can't compute with
    missing = {name for name in theirs if name not in ITEM_BYTES}
    assert {name.rstrip("0123456789x") for name in missing} <= {"bits", "int", "uint"}
    assert missing.isdisjoint({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})


def test_specs_of_a_graph_are_listed_once_in_order_of_first_use():
    graph = drawn()
    nodes = (graph.nodes[1], graph.nodes[0], graph.nodes[1])
    assert replace(graph, nodes=nodes).specs == (RELU, LINEAR)


def test_a_second_call_of_a_module_has_a_number_in_its_path():
    calls = (Call(0, None, 0, (), ()), Call(1, 0, 0, (), ()), Call(1, 0, 1, (), ()), Call(0, 0, 1, (), ()))
    graph = replace(drawn(), calls=calls)
    assert [graph.call_path(i) for i in range(4)] == ["", "fc", "fc#2", "#2"]


def test_a_value_knows_its_shape_and_dtype():
    assert (drawn().values[1].shape, drawn().values[1].dtype) == ((4, 3), "float32")
