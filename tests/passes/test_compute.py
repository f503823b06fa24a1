"""Costs of hand-made graphs with rules defined here: sums by call and by op, and ops without a rule."""

import itertools
from collections import Counter

import pytest

import cnncost
from cnncost.graph import Call, Graph, Node, OpSpec, Scope, Storage, TensorType, Value
from cnncost.passes.compute import Compute, Sums, Unknown, compute

X = TensorType((2, 4), "float32")  # 32 bytes
NUMBER = itertools.count()


@pytest.fixture
def ruled():
    """A kind whose rule returns `macs` multiply-accumulates plus `other` FLOPs, and its number of calls by spec."""
    kind, asked = f"cnncost_test_passes::kind{next(NUMBER)}", Counter()

    @cnncost.rule(kind)
    def rule(spec):
        """As its attributes say."""
        asked[spec] += 1
        return cnncost.cost(
            spec,
            cnncost.macs("n", spec["macs"]),
            cnncost.flops("other", 1, "n", spec["other"]),
            written=spec["written"],
        )

    return kind, asked


def spec(kind, macs=0, other=0, written=32):
    return OpSpec(kind, (X,), (X,), (("macs", macs), ("other", other), ("written", written)))


def graph(*nodes, parents=(None,)):
    """A chain of ops: (spec, call, name). Call i belongs to module i, and its caller is parents[i]."""
    values = tuple(Value(i, X, i, "activation" if i else "input") for i in range(len(nodes) + 1))
    return Graph(
        values,
        tuple(Node(op, (i,), (i + 1,), call, name) for i, (op, call, name) in enumerate(nodes)),
        tuple(Scope("" if i == 0 else f"m{i}", "Module", calls=1) for i in range(len(parents))),
        tuple(Call(i, parent, 0, (), ()) for i, parent in enumerate(parents)),
        tuple(Storage(i, 32, i - 1 if i else None, None) for i in range(len(values))),
        (0,),
        (len(nodes),),
    )


def test_an_empty_graph():
    empty = Graph((), (), (), (), (), (), ())
    assert compute(empty) == Compute(Sums(0, 0, 0, 0, 0), {}, {}, {}, (), frozenset())


def test_sums(ruled):
    kind, _ = ruled
    a, b, c = spec(kind, 10, 1), spec(kind, 0, 7), spec(kind, 3, 0, written=8)
    found = compute(graph((a, 1, "one"), (b, 0, "two"), (a, 1, "one"), (c, 2, "one"), parents=(None, 0, 1)))
    # a is 10 MACs, and so 21 FLOPs; b is 7 FLOPs; c is 3 MACs, 6 FLOPs; each reads 32 bytes
    assert found.total == Sums(4, 23, 21 + 7 + 21 + 6, 128, 104)
    assert found.by_call == {1: Sums(2, 20, 42, 64, 64), 0: Sums(1, 0, 7, 32, 32), 2: Sums(1, 3, 6, 32, 8)}
    assert found.by_op == {("one", kind): Sums(3, 23, 48, 96, 72), ("two", kind): Sums(1, 0, 7, 32, 32)}
    assert (found.unknown, found.unknown_calls) == ((), frozenset())


def test_sums_of_a_call_exclude_its_child_calls(ruled):
    kind, _ = ruled
    found = compute(graph((spec(kind, 5), 2, "op"), parents=(None, 0, 1)))
    assert list(found.by_call) == [2]


