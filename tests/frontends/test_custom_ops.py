"""Ops that torch does not know: with and without a rule for shapes, with and without a rule for costs."""

import contextlib
import itertools

import pytest
import torch
from torch import Tensor, nn

import cnncost
from cnncost.errors import ForwardError, UnknownOpError

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

GRAD = pytest.mark.parametrize("grad", [False, True], ids=["below autograd", "with autograd"])
LIBRARY = torch.library.Library("cnncost_test_ops", "DEF")
NUMBER = itertools.count()


@torch.library.custom_op("cnncost_test_ops::without_fake", mutates_args=())
def without_fake(x: Tensor) -> Tensor:
    return x * 2


@torch.library.custom_op("cnncost_test_ops::scaled", mutates_args=())
def scaled(x: Tensor, times: int) -> Tensor:
    return x * times


@scaled.register_fake
def _(x, times):
    return torch.empty_like(x)


@torch.library.custom_op("cnncost_test_ops::split_in_two", mutates_args=())
def split_in_two(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :1].clone(), x[:, 1:].clone()


@split_in_two.register_fake
def _(x):
    return x.new_empty(x.shape[0], 1), x.new_empty(x.shape[0], x.shape[1] - 1)


@torch.library.custom_op("cnncost_test_ops::fill", mutates_args=("x",))
def fill(x: Tensor, y: Tensor) -> None:
    x.copy_(y)


@fill.register_fake
def _(x, y):
    return None


LIBRARY.define("on_cpu_alone(Tensor x) -> Tensor")
LIBRARY.impl("on_cpu_alone", lambda x: x * 2, "CPU")
LIBRARY.define("made_of_others(Tensor x) -> Tensor")
LIBRARY.impl("made_of_others", lambda x: x * 2 + 1, "CompositeImplicitAutograd")
LIBRARY.define("with_meta(Tensor x) -> Tensor")
LIBRARY.impl("with_meta", lambda x: x * 2, "CPU")
LIBRARY.impl("with_meta", torch.empty_like, "Meta")


class Applies(nn.Module):
    def __init__(self, *ops):
        super().__init__()
        self.ops = ops

    def forward(self, x):
        for op in self.ops:
            x = op(x)
        return x


def fresh_op():
    """An op under a name that no test has used, as rules are registered for the whole process."""
    name = f"fresh{next(NUMBER)}"
    LIBRARY.define(f"{name}(Tensor x, int times=3, float bias=0.5) -> Tensor")
    LIBRARY.impl(name, lambda x, times=3, bias=0.5: torch.empty_like(x), "Meta")
    return f"cnncost_test_ops::{name}", getattr(torch.ops.cnncost_test_ops, name)


WITHOUT_SHAPES = [
    pytest.param(without_fake, "cnncost_test_ops::without_fake", id="a custom op without a fake"),
    pytest.param(
        torch.ops.cnncost_test_ops.on_cpu_alone, "cnncost_test_ops::on_cpu_alone", id="an op for the CPU alone"
    ),
]


@GRAD
@pytest.mark.parametrize(("op", "name"), WITHOUT_SHAPES)
def test_an_op_that_has_no_rule_for_shapes_says_how_to_give_it_one(op, name, grad):
    with pytest.raises(ForwardError) as error:
        cnncost.record(nn.Sequential(nn.ReLU(), Applies(op)), (2, 8), grad=grad)
    message = str(error.value)
    assert message.startswith("1 (Applies) at test_custom_ops.py:")
    assert (
        f"the op {name} has no rule for tensors without data; register one with torch.library.register_fake" in message
    )


