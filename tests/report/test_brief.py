"""What a Python prompt, a debugger and a notebook show of a result: one line, or a small table."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

import cnncost
from cnncost.report.brief import Rows
from cnncost.report.model import Report
from tests.report.signs import explained, shown

LONG = 700
"""Characters: six lines of a terminal. A report of some hundred layers has 100,000 and more, written out."""


LIBRARY = torch.library.Library("cnncost_test_brief", "DEF")
LIBRARY.define("mystery(Tensor x) -> Tensor")
LIBRARY.impl("mystery", torch.empty_like, "Meta")


class Odd(nn.Module):
    """Has an op without a rule, behind one that has one."""

    def forward(self, x: Any) -> Any:
        return torch.ops.cnncost_test_brief.mystery(nn.functional.relu(x))


@pytest.fixture(scope="module")
def deep() -> Report:
    return cnncost.analyze("resnet50", "2x3x64x64", training=True)


def test_a_report_is_one_line_with_what_it_costs(deep: Report) -> None:
    totals = deep.totals
    assert repr(deep) == (
        f"<Report of resnet50 (ResNet) on 2x3x64x64 float32: {totals.params:,} params, {totals.macs:,} MACs, "
        f"{totals.flops:,} FLOPs>"
    )
    assert str(deep).splitlines()[0].startswith("resnet50 (ResNet), input 2×3×64×64")
    assert "total" in str(deep)


@pytest.mark.parametrize(
    "part",
    ["layers", "ops", "phases", "modules", "totals", "memory", "memory.inference", "memory.training", "graph",
     "training"],
)  # fmt: skip
def test_its_parts_are_short(deep: Report, part: str) -> None:
    value: Any = deep
    for name in part.split("."):
        value = getattr(value, name)
    assert len(repr(value)) < LONG
    assert "\n" not in repr(value)


@pytest.mark.parametrize("part", ["", "layers", "ops", "phases", "modules", "totals", "memory"])
def test_a_notebook_shows_tables(deep: Report, part: str) -> None:
    page = (getattr(deep, part) if part else deep)._repr_html_()
    assert page.startswith("<style>")
    assert page.count("<div") == page.count("</div>")
    assert not part or page.count("<tr>") == page.count("</tr>") <= 62


def test_rows_are_the_tuple_that_they_were(deep: Report) -> None:
    assert isinstance(deep.layers, tuple)
    assert deep.layers[:1] == (deep.layers[0],)
    assert Report.from_json(deep.to_json()).layers == deep.layers == tuple(deep.layers)
    for other in (deep.with_receptive_fields(), deep.with_memory(), Report.from_json(deep.to_json())):
        assert type(other.layers) is type(other.ops) is type(other.modules) is Rows
        assert len(repr(other)) < LONG


def test_names_of_rows() -> None:
    report = cnncost.analyze(nn.Sequential(*[nn.ReLU() for _ in range(9)]), "1x3")
    assert repr(report.layers) == "<9 layers: 0, 1, 2, ..., 8>"
    assert repr(report.modules) == "<10 modules: the model, 0, 1, ..., 8>"
    assert repr(report.ops) == "<1 op: aten.relu>"
    assert repr(report.phases) == "<0 rows>"
    assert repr(cnncost.analyze(nn.Sequential(*[nn.ReLU()] * 4), "1x3").layers) == "<4 layers: 0, 0#2, 0#3, 0#4>"


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ((), ""),
        (("1x3",), " on 1x3 float32"),
        (("scalar:int64", "1x3"), " on scalar int64, 1x3 float32"),
        (("1x3",) * 5, " on 1x3 float32, 1x3 float32, 1x3 float32 and 2 more"),
    ],
)
def test_inputs_in_the_line(inputs: tuple[str, ...], told: str) -> None:
    class Takes(nn.Module):
        def forward(self, *tensors: Any) -> Any:
            return [tensor + 1 for tensor in tensors]

    line = repr(cnncost.analyze(Takes(), inputs))
    assert line.startswith(f"<Report of Takes{told}: 0 params, 0 MACs, ")


def test_a_name_with_control_characters_stays_one_line() -> None:
    assert "\x1b" not in (line := repr(cnncost.analyze(nn.ReLU(), "1x3", name="a\nb\x1b[31m")))
    assert "\n" not in line


def test_bounds_are_marked() -> None:
    report = cnncost.analyze(Odd(), "2x8")
    assert report.unknown
    assert repr(report.totals) == "<Totals: 0 params, >=0 MACs, >=16 FLOPs>"
    assert repr(report).endswith(": 0 params, >=0 MACs, >=16 FLOPs>")
    assert ">≥16<" in report.totals._repr_html_()
    assert ">≥16<" in report.layers._repr_html_()  # type: ignore[attr-defined]
    for part in (report.totals, report.layers, report.ops):
        text = part._repr_html_()
        assert explained(text, "html") == shown(text, "html") > set()
    assert ">?<" in report.ops._repr_html_()  # type: ignore[attr-defined]


def test_many_rows_are_cut_in_a_notebook() -> None:
    page = cnncost.analyze(nn.Sequential(*[nn.ReLU() for _ in range(100)]), "1x3").layers._repr_html_()  # type: ignore[attr-defined]
    assert page.count("<tr>") == 1 + 60
    assert "and 40 more rows" in page


def test_html_is_escaped() -> None:
    model = nn.Sequential()
    model.add_module("<script>", nn.ReLU())
    assert "<script>" not in cnncost.analyze(model, "1x3").layers._repr_html_()  # type: ignore[attr-defined]


def test_a_meter_tells_what_it_has_and_analyzes_nothing() -> None:
    """The model is analyzed at the first step, and not to be shown."""
    ticks = iter(range(1000))
    meter = cnncost.Meter(nn.Linear(4, 5), "2x4", training=False, clock=lambda: float(next(ticks)))
    assert repr(meter) == "<Meter of Linear, inference: 0 steps measured>"
    assert "0 steps measured" in meter._repr_html_()
    assert meter.report is None
    meter.step()
    meter.step()
    assert re.fullmatch(r"<Meter of Linear, inference: 1 step measured, 2.0 examples/s, .* GFLOP/s>", repr(meter))
    assert '<th scope="row">examples per second</th>' in meter._repr_html_()


def test_a_meter_without_inputs_has_a_repr() -> None:
    meter = cnncost.Meter(nn.Linear(4, 5), warmup=0)
    meter.step()
    assert repr(meter) == "<Meter of Linear, training: 1 step measured>"


BUDGETS = '[[budget]]\nmodel = "lenet5"\nmacs = "<= 1G"\nparams = "<= 1k"\n'
SHORT = 300
RESULTS = {
    "diff": lambda _: cnncost.diff("lenet5", "lenet1"),
    "roofline": lambda _: cnncost.roofline("lenet5", device="a100"),
    "check": cnncost.check,
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_one_line_and_its_text_the_table(name: str, tmp_path: Any) -> None:
    (tmp_path / "cnncost.toml").write_text(BUDGETS)
    found = RESULTS[name](tmp_path / "cnncost.toml")
    assert len(repr(found)) < SHORT
    assert "\n" not in repr(found)
    assert len(str(found).splitlines()) > 3
    assert max(map(len, str(found).splitlines())) <= 100
    assert "<table>" in found._repr_html_()
    assert "lenet5" in str(found) + repr(found)


def test_what_results_hold_is_short_too(tmp_path: Any) -> None:
    """Single objects; a dict or a tuple is as long as what it has."""
    (tmp_path / "cnncost.toml").write_text(BUDGETS)
    report = cnncost.analyze("lenet5", training=True)
    (checked,) = cnncost.check(tmp_path / "cnncost.toml").models
    found = cnncost.diff("lenet5", "lenet1")
    held = [
        checked, found.old, found.new, cnncost.roofline(report, device="a100").roofline, report.memory,
        report.memory.inference, report.memory.training, report.totals, report.graph,
    ]  # fmt: skip
    assert [each for each in held if each is None or len(repr(each)) >= SHORT or "\n" in repr(each)] == []


def test_figures_of_a_result_are_in_its_line(tmp_path: Any) -> None:
    """LeNet-5's and LeNet-1's totals are those of their own reports."""
    (tmp_path / "cnncost.toml").write_text(BUDGETS)
    old, new = cnncost.analyze("lenet5").totals, cnncost.analyze("lenet1").totals
    assert f"params {new.params - old.params:+,}, macs {new.macs - old.macs:+,}" in repr(
        cnncost.diff("lenet5", "lenet1")
    )
    assert "over" in repr(cnncost.check(tmp_path / "cnncost.toml"))
    assert "1 of 2 limits kept" in repr(cnncost.check(tmp_path / "cnncost.toml").models[0])
