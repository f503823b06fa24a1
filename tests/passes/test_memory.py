"""Live bytes on hand-made graphs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncost.graph import Call, Graph, Node, OpSpec, Owned, Scope, Storage, TensorType, Value, verify
from cnncost.passes.memory import USES, memory

ONE = TensorType((1,), "float32")


def drawn(lives, phases=None, reads=(), outputs=()):
    """A graph of ops with one output each; `lives`: bytes, birth, death, use. `reads`: storages by node."""
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
        spec = OpSpec("layout", (ONE,) * len(read), (ONE,) * len(made), (("copy", True), ("moves", None)))
        nodes.append(Node(spec, read, made, i % 2, f"op{i}", phases[i] if phases else "forward"))
    owned = tuple(Owned(str(i), i, True) for i, life in enumerate(lives) if life[3] == "parameter")
    scopes = (Scope("", "Net", (), (), 1), Scope("layer", "Layer", owned, (), 1))
    calls = (Call(0, None, 0, (), ()), Call(1, 0, 0, (), ()))
    return verify(Graph(tuple(values), tuple(nodes), scopes, calls, tuple(storages), (), tuple(outputs)))


def test_alive_from_birth_to_death():
    """100 bytes of weights throughout; 10 at ops 0 and 1, 20 at ops 1 and 2, 5 from op 2 on."""
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


def test_activations_are_separated_from_temporaries():
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
    """Op 1 reads the first for the last time, but it is kept to the end; the last is the output."""
    lives = [(100, 0, None, "activation"), (10, 1, None, "activation"), (20, 2, None, "activation")]
    graph = drawn(lives, reads=[(), (0,), (1,)], outputs=(2,))
    found = memory(graph)
    assert found.timeline == (100, 110, 130)
    assert found.ideal_peak == 110


USES_OF_A_STEP = [
    # forward is ops 0 and 1, backward ops 2 and 3; bytes, birth, death, use, and the expected category
    (1, 0, 1, "activation", "temporaries"),
    (2, 0, 2, "activation", "activations"),  # read by the first op of backward, and by no other
    (4, 1, 1, "activation", "temporaries"),
    (8, 1, None, "activation", "activations"),
    (16, 2, 3, "activation", "temporaries"),
    (32, 2, None, "activation", "temporaries"),  # allocated in backward: not an activation
    (64, 3, None, "gradient", "gradients"),
    (128, None, None, "state", "optimizer state"),
    (256, None, None, "input", "inputs"),
    (512, None, None, "constant", "constants"),
    (1024, None, None, "buffer", "buffers"),
]


def test_uses_of_memory_in_a_training_step():
    graph = drawn([row[:4] for row in USES_OF_A_STEP], ["forward", "forward", "backward", "backward"])
    found = memory(graph)
    assert found.kinds == tuple(kind for *_, kind in USES_OF_A_STEP)
    assert found.sizes == tuple(1 << i for i in range(11))
    assert found.by_use == {use: sum(row[0] for row in USES_OF_A_STEP if row[4] == use) for use in USES[:-1]}
    held = 128 + 256 + 512 + 1024
    assert found.timeline == (held + 1 + 2, held + 1 + 2 + 4 + 8, held + 2 + 8 + 16 + 32, held + 8 + 16 + 32 + 64)
    curves = found.curves(graph)
    assert curves["activations"] == (2, 2 + 8, 2 + 8, 8)
    assert curves["temporaries"] == (1, 1 + 4, 16 + 32, 16 + 32)
    assert curves["gradients"] == (0, 0, 0, 64)
    assert curves["inputs"] == (256,) * 4
    assert {call: tuple(each) for call, each in found.by_call.items()} == {0: (1 + 2, 2), 1: (4 + 8, 8)}


def test_ideal_peak_keeps_inputs_gradients_and_outputs():
    """Inputs, gradients and outputs live to the end, whatever reads them last; unused results die at once."""
    lives = [
        (100, None, None, "input"), (50, 0, None, "gradient"), (20, 0, None, "activation"),
        (10, 1, None, "activation"), (7, 2, None, "activation"), (1, 3, None, "activation"),
    ]  # fmt: skip
    found = memory(drawn(lives, reads=[(0,), (2,), (3,), (4,)], outputs=(2,)))
    # 100 + 50 + 20, plus each op's result and operand: 10, 7 + 10, 1 + 7
    assert found.ideal_peak == 100 + 50 + 20 + 10 + 7
    without = memory(drawn(lives, reads=[(0,), (2,), (3,), (4,)]))
    assert without.ideal_peak == 100 + 50 + max(20, 20 + 10, 10 + 7, 7 + 1)


def test_temporary_bytes_count_while_their_op_runs():
    """Op 1 allocates 40 temporary bytes and frees them: they count for its module, but in no result."""
    graph = drawn([(100, None, None, "parameter"), (10, 0, 1, "activation"), (20, 1, 2, "activation"),
                   (5, 2, None, "activation")])  # fmt: skip
    nodes = list(graph.nodes)
    spec = nodes[1].spec
    nodes[1] = nodes[1]._replace(spec=OpSpec(spec.kind, spec.inputs, spec.outputs, (*spec.attrs, ("scratch", 40))))
    graph = Graph(graph.values, tuple(nodes), graph.scopes, graph.calls, graph.storages, (), ())
    found = memory(graph)
    assert found.timeline == (100 + 10, 100 + 10 + 20 + 40, 100 + 20 + 5)
    assert found.ideal_peak == 100 + 20 + 40  # nothing reads the 10
    assert (found.peak.nbytes, found.peak.node) == (170, 1)
    assert {use: n for use, n in found.peak.by_use.items() if n} == {"parameters": 100, "temporaries": 70}
    assert [tuple(h) for h in found.peak.holders] == [
        ("layer", "parameters", 100), ("layer", "temporaries", 20 + 40), ("", "temporaries", 10),
    ]  # fmt: skip
    assert found.curves(graph)["temporaries"] == (10, 10 + 20 + 40, 20)
    assert {call: tuple(each) for call, each in found.by_call.items()} == {0: (15, 5), 1: (20, 0)}


def test_blocks_are_rounded_up():
    found = memory(drawn([(1, None, None, "parameter"), (513, 0, None, "activation"), (0, 0, None, "activation")]), 512)
    assert found.peak.nbytes == 512 + 1024


def test_a_graph_without_nodes():
    found = memory(drawn([(12, None, None, "parameter")]))
    assert (found.peak.nbytes, found.peak.node, found.timeline, found.ideal_peak) == (12, None, (), 12)


def test_holders_of_the_peak():
    """Equal sizes are ordered by module name; storages that died before or are allocated after have no holder."""
    lives = [
        (8, None, None, "parameter"), (8, None, None, "buffer"), (3, 0, 0, "activation"), (8, 1, 2, "activation"),
        (40, 2, 2, "activation"), (8, 2, 3, "activation"), (9, 3, None, "activation"), (5, 0, 2, "activation"),
        (6, 0, 1, "activation"),
    ]  # fmt: skip
    found = memory(drawn(lives))
    assert found.timeline == (16 + 3 + 5 + 6, 16 + 8 + 5 + 6, 16 + 8 + 40 + 8 + 5, 16 + 8 + 9)
    assert (found.peak.node, found.peak.nbytes, found.peak.phase) == (2, 77, "forward")
    assert [tuple(h) for h in found.peak.holders] == [
        ("", "temporaries", 40 + 8 + 5), ("", "buffers", 8), ("layer", "parameters", 8), ("layer", "temporaries", 8),
    ]  # fmt: skip
    assert {use: n for use, n in found.peak.by_use.items() if n} == {"temporaries": 61, "parameters": 8, "buffers": 8}


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
            born, died = None, None  # noqa: PLW2901  # these live throughout
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
def test_rounding_up_never_lowers_the_peak(block):
    lives = [(n, i, i + 1, "activation") for i, n in enumerate([3, 1000, 511, 512])] + [(1, 5, None, "activation")]
    assert memory(drawn(lives), block).peak.nbytes >= memory(drawn(lives)).peak.nbytes