@GRAD
def test_an_op_without_a_rule_for_costs_makes_a_lower_bound(grad):
    model = nn.Sequential(
        nn.Linear(8, 8), Applies(lambda x: scaled(scaled(x, 2), 3)), nn.Sequential(Applies(lambda x: scaled(x, 4)))
    )
    report = cnncost.analyze(cnncost.record(model, (2, 8), grad=grad))
    assert report.unknown == {"cnncost_test_ops.scaled": 3}
    assert report.unknown_places == {"cnncost_test_ops.scaled": "1"}
    assert report.totals.lower_bound is True
    assert report.totals.macs == 128
    assert [(row.path, row.unknown, row.kind) for row in report.layers if row.path] == [
        ("0", False, report.layer("0").kind),
        ("1", True, "cnncost_test_ops::scaled"),
        ("2.0", True, "cnncost_test_ops::scaled"),
    ]
    assert [(module.path, module.unknown) for module in report.modules] == [
        ("", True), ("0", False), ("1", True), ("2", True), ("2.0", True),
    ]  # fmt: skip
    op = next(op for op in report.ops if op.name == "cnncost_test_ops.scaled")
    assert (op.known, op.count, op.macs) == (False, 3, 0)


def test_a_model_without_unknown_ops_is_no_lower_bound():
    report = cnncost.analyze(nn.Linear(8, 8), (2, 8), strict=True)
    assert (report.unknown, report.unknown_places, report.totals.lower_bound) == ({}, {}, False)
    assert all(op.known for op in report.ops)


def test_strict_names_all_unknown_ops_with_counts_and_places():
    (one_name, one), (other_name, other) = fresh_op(), fresh_op()
    model = nn.Sequential(nn.ReLU(), Applies(one, one, other), Applies(other, one))
    with pytest.raises(UnknownOpError) as error:
        cnncost.analyze(model, (2, 8), strict=True)
    one_name, other_name = one_name.replace("::", "."), other_name.replace("::", ".")
    assert str(error.value).startswith(
        f"Sequential: 2 ops without a rule: {one_name} (3×, first in 1), {other_name} (2×, first in 1)"
    )
    assert "cnncost.rule(" in str(error.value)


def test_a_rule_makes_the_op_known():
    name, op = fresh_op()
    model = nn.Sequential(Applies(lambda x: op(x, times=5)))
    assert cnncost.analyze(model, (2, 8)).unknown == {name.replace("::", "."): 1}

    @cnncost.rule(name)
    def counted(spec):
        """N·D multiply-accumulates times a given count, and a bias."""
        n, d = spec.inputs[0].shape
        return cnncost.cost(
            spec, cnncost.macs("N", n, "D", d, "times", spec["times"]), cnncost.flops("bias", 1, "N", n, "D", d)
        )

    report = cnncost.analyze(model, (2, 8), strict=True)
    # 2·8·5 products, two FLOPs each, and 2·8 additions; 16 numbers of 4 bytes read, and as many written
    assert (report.totals.macs, report.totals.flops) == (80, 176)
    assert (report.totals.bytes_read, report.totals.bytes_written) == (64, 64)
    assert (report.unknown, report.totals.lower_bound, report.layer("0").kind) == ({}, False, name)


def test_the_arguments_of_an_op_are_attributes_of_its_spec():
    name, op = fresh_op()
    graph = cnncost.record(Applies(lambda x: op(op(x), times=2, bias=1.0)), (2, 8))
    first, second = (node.spec for node in graph.nodes)
    assert (first.kind, first["times"], first["bias"]) == (name, 3, 0.5)
    assert (second.kind, second["times"], second["bias"]) == (name, 2, 1.0)
    assert (first.inputs[0].shape, first.outputs[0].dtype) == ((2, 8), "float32")


def test_a_rule_may_say_that_it_knows_no_answer():
    name, op = fresh_op()

    @cnncost.rule(name)
    def sometimes(spec):
        """A sum for whole batches only."""
        return None if spec["times"] == 3 else cnncost.cost(spec, cnncost.flops("sum", 1, "n", spec.inputs[0].numel))

    assert cnncost.analyze(Applies(op), (2, 8)).unknown == {name.replace("::", "."): 1}
    assert cnncost.analyze(Applies(lambda x: op(x, times=4)), (2, 8)).totals.flops == 16


