"""All node models of the package onnx's own backend tests."""

import pytest
from conformance import onnx_nodes

pytestmark = pytest.mark.long
DATA = {"onnx.NonZero", "onnx.Unique", "onnx.NonMaxSuppression"}
"""Ops whose outputs' shapes are in the data."""


@pytest.fixture(scope="module")
def outcomes():
    return {name: onnx_nodes.outcome(name, model, expected) for name, model, expected in onnx_nodes.cases()}


def test_all_are_followed_and_have_the_expected_shapes(outcomes):
    assert len(outcomes) > 1_500
    assert {name: each.wrong for name, each in outcomes.items() if each.wrong} == {}


def test_most_are_known(outcomes):
    """Four in five; most of the others have axes, lengths or texts as inputs, which fix no shape."""
    assert sum(not each.unknown for each in outcomes.values()) > 0.8 * len(outcomes)
    assert {op for each in outcomes.values() for op in each.unknown} >= DATA


@pytest.mark.parametrize(
    "op", ["Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "LayerNormalization", "MaxPool", "Softmax",
           "AveragePool", "QLinearConv", "QLinearMatMul", "ConvInteger", "GRU", "RNN", "Attention", "Transpose"]
)  # fmt: skip
def test_what_networks_are_made_of_is_never_unknown(outcomes, op):
    assert not [name for name, each in outcomes.items() if f"onnx.{op}" in each.unknown and "affine_grid" not in name]
