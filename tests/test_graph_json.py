"""Graphs to JSON and back: nothing is lost, and a damaged file is refused with a message."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # torch's own name for it

from cnncost.errors import GraphError
from cnncost.frontends.torch import record
from cnncost.graph import Call, Graph, Node, OpSpec, Owned, Scope, Storage, TensorType, Value
from cnncost.graph_json import from_json, to_json

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

X = TensorType((2, 3), "float32")


def drawn(attrs=(("fn", "relu"),), name="aten.relu", path="act"):
    return Graph(
        values=(Value(0, X, 0, "input"), Value(1, X, 1, "parameter"), Value(2, X, 2, "activation")),
        nodes=(Node(OpSpec("pointwise", (X,), (X,), attrs), (0,), (2,), 1, name),),
        scopes=(
            Scope("", "Net", (Owned("scale", 1, True),), (Owned("mean", 1),), 1),
            Scope(path, "ReLU", calls=1),
        ),
        calls=(Call(0, None, 0, (0,), (2,)), Call(1, 0, 0, (0,), (2,))),
        storages=(Storage(0, 24, None, None), Storage(1, 24, None, None), Storage(2, 24, 0, 0)),
        inputs=(0,),
        outputs=(2,),
    )


ATTRS = [
    pytest.param(value, id=name)
    for name, value in {
        "a whole number": 1,
        "a float that is whole": 1.0,
        "true": True,
        "false": False,
        "zero": 0,
        "nothing": None,
        "text": "bilinear",
        "text that looks like a number": "1",
        "letters of other scripts": 'größe 線 \u2028 "quoted" \\',
        "an empty tuple": (),
        "a tuple of one": (1,),
        "tuples in tuples of mixed kinds": ((1, 1.0, True), ("a", None), ()),
        "more than 64 bits": 1 << 100,
        "a small float": 1e-5,
        "a float with many digits": 0.1 + 0.2,
        "minus infinity": -float("inf"),
        "negative zero": -0.0,
    }.items()
]


@pytest.mark.parametrize("value", ATTRS)
def test_an_attribute_comes_back_as_it_was(value):
    graph = drawn((("fn", "relu"), ("value", value)))
    returned = from_json(to_json(graph))
    assert returned == graph
    assert repr(returned.nodes[0].spec.attrs) == repr(graph.nodes[0].spec.attrs)


def test_not_a_number_comes_back():
    returned = from_json(to_json(drawn((("value", float("nan")),))))
    assert repr(returned.nodes[0].spec.attrs) == "(('value', nan),)"


def test_equal_specs_are_stored_once():
    graph = drawn()
    graph = replace(graph, nodes=graph.nodes * 3)
    assert len(json.loads(to_json(graph))["specs"]) == 1


def test_specs_that_differ_in_the_type_of_an_attribute_stay_apart():
    x = [Node(OpSpec("add", (X,), (X,), (("by", by),)), (0,), (0,), 0, "aten.add") for by in (1, 1.0, True)]
    returned = from_json(to_json(replace(drawn(), nodes=tuple(x), outputs=(0,))))
    assert [type(node.spec["by"]) for node in returned.nodes] == [int, float, bool]


class Tied(nn.Module):
    """Embedding and output layer share their weight; a buffer; a module that is called twice."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight
        self.act = nn.GELU("tanh")
        self.register_buffer("scale", torch.ones(8, dtype=torch.float64))

    def forward(self, ids):
        x = self.act(self.act(self.embed(ids))) * self.scale.float()
        x[:, 0] += 1
        return {"logits": self.head(x), "halves": x.chunk(2, -1)}


RECORDED = [
    pytest.param(Tied, "2x5:int64", id="tied weights, writes through a view, several outputs"),
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.BatchNorm2d(8), nn.ReLU(True), nn.MaxPool2d(2)),
        (2, 3, 8, 8), id="convolution, norm, activation in place, pooling",
    ),
    pytest.param(lambda: nn.LSTM(4, 8, 2, bidirectional=True), (5, 2, 4), id="a recurrent layer"),
    pytest.param(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), (2, 5, 8), id="a transformer layer"
    ),
    pytest.param(nn.Identity, (2, 3), id="no ops"),
    pytest.param(lambda: nn.Linear(3, 4).half(), (2, 3), id="half precision"),
]  # fmt: skip


@pytest.mark.parametrize("grad", [pytest.param(False, id="below autograd"), pytest.param(True, id="with autograd")])
@pytest.mark.parametrize(("model", "inputs"), RECORDED)
def test_a_recorded_graph_comes_back_as_it_was(model, inputs, grad):
    graph = record(model(), inputs, grad=grad)
    assert from_json(to_json(graph)) == graph


