"""`cnncost.record` takes what `cnncost.analyze` takes, and records what a count by hand says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import InputError
from cnncost.ops import cost_of
from tests import onnx_files

NET = """
from torch import nn


def build(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(width * 36, 5))
"""
MACS = 4 * 27 * 36 + 4 * 36 * 5
"""Of an example of 3×8×8, four filters of 3·3·3 at 6·6 positions, then a linear layer."""


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(width * 36, 5)).eval()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def macs(graph: cnncost.Graph) -> int:
    costs = [cost_of(node.spec) for node in graph.nodes]
    return sum(cost.macs for cost in costs if cost is not None)


ARRAY = np.zeros((2, 3, 8, 8), np.float32)
INPUTS = [
    pytest.param(ARRAY, id="an array"),
    pytest.param((ARRAY,), id="a tuple of arrays"),
    pytest.param({"input": ARRAY}, id="arrays by name"),
    pytest.param(cnncost.arguments(ARRAY), id="arguments"),
    pytest.param(torch.zeros(2, 3, 8, 8), id="a tensor"),
    pytest.param("2x3x8x8", id="a text"),
    pytest.param((2, 3, 8, 8), id="a shape"),
]


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("named", [False, True])
def test_inputs(inputs: Any, named: bool) -> None:
    assert macs(cnncost.record("net.py:build" if named else net(), inputs)) == 2 * MACS


def exported() -> Any:
    return torch.export.export(net(), (torch.zeros(2, 3, 8, 8),))


def file_of_onnx() -> Path:
    made = onnx_files.model(
        [onnx_files.node("Conv", "x w", "y")], [("x", 2, 3, 8, 8)], stored=[onnx_files.weight("w", 4, 3, 3, 3)]
    )
    onnx.save(made, "net.onnx")
    return Path("net.onnx")


MODELS = [
    pytest.param(net, "2x3x8x8", 2 * MACS, id="a module"),
    pytest.param(lambda: net().forward, "2x3x8x8", 2 * MACS, id="a bound method"),
    pytest.param(lambda: "net.py:build", "2x3x8x8", 2 * MACS, id="a file and a name"),
    pytest.param(exported, None, 2 * MACS, id="an exported program, with its own inputs"),
    pytest.param(exported, ARRAY, 2 * MACS, id="an exported program and an array"),
    pytest.param(lambda: "lenet300", None, 784 * 300 + 300 * 100 + 100 * 10, id="a network of the zoo"),
    pytest.param(file_of_onnx, None, 2 * 4 * 27 * 36, id="a path of an ONNX file"),
]


@pytest.mark.parametrize(("model", "inputs", "expected"), MODELS)
def test_models(model: Any, inputs: Any, expected: int) -> None:
    given = model()
    assert macs(cnncost.record(given, inputs)) == expected
    assert cnncost.analyze(given, inputs).totals.macs == expected


def test_a_path_of_a_program(here: Path) -> None:
    torch.export.save(exported(), here / "net.pt2")
    assert macs(cnncost.record(here / "net.pt2")) == 2 * MACS


def test_arguments_of_the_factory() -> None:
    assert macs(cnncost.record("net.py:build", "1x3x8x8", model_args={"width": 8})) == 2 * MACS


def drops(graph: cnncost.Graph) -> int:
    return sum(node.name.startswith(("aten.dropout", "aten.native_dropout", "aten.bernoulli")) for node in graph.nodes)


def test_a_named_model_is_in_eval_mode_and_trains_in_train_mode() -> None:
    assert drops(cnncost.record("net.py:build", "1x3x8x8", train=True)) == 1
    step = cnncost.record("net.py:build", "1x3x8x8", training=cnncost.Training(None, "sgd"))
    assert {node.phase for node in step.nodes} == {"forward", "backward", "optimizer"}
    assert drops(step) >= 1


def test_options_reach_a_named_model() -> None:
    plain = cnncost.record("net.py:build", "1x3x8x8")
    assert {value.dtype for value in plain.values} == {"float32"}
    cast = cnncost.record("net.py:build", "1x3x8x8", cnncost.RecordOptions(autocast="bf16"))
    assert cast.values[cast.outputs[0]].dtype == "bfloat16"
    out: list[Any] = []
    cnncost.record("net.py:build", "1x3x8x8", returned=out.append)
    assert [tuple(each.shape) for each in out] == [(1, 5)]


REFUSED = [
    pytest.param(lambda: cnncost.record(net(), "1x3x8x8"), "a Graph is already recorded", id="a Graph"),
    pytest.param(net, "model_args are for a specification", id="arguments of a built model"),
]


@pytest.mark.parametrize(("model", "told"), REFUSED)
def test_what_is_refused(model: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        cnncost.record(model(), "1x3x8x8", model_args={"width": 3})


def test_a_saved_report_is_refused(here: Path) -> None:
    cnncost.analyze("lenet300").save(here / "r.json")
    with pytest.raises(InputError, match="a saved report has no model to record"):
        cnncost.record("r.json")


def test_an_onnx_file_takes_no_options_of_a_run() -> None:
    with pytest.raises(InputError, match="leave out the options"):
        cnncost.record(file_of_onnx(), grad=True)


def test_an_array_of_texts_is_refused() -> None:
    with pytest.raises(InputError, match="can't be converted to a tensor"):
        cnncost.record(net(), np.array(["a"]))
