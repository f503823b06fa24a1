"""A file compared with onnx-tool: expected numbers by hand from its source; a test double stands for the package."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from onnx import helper
from onnx_files import model, node, saved, weight

from cnncost.verify import onnx_tool_count, verify


@pytest.fixture
def counting(monkeypatch):
    """Installs an onnx_tool that counts so much for each op of a file."""

    def install(**by_op):
        def opened(path):
            nodes = {op: SimpleNamespace(op_type=op, macs=[n, 0.0]) for op, n in by_op.items()}
            return SimpleNamespace(
                graph=SimpleNamespace(nodemap=nodes, shape_infer=lambda given: None, profile=lambda: None)
            )

        module = ModuleType("onnx_tool")
        module.Model = opened
        monkeypatch.setitem(sys.modules, "onnx_tool", module)
        monkeypatch.setattr(onnx_tool_count, "version", lambda name: "1.0.1")

    return install


def network(folder):
    """2×3×8×8 through a convolution to 4 channels, a pool, a transposed one to 2, and two products."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1] * 4), node("Relu", "c", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", "p t", "u", strides=[2, 2]), node("GlobalAveragePool", "u", "g"),
        node("Flatten", "g", "f"), node("Gemm", "f k l", "z", transB=1), node("Sigmoid", "z", "s"),
        node("MatMul", "s m", "y"),
    ]  # fmt: skip
    stored = [weight("w", 4, 3, 3, 3), weight("b", 4), weight("t", 4, 2, 2, 2), weight("k", 5, 2), weight("l", 5),
              weight("m", 5, 7)]  # fmt: skip
    return saved(folder, model(nodes, [("x", 2, 3, 8, 8)], stored=stored))


CONV = 2 * 4 * 64 * 27
THEIRS = {
    "Conv": CONV + 2 * 4 * 64, "Relu": 2 * 4 * 64, "MaxPool": 2 * 4 * 16 * 4,
    "ConvTranspose": 2 * 2 * 64 * 2 * 2 * 2,  # 64 positions of the output, 2 of its channels, 2×2
    "GlobalAveragePool": 2 * 2 * 64 + 4 * 2 * 2, "Gemm": 2 * 2 * 5 + 2 * 5, "Sigmoid": 32 * 10, "MatMul": 2 * 5 * 7,
}  # fmt: skip


def test_a_file_is_explained(tmp_path, counting):
    counting(**THEIRS)
    found = verify(network(tmp_path))
    assert found.explained
    (peer,) = found.peers
    assert (peer.peer, peer.total, peer.predicted) == ("onnx-tool", sum(THEIRS.values()), sum(THEIRS.values()))
    assert found.macs == peer.ours == CONV + 2 * 4 * 16 * 2 * 4 + 2 * 2 * 5 + 2 * 5 * 7


@pytest.mark.parametrize("op", THEIRS)
def test_what_is_not_as_predicted_is_named(tmp_path, counting, op):
    counting(**{**THEIRS, op: THEIRS[op] + 3})
    found = verify(network(tmp_path))
    assert not found.explained
    assert found.peers[0].unexplained == ((op, 3),)


def test_a_recurrent_layer(tmp_path, counting):
    """5 steps of 3 sequences, 4 features to 6: products, biases, and 180 for each hidden unit."""
    steps = 5 * 3
    counting(LSTM=steps * 24 * (4 + 6) + steps * 48 + steps * 6 * 180)
    stored = [weight("w", 1, 24, 4), weight("r", 1, 24, 6), weight("b", 1, 48)]
    op = helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=6)
    assert verify(saved(tmp_path, model([op], [("x", 5, 3, 4)], stored=stored))).explained


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx_tool", None)
    found = verify(network(tmp_path))
    assert not found.explained
    assert "pip install onnx-tool" in found.peers[0].failure


def test_a_package_that_fails(tmp_path, counting, monkeypatch):
    counting()

    def broken(path):
        raise KeyError("If")

    monkeypatch.setattr(sys.modules["onnx_tool"], "Model", broken)
    found = verify(network(tmp_path))
    assert not found.explained
    assert found.peers[0].failure.startswith("KeyError")
