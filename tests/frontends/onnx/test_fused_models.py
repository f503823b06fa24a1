"""Ops of com.microsoft with masks, caches, groups and 8-bit data: figures by hand, shapes from ONNX Runtime."""

import pytest
from fused_models import models
from onnx_files import analyzed

MODELS = {each.name: each for each in models()}


@pytest.mark.parametrize("name", MODELS)
def test_figures(tmp_path, name):
    """`tests/conformance/onnx_runtime.py` holds the shapes against the run."""
    _, proto, macs, flops, shapes = MODELS[name]
    report = analyzed(tmp_path, proto)
    assert report.unknown == {}
    assert [report.graph.values[i].shape for i in report.graph.outputs] == shapes
    assert (report.totals.macs, report.totals.flops) == (macs, flops)