def test_a_file_says_what_it_is():
    assert json.loads(to_json(drawn()))["graph_schema"] == 3


def damaged(**fields):
    """The text of a graph with some fields replaced; None drops a field."""
    data = json.loads(to_json(drawn()))
    data.update(fields)
    return json.dumps({name: value for name, value in data.items() if value is not None})


NO_GRAPHS = [
    pytest.param("", id="an empty file"),
    pytest.param("MZ\x90\x00", id="no JSON"),
    pytest.param(to_json(drawn())[:200], id="cut off in the middle"),
    pytest.param("[]", id="a list"),
    pytest.param("3", id="a number"),
    pytest.param("null", id="nothing"),
    pytest.param("{}", id="an object without fields"),
    pytest.param('{"schema": 1, "model": "lenet5", "layers": []}', id="a report"),
    pytest.param(damaged(graph_schema=4), id="a later schema"),
    pytest.param(damaged(graph_schema=2), id="an earlier schema"),
    pytest.param(damaged(nodes=[[7, [0], [2], 1, "aten.relu", "forward"]]), id="a spec past the last"),
    pytest.param(damaged(nodes=[[-1, [0], [2], 1, "aten.relu", "forward"]]), id="a spec before the first"),
    pytest.param(damaged(nodes=[[0, [0], [2], 1, "aten.relu"]]), id="a node of five fields"),
    pytest.param(
        damaged(nodes=[[0, [0], [9], 1, "aten.relu", "forward"]]), id="a node that makes no value of the file"
    ),
    pytest.param(damaged(inputs=[9]), id="an input that is no value of the file"),
    pytest.param(damaged(values={}), id="an object where a list is expected"),
]


@pytest.mark.parametrize("text", NO_GRAPHS)
def test_what_is_no_graph_is_refused(text):
    with pytest.raises(GraphError):
        from_json(text)


@pytest.mark.parametrize("field", json.loads(to_json(drawn())))
def test_a_missing_field_is_refused(field):
    with pytest.raises(GraphError, match="not a graph that cnncost wrote"):
        from_json(damaged(**{field: None}))


@pytest.mark.parametrize(
    ("schema", "who"),
    [(1, "an older cnncost"), (2, "an older cnncost"), (4, "a newer cnncost"), ("x", "a newer cnncost")],
)
def test_another_schema_says_which_one_is_read(schema, who):
    with pytest.raises(GraphError, match=f"schema {schema}, this version reads 3; {who}.*: record the model again"):
        from_json(damaged(graph_schema=schema))


def places(data, here=()):
    """The path to every item of nested lists and objects."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*here, key)
        yield from places(value, (*here, key))


@pytest.mark.parametrize("wrong", [None, "x", -1, 1 << 40, 0.5, [], {}, [[]]], ids=repr)
def test_damage_anywhere_is_a_graph_error_or_does_no_harm(wrong):
    """Each item of a file is replaced in turn; no other error may come out."""
    text = to_json(drawn())
    refused = []
    for path in places(json.loads(text)):
        data = json.loads(text)
        *above, last = path
        inner = data
        for key in above:
            inner = inner[key]
        inner[last] = wrong
        try:
            graph = from_json(json.dumps(data))
        except GraphError:
            refused.append(path)
            continue
        assert from_json(to_json(graph)) == graph
    assert ("graph_schema",) in refused
    assert ("storages",) in refused


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Flatten()], ids=["an op that computes", "a view"])
def test_the_costs_of_a_graph_that_was_read_are_those_of_the_one_that_was_written(model):
    from cnncost import analyze

    net = nn.Sequential(nn.Linear(3, 4), model)
    written = record(net, (2, 3))
    # 2·4·3 multiply-accumulates, each two FLOPs, and a bias for each of the 8 outputs; a ReLU has one FLOP each
    relu = 8 if isinstance(model, nn.ReLU) else 0
    for graph in (written, from_json(to_json(written))):
        totals = analyze(graph).totals
        assert (totals.params, totals.macs, totals.flops) == (16, 24, 56 + relu)


def test_functions_of_torch_leave_plain_attributes():
    """Dtypes, memory formats and the like become text, so that a file can hold them."""

    class Casts(nn.Module):
        def forward(self, x):
            x = F.pad(x, (1, 1), value=2.5).to(torch.float64, memory_format=torch.channels_last)
            return F.interpolate(x, scale_factor=(2.0, 1.5), mode="bicubic").sum(dtype=torch.float16)

    graph = record(Casts(), (1, 3, 4, 4))
    assert from_json(to_json(graph)) == graph
