"""Files are read without the data of large tensors; the package parses the rest as before."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_files import analyzed, model, node, saved, value, weight

import cnncost
from cnncost.errors import SourceError
from cnncost.frontends.onnx import wire

ELEMENTS = 200_000
"""Of 4 bytes: more than a file that is read as it is."""


def large(name, shape=(ELEMENTS // 8, 8), raw=True):
    if raw:
        return numpy_helper.from_array(np.ones(shape, np.float32), name)
    return helper.make_tensor(name, TensorProto.FLOAT, shape, np.ones(shape, np.float32).reshape(-1))


def emptied(proto):
    """The model as the package reads it, without the elements of large tensors."""
    stored = [*proto.graph.initializer]
    graphs = [a.g for n in proto.graph.node for a in n.attribute if a.HasField("g")]
    for graph in graphs:
        stored += graph.initializer
    for each in [proto.graph, *graphs]:
        stored += [a.t for n in each.node for a in n.attribute if a.HasField("t")]
    for tensor in stored:
        for name in ("raw_data", "float_data", "int64_data", "int32_data", "double_data"):
            if len(getattr(tensor, name)) > wire.MAX_DATA:
                tensor.ClearField(name)
    return proto


def branch(name, stored):
    return helper.make_graph([node("MatMul", "x w", "z")], name, [], [value("z", 3, 8)], [stored])


def within_a_branch():
    op = node("If", "c", "y", then_branch=branch("a", large("w")), else_branch=branch("b", large("w", raw=False)))
    return model([op], [("x", 3, ELEMENTS // 8), value("c", 1, dtype=TensorProto.BOOL)])


CASES = {
    "raw": lambda: model(
        [node("MatMul", "x w", "y")], [("x", 3, ELEMENTS // 8)], stored=[large("w"), weight("v", 2, 3)]
    ),
    "numbers": lambda: model([node("MatMul", "x w", "y")], [("x", 3, ELEMENTS // 8)], stored=[large("w", raw=False)]),
    "a constant": lambda: model(
        [helper.make_node("Constant", [], ["w"], value=large("w")), node("MatMul", "x w", "y")],
        [("x", 3, ELEMENTS // 8)],
    ),
    "branches": within_a_branch,
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_left(tmp_path, name):
    proto = CASES[name]()
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    assert path.stat().st_size > wire.SMALL_FILE // 2
    found = b"".join(wire._pieces(path.read_bytes(), 0, path.stat().st_size, "Model"))  # of a file of any size
    assert len(found) < wire.MAX_DATA
    assert onnx.ModelProto.FromString(found) == emptied(proto)


def test_figures_of_a_large_file(tmp_path):
    proto = model([node("MatMul", "x w", "h"), node("MatMul", "h v", "y")], [("x", 3, ELEMENTS)],
                  stored=[large("w", (ELEMENTS, 8)), weight("v", 8, 2)])  # fmt: skip
    report = analyzed(tmp_path, proto)
    assert (report.totals.params, report.totals.macs) == (ELEMENTS * 8 + 16, 3 * (ELEMENTS * 8 + 16))


@settings(max_examples=30, deadline=None)
@given(at=st.floats(0.0, 1.0, exclude_max=True))
def test_a_large_file_that_is_cut_off_anywhere(tmp_path_factory, at):
    """The tensor's data are not read, but their absence is detected."""
    proto = model([node("MatMul", "x w", "y")], [("x", 3, ELEMENTS)], stored=[large("w", (ELEMENTS, 8))])
    content = proto.SerializeToString()
    path = tmp_path_factory.mktemp("cut") / "m.onnx"
    path.write_bytes(content[: int(at * len(content))])
    with pytest.raises(SourceError, match=r"not an ONNX model"):
        cnncost.analyze(str(path))


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"\x0b"], ids=["zeros", "ones", "a group"])
def test_large_files_of_something_else(tmp_path, byte):
    path = tmp_path / "m.onnx"
    path.write_bytes(byte * (wire.SMALL_FILE + 1))
    with pytest.raises(SourceError, match="not an ONNX model"):
        cnncost.analyze(str(path))


def test_a_file_larger_than_the_package_reads(tmp_path):
    """Five gigabytes of zeros, which take no room on the disk, in a tensor between a graph's nodes and its inputs."""
    proto = model([node("MatMul", "x w", "y")], [("x", 3, 2**15)], stored=[])
    head, tensor = proto.graph.SerializeToString(), TensorProto(dims=[2**15, 2**15 + 2**13], data_type=1, name="w")
    size = 4 * 2**15 * (2**15 + 2**13)
    before = tensor.SerializeToString() + b"\x4a" + wire._write_varint(size)  # field 9: raw_data
    stored = b"\x2a" + wire._write_varint(len(before) + size) + before  # field 5: an initializer
    proto.ClearField("graph")
    start = proto.SerializeToString() + b"\x3a" + wire._write_varint(len(head) + len(stored) + size) + head + stored
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(len(start) + size)
    report = cnncost.analyze(str(path))
    assert (report.totals.params, report.totals.macs) == (size // 4, 3 * size // 4)


def test_small_files_are_read_as_they_are(tmp_path):
    path = Path(saved(tmp_path, model([node("Relu", "x", "y")], [("x", 2, 3)])))
    assert wire.without_data(path) == path.read_bytes()