def test_a_second_rule_takes_the_place_of_the_first_only_if_asked():
    name, op = fresh_op()
    cnncost.rule(name)(lambda spec: cnncost.cost(spec, cnncost.flops("a", 1, "n", 16)))
    with pytest.raises(ValueError, match="already has a rule; pass replace=True"):
        cnncost.rule(name)(lambda spec: None)
    assert cnncost.analyze(Applies(op), (2, 8)).totals.flops == 16
    cnncost.rule(name, replace=True)(lambda spec: cnncost.cost(spec, cnncost.flops("a", 2, "n", 16)))
    assert cnncost.analyze(Applies(op), (2, 8)).totals.flops == 32


def test_a_rule_is_registered_by_a_kind():
    with pytest.raises(TypeError, match="expected an op kind such as 'conv' or 'my_lib::my_op'"):
        cnncost.rule(len)


def test_a_rule_that_fails_says_which_one_it_is():
    name, op = fresh_op()

    @cnncost.rule(name)
    def broken(spec):
        """It reads an attribute that the op does not have."""
        return cnncost.cost(spec, cnncost.macs("n", spec["width"]))

    with pytest.raises((cnncost.CnncostError, KeyError)) as error:
        cnncost.analyze(Applies(op), (2, 8))
    assert name in str(error.value)
    assert "width" in str(error.value)


@GRAD
def test_an_op_that_is_made_of_others_is_seen_through(grad):
    report = cnncost.analyze(
        cnncost.record(Applies(torch.ops.cnncost_test_ops.made_of_others), (2, 8), grad=grad), strict=True
    )
    assert report.totals.flops == 16 + 16


@GRAD
def test_an_op_with_a_meta_kernel_needs_no_fake(grad):
    report = cnncost.analyze(cnncost.record(Applies(torch.ops.cnncost_test_ops.with_meta), (2, 8), grad=grad))
    assert report.unknown == {"cnncost_test_ops.with_meta": 1}


@GRAD
def test_an_op_of_several_outputs(grad):
    graph = cnncost.record(Applies(split_in_two, lambda pair: pair[1] * 2), (2, 8), grad=grad)
    assert [graph.values[v].shape for v in graph.nodes[0].outputs] == [(2, 1), (2, 7)]
    assert graph.values[graph.outputs[0]].shape == (2, 7)


@GRAD
def test_what_an_op_writes_to_depends_on_what_it_read(grad):
    """The op returns nothing and writes its result to its argument."""

    class Fills(nn.Module):
        def forward(self, x, y):
            z = x.clone()
            fill(z, y)
            return z * 1

    graph = cnncost.record(Fills(), ((2, 8), (2, 8)), grad=grad)
    reached = {graph.inputs[1]}
    for node in graph.nodes:
        if reached & set(node.inputs):
            reached |= set(node.outputs)
    assert graph.outputs[0] in reached


@GRAD
def test_an_unknown_op_on_values_that_are_known_is_run(grad):
    """It computes on the constants of the model, and needs no rule for shapes."""

    class Constant(nn.Module):
        def forward(self, x):
            return x[:, : int(without_fake(torch.arange(3)).max())]

    graph = cnncost.record(Constant(), (2, 8), grad=grad)
    assert graph.values[graph.outputs[0]].shape == (2, 4)


LABELS = [
    pytest.param(lambda: torch.profiler.record_function("block"), id="a label for the profiler"),
    pytest.param(contextlib.nullcontext, id="nothing"),
]


@GRAD
@pytest.mark.parametrize("label", LABELS)
def test_labels_for_a_profiler_are_no_unknown_ops(label, grad):
    class Labelled(nn.Module):
        def forward(self, x):
            with label():
                return x * 2

    report = cnncost.analyze(cnncost.record(Labelled(), (2, 8), grad=grad), strict=True)
    assert (report.totals.flops, report.unknown) == (16, {})
