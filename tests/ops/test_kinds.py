"""Every kind is declared, and what front ends record fits the declaration; other specs are refused with a message."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

import cnncost
from cnncost.errors import GraphError, RuleError
from cnncost.graph import Call, Graph, Node, OpSpec, Scope, Storage, TensorType, Value
from cnncost.ops import cost, kind, kinds, one, registry, verify_graph
from cnncost.ops.check import faults
from cnncost.ops.kinds import REACHES, declaration, declared, fits
from cnncost.ops.reach.registry import reach_of
from cnncost.zoo import names
from tests.passes.receptive_field.dags import dags


def t(*shape, dtype="float32"):
    return TensorType(shape, dtype)


def spec(kind, inputs, outputs, **attrs):
    return OpSpec(kind, tuple(inputs), tuple(outputs), tuple(sorted(attrs.items())))


def graph_of(*specs):
    """A Graph of one call that runs these ops, each on inputs of its own."""
    values, nodes = [], []
    for number, each in enumerate(specs):
        first = len(values)
        values += [Value(first + i, kind, first + i, "input") for i, kind in enumerate(each.inputs)]
        made = len(values)
        values += [Value(made + i, kind, made + i, "activation") for i, kind in enumerate(each.outputs)]
        nodes.append(Node(each, tuple(range(first, made)), tuple(range(made, len(values))), 0, f"lib.op{number}"))
    outside = {value.id for value in values if value.role == "input"}
    return Graph(
        values=tuple(values),
        nodes=tuple(nodes),
        scopes=(Scope("", "Net", calls=1),),
        calls=(Call(0, None, 0, (), ()),),
        storages=tuple(Storage(v.id, v.type.nbytes, None if v.id in outside else 0, None) for v in values),
        inputs=(),
        outputs=(),
    )


CONV = spec(
    "conv", [t(1, 4, 9, 9), t(6, 2, 3, 3), t(6)], [t(1, 6, 7, 7)], kernel=(3, 3), stride=(1, 1), padding=(0, 0),
    dilation=(1, 1), groups=2, transposed=False, output_padding=(0, 0), bias=True,
)  # fmt: skip
LINEAR = spec("linear", [t(2, 3), t(5, 3)], [t(2, 5)], bias=False)
POOL = spec(
    "pool", [t(1, 4, 8, 8)], [t(1, 4, 4, 4)], fn="max", kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1),
    ceil=False,
)  # fmt: skip
NORM = spec("norm", [t(2, 3, 4), t(4), t(4)], [t(2, 3, 4)], fn="layer", affine=True, statistics=True, axes=1)
SOFTMAX = spec("softmax", [t(2, 3)], [t(2, 3)], fn="softmax", axis=-1)
MATMUL = spec("matmul", [t(2, 3), t(3, 5)], [t(2, 5)], batch=1, m=2, k=3, n=5, bias=False)
ATTENTION = spec(
    "attention", [t(2, 5, 4)] * 3, [t(2, 5, 4)], batch=2, value_batch=2, queries=5, keys=5, width=4, value_width=4,
    scaled=80, mask=False, causal=False,
)  # fmt: skip
LSTM = spec(
    "recurrent", [t(5, 2, 4), t(12, 4), t(12, 3)], [t(5, 2, 3)], cell="lstm", tokens=10, layers=1, directions=1,
    input=4, hidden=3, recurrent=3, bias=False, steps_axis=0,
)  # fmt: skip
CUSTOM = spec("custom", [t(2)], [t(2)], terms=(("sum", (("n", 2),), 1, False),), read=None, written=8)


def layout(inputs, outputs, *moves, copy=False):
    return spec("layout", [t(*shape) for shape in inputs], [t(*shape) for shape in outputs], moves=moves, copy=copy)


MOVES = {
    "reshape": layout([(2, 3)], [(6,)], ("reshape", (6,))),
    "permute": layout([(2, 3, 5)], [(5, 2, 3)], ("permute", (2, 0, 1))),
    "expand": layout([(3,)], [(2, 3)], ("expand", (2, 3))),
    "slice": layout([(2, 9)], [(2, 4)], ("slice", 1, 2, 4, 2)),
    "flip": layout([(2, 9)], [(2, 9)], ("slice", 1, 8, 9, -1)),
    "select": layout([(2, 9)], [(2,)], ("select", 1, 8)),
    "pad": layout([(2, 9)], [(2, 12)], ("pad", 1, 1, 2, "reflect")),
    "crop": layout([(2, 9)], [(2, 6)], ("pad", 1, -1, -2, "constant")),
    "roll": layout([(2, 9)], [(2, 9)], ("roll", 1, -2)),
    "tile": layout([(2, 3)], [(2, 9)], ("tile", 1, 3)),
    "repeat": layout([(2, 3)], [(2, 9)], ("repeat", 1, 3)),
    "unfold": layout([(2, 9)], [(2, 4, 3)], ("unfold", 1, 3, 2, 0, 1)),
    "diagonal": layout([(2, 3, 5)], [(2, 3)], ("diagonal", 1, 2, 2)),
    "cat": layout([(2, 3), (2, 4)], [(2, 7)], ("cat", 1)),
    "stack": layout([(2, 3), (2, 3)], [(2, 2, 3)], ("reshape", (2, 1, 3)), ("cat", 1)),
    "split": layout([(2, 7)], [(2, 3), (2, 4)], ("split", 1)),
    "unbind": layout([(2, 3)], [(3,), (3,)], ("unbind", 0)),
    "broadcast": layout([(2, 1), (3,)], [(2, 3), (2, 3)], ("broadcast",)),
    "overwritten": layout([(2, 3), (3,)], [(2, 3)], ("input", 1), ("expand", (2, 3))),
    "pixel shuffle": layout(
        [(4, 5, 5)], [(1, 10, 10)], ("reshape", (1, 2, 2, 5, 5)), ("permute", (0, 3, 1, 4, 2)),
        ("reshape", (1, 10, 10)),
    ),
    "nothing": layout([(2, 3)], [(2, 3)]),
}  # fmt: skip
RIGHT = [*MOVES.values(), CONV, LINEAR, POOL, NORM, SOFTMAX, MATMUL, ATTENTION, LSTM, CUSTOM]


def but(given, **attrs):
    """The spec with other attributes; one that is set to `...` is left out."""
    found = {**dict(given.attrs), **attrs}
    return replace(given, attrs=tuple(sorted((k, v) for k, v in found.items() if v is not ...)))


def test_what_is_right_passes():
    assert [faults(each) for each in RIGHT] == [()] * len(RIGHT)
    graph = graph_of(*RIGHT)
    assert verify_graph(graph) is graph


WRONG = {
    "a kind that nobody declared": (replace(CONV, kind="cnov"), "no kind is called 'cnov'; did you mean conv"),
    "a kind like none": (replace(CONV, kind="zzz"), "no kind is called 'zzz'; declare it by @kind"),
    "no stride": (but(CONV, stride=...), "kind 'conv' needs the attribute 'stride' (tuple[int, ...]); it has ['bias',"),
    "no bias": (but(LINEAR, bias=...), "kind 'linear' needs the attribute 'bias' (bool)"),
    "one number for all axes": (but(CONV, stride=1), "'stride' of kind 'conv': expected tuple[int, ...], got 1"),
    "a stride of halves": (but(CONV, stride=(0.5, 0.5)), "expected tuple[int, ...], got (0.5, 0.5)"),
    "a float is no number of positions": (but(CONV, stride=(1.0, 1.0)), "expected tuple[int, ...], got (1.0, 1.0)"),
    "a bool is no number": (but(CONV, groups=True), "'groups' of kind 'conv': expected int, got True"),
    "a number is no bool": (but(LINEAR, bias=1), "'bias' of kind 'linear': expected bool, got 1"),
    "nothing is no number": (but(SOFTMAX, axis=None), "expected int, got None"),
    "an unknown padding mode": (but(CONV, padding="full"), "expected tuple[int, ...] or one of 'same', 'valid'"),
    "an unknown function": (but(POOL, fn="median"), "expected one of 'max', 'avg', got 'median'"),
    "an unknown norm": (but(NORM, fn="spectral"), "expected one of 'batch', 'layer'"),
    "an unknown cell": (but(LSTM, cell="mgu"), "expected one of 'lstm', 'gru', 'tanh', 'relu', got 'mgu'"),
    "a misspelt attribute": (but(CONV, paddings=(1, 1)), "has no attribute 'paddings'; did you mean padding"),
    "another kind's attribute": (but(LINEAR, axis=1), "kind 'linear' has no attribute 'axis'"),
    "temporary bytes as text": (but(LINEAR, scratch="8"), "'scratch' of kind 'linear': expected int, got '8'"),
    "twice": (replace(LINEAR, attrs=LINEAR.attrs * 2), "has the attribute 'bias' twice; give it once"),
    "no weight": (replace(LINEAR, inputs=LINEAR.inputs[:1]), "inputs of kind 'linear': expected x (of rank 1 or more)"),
    "no inputs": (replace(SOFTMAX, inputs=()), "inputs of kind 'softmax': expected x; got none"),
    "one input too many": (replace(SOFTMAX, inputs=SOFTMAX.inputs * 2), "expected x; got 2×3, 2×3"),
    "no output": (replace(SOFTMAX, outputs=()), "outputs of kind 'softmax': expected y; got none"),
    "an output too many": (replace(CONV, outputs=CONV.outputs * 2), "outputs of kind 'conv': expected y"),
    "a scalar for an image": (replace(CONV, inputs=(t(), *CONV.inputs[1:])), "got a scalar, 6×2×3×3, 6"),
    "a weight of the wrong rank": (
        replace(LINEAR, inputs=(t(2, 3), t(5, 3, 1))), "w (of rank 1 to 2), bias (may be missing); got 2×3, 5×3×1"
    ),
    "a bias that is a matrix": (replace(CONV, inputs=(*CONV.inputs[:2], t(6, 1))), "bias (of rank 1, may be missing)"),
    "a stride for a line": (but(CONV, stride=(1,)), "expected 2 numbers in 'stride', one per spatial axis"),
    "padding for a volume": (but(CONV, padding=(1, 1, 1)), "expected 2 numbers in 'padding'"),
    "a kernel that isn't the weight's": (but(CONV, kernel=(3, 1)), "expected the weight's kernel size (3, 3)"),
    "channels that don't fit": (but(CONV, groups=3), "expected x to have 6 channels by weight and groups, got 4"),
    "other channels than the weight gives": (
        replace(CONV, outputs=(t(1, 4, 7, 7),)), "expected y of rank 4 with 6 channels, got (1, 4, 7, 7)"
    ),
    "an output without the batch": (replace(CONV, outputs=(t(6, 7, 7),)), "expected y of rank 4 with 6 channels"),
    "a line under a plane's weight": (
        replace(CONV, inputs=(t(4, 9), *CONV.inputs[1:])),
        "expected x of rank 3 or 4 for a weight of rank 4, got rank 2",
    ),
    "layer norm without axes": (but(NORM, axes=...), "layer norm needs the attribute 'axes' (int)"),
    "group norm without groups": (but(NORM, fn="group"), "group norm needs the attribute 'groups' (int)"),
    "a move that isn't one": (layout([(2, 3)], [(6,)], ("view", (6,))), "expected moves of ['broadcast', 'cat'"),
    "a move without a name": (layout([(2, 3)], [(6,)], ((6,),)), "got (6,)"),
    "a move without arguments": (layout([(2, 3)], [(6,)], ("reshape",)), "expected the arguments tuple[int"),
    "an unknown mode": (layout([(2, 9)], [(2, 9)], ("pad", 1, 0, 0, "wrap")), "one of 'constant', 'reflect'"),
    "moves as text": (but(MOVES["flip"], moves="flip"), "expected tuple[tuple[object, ...], ...]"),
    "elements get lost": (layout([(2, 3)], [(5,)], ("reshape", (5,))), "does not apply to the shape (2, 3)"),
    "an axis twice": (layout([(2, 3)], [(2, 2)], ("permute", (0, 0))), "does not apply to the shape (2, 3)"),
    "another order": (layout([(2, 3)], [(2, 3)], ("permute", (1, 0))), "shape (3, 2), but its output has (2, 3)"),
    "beyond the end": (layout([(2, 9)], [(2, 4)], ("slice", 1, 6, 4, 1)), "does not apply to the shape (2, 9)"),
    "another length": (layout([(2, 9)], [(2, 5)], ("slice", 1, 2, 4, 1)), "to the shape (2, 4), but its output has"),
    "not expandable": (layout([(2, 3)], [(4, 3)], ("expand", (4, 3))), "(2, 3) does not broadcast to (4, 3)"),
    "an axis that isn't there": (layout([(2, 3)], [(2, 3)], ("roll", 2, 1)), "IndexError"),
    "joined to another size": (layout([(2, 3), (2, 4)], [(2, 8)], ("cat", 1)), "to the shape (2, 7), but its output"),
    "an input that isn't there": (layout([(2, 3)], [(2, 3)], ("input", 1), ("reshape", (2, 3))), "IndexError"),
    "a part too long": (layout([(2, 7)], [(2, 3), (2, 5)], ("split", 1)), "does not apply to the shape (2, 7)"),
    "a resized axis that is not sampled": (
        replace(POOL, outputs=(t(1, 5, 4, 4),)), "to the shape (1, 4, 4, 4), but its output has"
    ),
    "features that the weight hasn't": (replace(LINEAR, outputs=(t(2, 6),)), "y of *,O, got (2, 3), (5, 3) and (2, 6)"),
    "a product of another size": (but(MATMUL, n=6), "expected 1 · 2 · 6 outputs by batch, m and n, got (2, 5)"),
    "terms that are no terms": (but(CUSTOM, terms=(("sum", 2),)), "'terms' of kind 'custom': expected tuple[tuple[str"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name):
    """By where it is, what was expected, and what came."""
    wrong, said = WRONG[name]
    with pytest.raises(GraphError) as caught:
        verify_graph(graph_of(LINEAR, wrong, SOFTMAX))
    assert "node 1 (lib.op1, in the model): " in str(caught.value)
    assert said in str(caught.value)
    assert "node 0" not in str(caught.value)
    assert "node 2" not in str(caught.value)


BY_REACH = {
    "an axis twice", "elements get lost", "another order", "beyond the end", "another length", "not expandable",
    "an axis that isn't there", "joined to another size", "an input that isn't there", "a part too long",
    "a resized axis that is not sampled", "a move that isn't one", "a move without a name", "a move without arguments",
    "an unknown mode",
}  # fmt: skip
"""Seen only by reach rules and their checks, which an analysis does not load. They are of layout ops, and of a pool."""


@pytest.mark.parametrize("name", [name for name, (wrong, _) in WRONG.items() if declaration(wrong.kind)])
def test_what_is_wrong_is_not_counted(name):
    """A rule that assumes other attributes or tensors would return a wrong number, or fail."""
    wrong, _ = WRONG[name]
    report = cnncost.analyze(graph_of(LINEAR, wrong))
    assert report.unknown == ({} if name in BY_REACH else {"lib.op1": 1})
    assert (report.totals.macs, report.totals.lower_bound) == (2 * 3 * 5, name not in BY_REACH)
    if name not in BY_REACH:
        assert reach_of(wrong) is None


def test_what_is_wrong_is_explained():
    report = cnncost.analyze(graph_of(but(CONV, groups=3)))
    said = " ".join(report.explain("").split())
    assert "unknown: kind 'conv': expected x to have 6 channels by weight and groups, got 4" in said


def test_a_check_that_fails_is_named(monkeypatch):
    def failing(spec):
        return spec["nothing"]

    monkeypatch.setattr(sys.modules["cnncost.ops.kinds"], "_KINDS", {})
    monkeypatch.setattr(registry, "_RULES", dict(registry._RULES))
    monkeypatch.setattr(registry, "_CHECKS", dict(registry._CHECKS))
    kind("test::failing", inputs=[one("x")], check=failing)(cost)
    with pytest.raises(RuleError, match="check of kind 'test::failing': it failed: KeyError"):
        cnncost.analyze(graph_of(spec("test::failing", [t(2)], [t(2)])))


def test_several_faults_are_told_at_once():
    wrong = [but(LINEAR, bias=i) for i in range(14)]
    with pytest.raises(GraphError) as caught:
        verify_graph(graph_of(*wrong))
    lines = str(caught.value).splitlines()
    assert [line.partition(" (")[0] for line in lines[:-1]] == [f"node {i}" for i in range(10)]
    assert lines[-1] == "and 4 more"


def test_the_structure_of_a_graph_is_checked_too():
    graph = graph_of(LINEAR)
    broken = replace(graph, nodes=(graph.nodes[0]._replace(inputs=(0, 7)),))
    with pytest.raises(GraphError, match="reads value 7 before it is defined"):
        verify_graph(broken)


def test_of_ops_of_other_libraries_nothing_is_expected():
    assert faults(spec("my_lib::op", [t(2)], [], anything=1)) == ()


@pytest.mark.parametrize(
    ("value", "expected", "does"),
    [
        (2, float, True), (2.5, float, True), (True, float, False), (2.0, int, False), ((), tuple[int, ...], True),
        ((1, "a"), tuple[int, str], True), ((1,), tuple[int, str], False), (None, int | None, True),
        (((1, 2), (3,)), tuple[tuple[int, ...], ...], True), ("1", int | tuple[int, ...], False),
    ],
)  # fmt: skip
def test_types(value, expected, does):
    assert fits(value, expected) is does


def test_every_kind_is_declared():
    """Those of custom ops may have a rule alone."""
    assert {name for name in kinds() if "::" not in name or name.startswith("sparse::")} <= set(declared())


def test_a_kind_is_declared_once():
    with pytest.raises(ValueError, match="kind\\('conv'\\): already declared"):
        kind("conv", inputs=[one("x")])


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", names())
def test_the_zoo_fits(name, training):
    graph = cnncost.analyze(name, training=training).graph
    assert verify_graph(graph) is graph


@given(dags())
@settings(max_examples=40, deadline=None)
def test_random_networks_fit(drawn):
    model, shape = drawn
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            graph = cnncost.analyze(model, shape).graph
        assert verify_graph(graph) is graph


@pytest.mark.parametrize("name", ["no_module.conv", "space.no_rule", "space"])
def test_a_declared_dependency_rule_that_does_not_exist_is_named(name, monkeypatch):
    monkeypatch.setitem(REACHES, "test::unruly", name)
    with pytest.raises(RuleError, match=rf"reach='{name}' is not a rule in cnncost.ops.reach; expected a function"):
        reach_of(spec("test::unruly", [t(2)], [t(2)]))
