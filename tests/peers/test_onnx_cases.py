"""cnncost on the files of `onnx_cases.py`: figures are those derived by hand, and the files run."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes
from onnx_cases import CASES, write

import cnncost
from cnncost.ops.check import verify_graph


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_figures_are_those_derived_by_hand(tmp_path, case):
    path = str(tmp_path / "case.onnx")
    write(case, path)
    report = cnncost.analyze(path, strict=True)
    verify_graph(report.graph)
    assert (report.totals.macs, report.totals.params, report.totals.lower_bound) == (case.macs, case.params, False)


GROUPED = "transposed convolution with groups"
"""What onnx's evaluator cannot run: its shapes are checked by inference alone."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_file_is_what_it_declares(case):
    """Inference that is strict agrees with the declared output, and a run has its shape."""
    model = case.build()
    infer_shapes(model, check_type=True, strict_mode=True)
    if case.name == GROUPED:
        return
    given = {
        each.name: np.ones([d.dim_value for d in each.type.tensor_type.shape.dim], np.float32)
        for each in model.graph.input
    }
    (y,) = ReferenceEvaluator(model).run(None, given)
    assert y.shape == tuple(d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim)


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES) >= 15
