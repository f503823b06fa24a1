"""Bytes alive, on graphs drawn by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncost.graph import Call, Graph, Node, OpSpec, Owned, Scope, Storage, TensorType, Value, verify
from cnncost.passes.memory import USES, memory

ONE = TensorType((1,), "float32")


def drawn(lives, phases=None, reads=(), outputs=()):
    """A graph of ops that each make one value; `lives`: bytes, birth, death, use. `reads`: storages by node."""
    count = 1 + max((born for _, born, _, _ in lives if born is not None), default=-1)
    count = max(count, 1 + max((died for _, _, died, _ in lives if died is not None), default=-1))
    values, nodes, storages = [], [], []
    for i, (nbytes, born, died, use) in enumerate(lives):
        role = use if use in {"parameter", "buffer", "input"} else "constant" if born is None else "activation"
        values.append(Value(i, ONE, i, role))
        storages.append(Storage(i, nbytes, born, died, use))
    for i in range(count):
        made = tuple(v for v, (_, born, _, _) in enumerate(lives) if born == i)
        read = tuple(reads[i]) if i < len(reads) else ()
        spec = OpSpec("layout", (ONE,) * len(read), (ONE,) * len(made), (("fn", "any"), ("copy", True)))
        nodes.append(Node(spec, read, made, i % 2, f"op{i}", phases[i] if phases else "forward"))
    owned = tuple(Owned(str(i), i, True) for i, life in enumerate(lives) if life[3] == "parameter")
    scopes = (Scope("", "Net", (), (), 1), Scope("layer", "Layer", owned, (), 1))
    calls = (Call(0, None, 0, (), ()), Call(1, 0, 0, (), ()))
    return verify(Graph(tuple(values), tuple(nodes), scopes, calls, tuple(storages), (), tuple(outputs)))


def test_alive_from_birth_to_death():
    """Weights of 100 always; 10 at ops 0 and 1, 20 at op 1 and 2, 5 from op 2 on."""
    lives = [
        (100, None, None, "parameter"),
        (10, 0, 1, "activation"),
        (20, 1, 2, "activation"),
        (5, 2, None, "activation"),
    ]
    found = memory(drawn(lives))
    assert found.timeline == (110, 130, 125)
    assert (found.peak.nbytes, found.peak.node, found.peak.op, found.peak.path) == (130, 1, "op1", "layer")
    assert {use: n for use, n in found.peak.by_use.items() if n} == {"parameters": 100, "temporaries": 30}
    assert [tuple(h) for h in found.peak.holders] == [
        ("layer", "parameters", 100), ("layer", "temporaries", 20), ("", "temporaries", 10),
    ]  # fmt: skip


def test_what_backward_needs_is_told_from_what_dies_in_forward():
    lives = [
        (100, None, None, "parameter"), (7, None, None, "state"), (10, 0, 3, "activation"), (20, 1, 1, "activation"),
        (4, 1, None, "activation"), (100, 3, None, "gradient"), (30, 2, 2, "activation"),
    ]  # fmt: skip
    found = memory(drawn(lives, ["forward", "forward", "backward", "backward"]))
    assert found.by_use == {
        "parameters": 100, "buffers": 0, "inputs": 0, "constants": 0, "gradients": 100, "optimizer state": 7,
        "activations": 14,
    }  # fmt: skip
    assert found.timeline == (117, 141, 151, 221)
    assert found.phases == {"forward": 0, "backward": 2}
    assert {call: tuple(each) for call, each in found.by_call.items()} == {0: (10, 10), 1: (24, 4)}


def test_freed_after_the_last_use():
    """The first is read for the last time by op 1, but held to the end; the last is the output."""
    lives = [(100, 0, None, "activation"), (10, 1, None, "activation"), (20, 2, None, "activation")]
    graph = drawn(lives, reads=[(), (0,), (1,)], outputs=(2,))
    found = memory(graph)
    assert found.timeline == (100, 110, 130)
    assert found.ideal_peak == 110


def test_blocks_are_rounded_up():
    found = memory(drawn([(1, None, None, "parameter"), (513, 0, None, "activation"), (0, 0, None, "activation")]), 512)
    assert found.peak.nbytes == 512 + 1024


def test_nothing_is_run():
    found = memory(drawn([(12, None, None, "parameter")]))
    assert (found.peak.nbytes, found.peak.node, found.timeline, found.ideal_peak) == (12, None, (), 12)


LIVES = st.lists(
    st.tuples(
        st.integers(0, 50), st.one_of(st.none(), st.integers(0, 7)), st.one_of(st.none(), st.integers(0, 7)),
        st.sampled_from(["parameter", "buffer", "input", "constant", "activation", "gradient", "state"]),
    ),
    max_size=12,
)  # fmt: skip


@given(LIVES, st.integers(0, 8))
def test_against_counting_moment_by_moment(lives, split):
    fixed = []
    for nbytes, born, died, use in lives:
        if use in {"parameter", "buffer", "input", "constant", "state"}:
            born, died = None, None  # noqa: PLW2901  # they are there all the time
        elif born is None:
            born = 0  # noqa: PLW2901
        fixed.append((nbytes, born, None if died is None or died < (born or 0) else died, use))
    fixed.append((1, 7, None, "activation"))
    phases = ["forward"] * split + ["backward"] * (8 - split)
    graph = drawn(fixed, phases)
    found = memory(graph)
    for i in range(8):
        alive = [n for n, born, died, _ in fixed if (born is None or born <= i) and (died is None or died >= i)]
        assert found.timeline[i] == sum(alive)
    assert found.peak.nbytes == max(found.timeline)
    assert sum(found.peak.by_use.values()) == found.peak.nbytes == sum(h.nbytes for h in found.peak.holders)
    curves = found.curves(graph)
    assert set(curves) == set(USES)
    assert [sum(each) for each in zip(*curves.values(), strict=True)] == list(found.timeline)
    assert found.ideal_peak <= found.peak.nbytes or any(use == "gradient" for *_, use in fixed)


@pytest.mark.parametrize("block", [1, 512])
def test_rounding_never_lessens(block):
    lives = [(n, i, i + 1, "activation") for i, n in enumerate([3, 1000, 511, 512])] + [(1, 5, None, "activation")]
    assert memory(drawn(lives), block).peak.nbytes >= memory(drawn(lives)).peak.nbytes
