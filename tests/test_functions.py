"""What the commands do, as functions; and the kinds of models and inputs that all of them take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cnncost

NET = """
from torch import nn


def build(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(width * 36, 5))
"""
CONV, LINEAR = 4 * 27 * 36, 4 * 36 * 5
MACS = CONV + LINEAR
"""Of an example of 3×8×8."""


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(width * 36, 5))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_roofline_is_the_longest_of_three_times() -> None:
    found = cnncost.roofline(net(), "2x3x8x8", device="h100")
    assert found.report.totals.macs == 2 * MACS
    assert found.roofline.total.seconds > 0
    sixteen = cnncost.roofline(net(), "2x3x8x8", device="h100", dtype="bf16")
    assert sixteen.roofline.total.nbytes * 2 == found.roofline.total.nbytes > 0
    same = cnncost.roofline(cnncost.analyze(net(), "2x3x8x8"), device="h100", dtype=torch.bfloat16)
    assert same.roofline.total == sixteen.roofline.total
    training = cnncost.roofline(net(), "2x3x8x8", device="h100", training=True)
    assert training.report.totals.training_macs is not None


def test_diff_finds_what_changed() -> None:
    found = cnncost.diff(net(4), net(8), "2x3x8x8")
    assert found.new.totals["macs"] - found.old.totals["macs"] == 2 * MACS
    assert found.new.totals["params"] - found.old.totals["params"] == 4 * 28 + 4 * 36 * 5
    assert not cnncost.diff(net(), cnncost.analyze(net(), "2x3x8x8"), "2x3x8x8").changes


def test_what_functions_return_has_a_page(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That of the command; what is given stays a tuple of its rows."""
    from tests.cli.calls import exit_code

    (here / "accuracy.csv").write_text("model,top1\nlenet1,98.3\nlenet5,99.05\n")
    names = ["lenet1", "lenet5"]
    commands = {
        ("compare", *names): cnncost.compare(names),
        ("compare", *names, "--join", "accuracy.csv"): cnncost.compare(names, join="accuracy.csv"),
        ("diff", *names): cnncost.diff(*names),
        ("summarize", "lenet1"): cnncost.analyze("lenet1"),
    }
    for arguments, found in commands.items():
        assert exit_code(*arguments, "--format", "html") == 0
        assert capsys.readouterr().out.rstrip("\n") == found.to_html().rstrip("\n")
    compared = commands["compare", *names]
    assert isinstance(compared, tuple)
    assert compared == tuple(compared)
    assert [row.name for row in compared] == names
    for static in (cnncost.roofline("lenet1", device="h100"), cnncost.effective_macs("lenet1")):
        assert static.to_html().startswith("<!doctype html>")
        assert "<script" not in static.to_html()


def test_compare_takes_names_or_an_order() -> None:
    small, large = cnncost.compare({"small": net(4), "large": net(8)}, "2x3x8x8")
    assert (small.name, small.macs, small.front) == ("small", 2 * MACS, True)
    assert (large.name, large.macs, large.front) == ("large", 4 * MACS, False)
    assert [row.macs for row in cnncost.compare([net(), cnncost.analyze(net(), "1x3x8x8")], "1x3x8x8")] == [MACS, MACS]


def test_check_holds_budgets(here: Path) -> None:
    (here / "cnncost.toml").write_text(
        f'[[budget]]\nname = "kept"\nmodel = "net.py:build"\ninput = "1x3x8x8"\nmacs = "<= {MACS}"\n'
        f'[[budget]]\nname = "over"\nmodel = "net.py:build"\ninput = "1x3x8x8"\nmacs = "<= {MACS - 1}"\n'
    )
    assert cnncost.check().exit_code == 1
    assert cnncost.check(here / "cnncost.toml", ["kept"]).exit_code == 0
    assert cnncost.check("cnncost.toml", ["over"]).exit_code == 1
    with pytest.raises(cnncost.CnncostError, match="no budget named 'kep'; there are kept, over"):
        cnncost.check(names=["kep"])