def test_the_kind_of_a_call_is_that_of_its_heaviest_op():
    kinds = {}
    for name, flops, written in (
        ("light", 1, 32),
        ("heavy", 9, 4),
        ("wide", 1, 64),
        ("late", 9, 4),
        ("thin", 9, 16),
        ("middle", 5, 1),
    ):
        kinds[name] = f"cnncost_test_passes::{name}{next(NUMBER)}"
        cnncost.rule(kinds[name])(
            lambda s, flops=flops, written=written: cnncost.cost(s, cnncost.flops("f", flops, "n", 1), written=written)
        )
    op = {name: OpSpec(kind, (X,), (X,)) for name, kind in kinds.items()}
    nodes = [(op["light"], 0, "a"), (op["heavy"], 0, "b"), (op["wide"], 0, "c"), (op["late"], 0, "d"),
             (op["light"], 1, "a"), (op["wide"], 1, "c"), (op["heavy"], 2, "b"), (op["light"], 2, "a"),
             (op["wide"], 2, "c"), (op["wide"], 3, "c"), (op["light"], 3, "a"), (op["light"], 4, "a"),
             (op["heavy"], 4, "b"), (op["wide"], 4, "c"), (op["late"], 4, "d"),
             (op["late"], 5, "d"), (op["thin"], 5, "e"), (op["light"], 6, "a"), (op["heavy"], 6, "b"),
             (op["middle"], 6, "f")]  # fmt: skip
    found = compute(graph(*nodes, parents=(None, 0, 0, 0, 0, 0, 0)))
    # most FLOPs, the first of equals; where FLOPs are equal, most bytes written
    heaviest = {0: "heavy", 1: "wide", 2: "heavy", 3: "wide", 4: "heavy", 5: "thin", 6: "heavy"}
    assert found.kinds == {call: kinds[name] for call, name in heaviest.items()}


def test_a_rule_is_called_once_per_spec(ruled):
    kind, asked = ruled
    nodes = [(spec(kind, 3), 0, "op") for _ in range(50)]
    assert compute(graph(*nodes)).total.macs == 150
    assert compute(graph(*nodes)).total.macs == 150
    assert list(asked.values()) == [1]


def test_specs_with_different_attributes_have_separate_costs(ruled):
    kind, asked = ruled
    found = compute(graph((spec(kind, 1), 0, "op"), (spec(kind, 2), 0, "op"), (spec(kind, 1, written=4), 0, "op")))
    assert (found.total.macs, found.total.bytes_written, len(asked)) == (4, 68, 3)


def test_unknown_ops_are_listed_by_how_often_they_ran(ruled):
    kind, _ = ruled
    one, other = OpSpec("cnncost_test_passes::no_rule", (X,), (X,)), OpSpec("cnncost_test_passes::nor_this", (X,), (X,))
    nodes = [
        (other, 2, "lib.b"),
        (one, 1, "lib.c"),
        (spec(kind, 5), 1, "lib.known"),
        (one, 2, "lib.c"),
        (other, 0, "lib.a"),
    ]
    found = compute(graph(*nodes, parents=(None, 0, 0)))
    assert found.unknown == (
        Unknown("lib.c", 2, "m1", one.kind), Unknown("lib.a", 1, "", other.kind), Unknown("lib.b", 1, "m2", other.kind)
    )  # fmt: skip
    assert found.unknown_calls == frozenset({0, 1, 2})
    # they count as ops, at no known cost
    assert found.total == Sums(5, 5, 10, 32, 32)
    assert found.by_op["lib.c", "cnncost_test_passes::no_rule"] == Sums(2, 0, 0, 0, 0)


def test_the_first_path_of_an_unknown_op_has_the_call_number():
    op = OpSpec("cnncost_test_passes::no_rule", (X,), (X,))
    drawn = graph((op, 1, "lib.op"), parents=(None, 0))
    drawn = Graph(
        drawn.values, drawn.nodes, drawn.scopes, (drawn.calls[0], Call(1, 0, 2, (), ())), drawn.storages, (0,), (1,)
    )
    assert compute(drawn).unknown == (Unknown("lib.op", 1, "m1#3", op.kind),)


def test_a_rule_that_returns_none_leaves_the_op_unknown():
    kind = f"cnncost_test_passes::kind{next(NUMBER)}"
    cnncost.rule(kind)(lambda _: None)
    found = compute(graph((OpSpec(kind, (X,), (X,)), 0, "lib.op")))
    assert [unknown.op for unknown in found.unknown] == ["lib.op"]


def test_counts_beyond_64_bits_are_exact(ruled):
    kind, _ = ruled
    found = compute(graph(*[(spec(kind, (1 << 70) + 1), 0, "op")] * 3))
    assert (found.total.macs, found.total.flops) == (3 * (1 << 70) + 3, 6 * (1 << 70) + 6)
