from dataclasses import replace

import pytest
from torch import nn

import cnncost
from cnncost.report import heading


def changed(report, **totals):
    return replace(report, totals=replace(report.totals, **totals))


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        pytest.param((((2, 3), "float32"),), "input 2×3 float32, batch size 2", id="one input"),
        pytest.param(
            (((), "int64"), ((4, 8), "float32")),
            "inputs scalar int64, 4×8 float32, batch size 4",
            id="several, one a scalar",
        ),
        pytest.param((), "no input tensors, no batch axis", id="none"),
    ],
)
def test_inputs(inputs, text, report):
    assert heading.inputs(replace(report("lenet5"), inputs=inputs)) == text


@pytest.mark.parametrize(
    ("totals", "dtypes", "text"),
    [
        pytest.param({"params": 0, "buffers": 0}, {}, "no parameters", id="none"),
        pytest.param(
            {"trainable_params": 0, "buffers": 0},
            {"float32": 60_000},
            "60,000 float32 parameters, all frozen, 234 KiB",
            id="all frozen",
        ),
        pytest.param(
            {"buffers": 0},
            {"float32": 59_000, "int8": 1_000},
            "60,000 parameters (59,000 float32, 1,000 int8), all trainable, 234 KiB",
            id="several dtypes",
        ),
        pytest.param(
            {"params": 1, "trainable_params": 1, "param_bytes": 4, "buffers": 1, "buffer_bytes": 8},
            {"float32": 1},
            "1 float32 parameter, all trainable, 4 B; 1 buffer element, 8 B",
            id="one of each",
        ),
    ],
)
def test_parameters(totals, dtypes, text, report):
    assert heading.parameters(replace(changed(report("lenet5"), **totals), param_dtypes=dtypes)) == text


def test_training_step_is_told_if_there_was_one(report):
    assert heading.training(report("lenet5")) == ""
    step = changed(report("lenet5"), training_macs=1000, training_flops=2000)
    assert heading.training(step) == "training step: 1,000 MACs, 2,000 FLOPs"


def test_biggest_by_flops_if_nothing_multiplies(report):
    layers = tuple(replace(layer, macs=0) for layer in report("lenet5").layers)
    pooling = changed(replace(report("lenet5"), layers=layers), macs=0)
    assert heading.biggest(pooling) == "biggest: c3, 43 % of FLOPs"


def test_the_biggest_is_so_over_all_its_calls(report):
    """Two calls of 46 % each, as the module tree has them."""
    twice = report("odd").module("twice")
    assert (twice.calls, twice.macs) == (2, 2 * 2 * 32 * 32 * 16 * 16 * 9)
    assert report("odd").biggest.macs == twice.macs
    assert heading.biggest(report("odd")) == "biggest: twice (2 calls), 91 % of MACs"


def test_calls_outweigh_a_larger_layer(report):
    c1, c3 = report("lenet5").layer("c1"), report("lenet5").layer("c3")
    often = tuple(replace(c1, call=i + 1, calls=3, macs=c3.macs // 2) for i in range(3))
    assert replace(report("lenet5"), layers=(c3, *often)).biggest.label == "c1"


def test_a_model_that_is_one_layer_is_called_as_its_row():
    assert heading.biggest(cnncost.analyze(nn.Conv2d(3, 4, 3), "1x3x8x8")) == "biggest: Conv2d, 100 % of MACs"


def test_no_biggest_of_nothing(report):
    assert heading.biggest(replace(report("lenet5"), layers=())) == ""


def test_unknown_ops_with_count_and_first_place(report):
    known = replace(report("lenet5"), unknown={"my::op": 1200, "my::other": 1}, unknown_places={"my::op": "c1"})
    first, *ops = heading.unknown(known)
    assert first.startswith("2 ops without a rule, left out of the sums marked ≥, which are lower bounds")
    assert ops == ["my::op, 1,200×, first in c1", "my::other, 1×, first in the model itself"]
    assert heading.unknown(report("lenet5")) == []