def test_max_batch_is_the_last_that_fits() -> None:
    """Inference of a convolution holds its weights, its input and its output, whose bytes are by hand."""
    model = nn.Conv2d(3, 4, 3)
    weights, each = 4 * (4 * 27 + 4), 4 * (3 * 64 + 4 * 36)
    for batch in (1, 7, 100):
        limit = weights + batch * each
        assert cnncost.max_batch(model, "1x3x8x8", device_memory=limit, training=False) == batch
        assert cnncost.max_batch(model, "1x3x8x8", device_memory=limit - 1, training=False) == batch - 1
        assert cnncost.max_batch(model, "9x3x8x8", device_memory=limit + 50, training=False, workspace=50) == batch
    assert cnncost.max_batch(model, "1x3x8x8", device_memory="1MB", training=False) == (10**6 - weights) // each


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: cnncost.max_batch(net(), "1x3x8x8", device_memory="24"), "device_memory: expected a number of bytes"),
        (lambda: cnncost.max_batch(net(), "1x3x8x8", device_memory="24 apples"), "is not a size"),
        (lambda: cnncost.max_batch(net(), "1x3x8x8", device_memory=-1), "device_memory: expected a number of bytes"),
        (lambda: cnncost.max_batch(net(), "1x3x8x8", device_memory=True), "device_memory: expected a number of bytes"),
        (lambda: cnncost.max_batch(nn.Conv2d(3, 4, 3), "3x8x8", device_memory="1GB"), "3x8x8 has no batch axis"),
        *[
            (lambda block=block: cnncost.max_batch(net(), "1x3x8x8", device_memory="1GB", block=block), "from 1")
            for block in (0, -512, 1.5, True)
        ],
        *[
            (lambda on=on: cnncost.max_batch(net(), "1x3x8x8", device_memory="1GB", training=on), "True or False")
            for on in ("no", None, 1)
        ],
        *[
            (
                lambda step=step: cnncost.max_batch(net(), "1x3x8x8", device_memory="1GB", training=False, **step),
                "belong to a training step",
            )
            for step in ({"loss": "mse"}, {"optimizer": "adamw"}, {"loss": "mse", "optimizer": "sgd"})
        ],
        *[
            (lambda device=device: cnncost.roofline(net(), "1x3x8x8", device=device), "expected a name")
            for device in (None, 3, torch.device("cpu"))
        ],
        *[
            (lambda dtype=dtype: cnncost.roofline(net(), "1x3x8x8", device="h100", dtype=dtype), "expected one of")
            for dtype in (3, torch.int64, "")
        ],
        *[
            (
                lambda how=how: cnncost.roofline(cnncost.analyze(net(), "1x3x8x8"), device="h100", **how),
                "a Report has been analyzed already",
            )
            for how in ({"inputs": "4x3x8x8"}, {"training": True}, {"inputs": "4x3x8x8", "autocast": "bf16"})
        ],
        (lambda: cnncost.compare("lenet5"), "expected several models"),
        (lambda: cnncost.compare(net()), "expected several models"),
        (lambda: cnncost.roofline(net(), "1x3x8x8", device="h1000"), "h1000"),
        (lambda: cnncost.roofline(net(), "1x3x8x8", device="h100", dtype="float7"), "float7"),
        (lambda: cnncost.check("nothing.toml"), "nothing.toml"),
        (
            lambda: cnncost.analyze(net(), np.array(["a"])),
            "inputs: an array of dtype <U1 can't be converted to a tensor",
        ),
        (
            lambda: cnncost.analyze(net(), {"input": np.array([None])}),
            "input: an array of dtype object can't be converted to a tensor",
        ),
        (lambda: cnncost.analyze(Path("nothing.py"), "1x3x8x8"), "nothing.py"),
    ],
)
def test_what_is_wrong(call: Any, told: str) -> None:
    with pytest.raises(cnncost.CnncostError, match=told):
        call()


def test_a_report_from_a_file_has_no_times(here: Path) -> None:
    cnncost.analyze(net(), "1x3x8x8").save("r.json")
    with pytest.raises(cnncost.CnncostError, match="has no graph; analyze the model itself"):
        cnncost.roofline("r.json", device="h100")


IMAGE = np.zeros((2, 3, 8, 8), np.float32)
ARRAYS = [
    pytest.param(IMAGE, id="alone"),
    pytest.param((IMAGE,), id="in a tuple"),
    pytest.param({"input": IMAGE}, id="by name"),
    pytest.param(cnncost.arguments(IMAGE), id="among arguments"),
    pytest.param(np.broadcast_to(np.float32(0), (2, 3, 8, 8)), id="read-only"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("inputs", ARRAYS)
def test_arrays_are_inputs(inputs: Any) -> None:
    report = cnncost.analyze(net(), inputs)
    assert report.inputs == (((2, 3, 8, 8), "float32"),)
    assert report.totals.macs == 2 * MACS


def test_an_arrays_values_are_read_as_a_tensors_are() -> None:
    class Cut(nn.Module):
        def forward(self, x: Any, lengths: Any) -> Any:
            return x[:, : int(lengths.max())]

    report = cnncost.analyze(Cut(), (torch.zeros(3, 9), np.array([2, 5, 3])))
    assert report.totals.output_shapes == ((3, 5),)


def test_paths_are_models(here: Path) -> None:
    report = cnncost.analyze(here / "net.py:build", "1x3x8x8")
    report.save(here / "r.json")
    assert cnncost.analyze(here / "r.json").totals == report.totals
    assert report.totals.macs == MACS
    assert [row.macs for row in cnncost.compare([cnncost.analyze(Path("r.json")), net()], "1x3x8x8")] == [MACS, MACS]


def test_programs_are_models() -> None:
    program = torch.export.export(net().eval(), (torch.zeros(2, 3, 8, 8),))
    report = cnncost.analyze(program)
    assert report.totals.macs == 2 * MACS
    assert report.totals.params == sum(p.numel() for p in net().parameters())
    assert cnncost.compare([program])[0].macs == 2 * MACS
    assert not cnncost.diff(program, program).changes
    with pytest.raises(cnncost.CnncostError, match="takes no arguments"):
        cnncost.analyze(program, model_args={"width": 3})
