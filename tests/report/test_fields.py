"""Receptive fields in reports: of one layer, and as columns."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

import cnncost
from cnncost.plots import fields as field_picture
from cnncost.render.csv import to_csv as document_csv
from cnncost.render.html import to_html
from cnncost.render.json import to_json
from cnncost.render.markdown import to_markdown
from cnncost.render.text import to_text
from cnncost.report import field_table
from cnncost.report.columns import FURTHER, table
from cnncost.report.document import page
from cnncost.report.fields import growth, growth_of, plain
from cnncost.report.model import Report


@pytest.fixture(scope="module")
def lenet():
    return cnncost.analyze("lenet5")


@pytest.fixture(scope="module")
def filled(lenet):
    return lenet.with_receptive_fields()


@pytest.mark.long
def test_plain_reports_have_no_such_columns_and_do_not_load_the_pass():
    code = (
        "import cnncost, sys\nreport = cnncost.analyze('lenet5')\n"
        "[f() for f in (report.to_csv, report.to_json, report.__str__, report.to_markdown)]\n"
        "print([m for m in sys.modules if m.startswith('cnncost') and ('receptive' in m or '.reach' in m)])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("by", ["layer", "module"])
def test_all_tables_have_the_columns(filled, by):
    columns, rows = table(filled, by)
    assert [column.name for column in columns if column in FURTHER] == ["receptive_field", "jump", "start"]
    by_path = {row.path: row for row in rows}
    assert by_path["s4"].receptive_field == (16, 16)
    assert by_path["f6"].jump == ("global", "global")


def test_containers_have_theirs():
    report = cnncost.analyze("resnet18").with_receptive_fields()
    assert report.module("layer3").receptive_field == (211, 211)
    assert report.module("").receptive_field == ("global", "global")


def test_csv_joins_the_axes(filled):
    assert "s2,Subsample,pool,1,1,1x6x14x14" in filled.to_csv()
    line = next(line for line in filled.to_csv().splitlines() if line.startswith("s2,"))
    assert line.endswith(",6x6,2x2,0x0,called,False")


def static(report):
    """The page without its program, which has these columns always."""
    return to_html(page(report))


@pytest.mark.parametrize("write", [Report.to_markdown, static, str], ids=["markdown", "html", "text"])
def test_people_see_one_number_for_equal_axes(filled, lenet, write):
    shown, plain = write(filled), write(lenet)
    assert "field" in shown
    assert "field" not in plain
    assert "global" in shown


def test_json_round_trip(filled, lenet):
    again = Report.from_json(filled.to_json())
    assert again == filled
    assert again.module("c3").receptive_field == (14, 14)
    assert again.with_receptive_fields() is again
    assert json.loads(filled.to_json())["layers"][0]["receptive_field"] == [5, 5]
    assert "receptive_field" not in lenet.to_json()


def test_asymmetric_fields_name_each_axis():
    report = cnncost.analyze(nn.Sequential(nn.Conv2d(1, 1, (1, 5))), "1x1x9x9").with_receptive_fields()
    assert "1×5" in str(report)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.never = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.conv(self.conv(x))


def test_calls_of_a_shared_module():
    report = cnncost.analyze(Shared(), "1x1x9x9")
    assert report.receptive_field("conv").size == (3, 3)
    assert report.receptive_field("conv#2").size == (5, 5)
    assert [layer.receptive_field for layer in report.with_receptive_fields().layers] == [(3, 3), (5, 5), None]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("con", r"module 'con': the model has no module of this path; did you mean conv"),
        ("never", r"module 'never': it was never called, so it has no receptive field"),
        ("conv#3", r"module 'conv#3': the model has no module of this path; did you mean conv#2"),
    ],
)
def test_layers_that_have_none(path, message):
    with pytest.raises(cnncost.CnncostError, match=message):
        cnncost.analyze(Shared(), "1x1x9x9").receptive_field(path)


def test_reports_from_files_have_no_graph(lenet):
    with pytest.raises(cnncost.CnncostError, match="lenet5: a report that was read from a file has no graph"):
        Report.from_json(lenet.to_json()).receptive_field("c1")


def test_models_without_space():
    report = cnncost.analyze(nn.Sequential(nn.Linear(4, 3)), (2, 4))
    with pytest.raises(
        cnncost.CnncostError, match="module '0': no receptive field: none of the inputs has spatial axes"
    ):
        report.receptive_field("0")
    with pytest.raises(cnncost.CnncostError, match="no receptive fields: none of the inputs"):
        growth(report)
    assert report.with_receptive_fields() == report


def test_growth_marks_what_sees_more(lenet):
    assert [row.path for row in growth(lenet) if row.grew] == ["c1", "s2", "c3", "s4", "c5", "f6"]
    assert [row.path for row in growth(lenet)][:3] == ["c1", "squash1", "s2"]


class Functional(nn.Module):
    """No modules; all that its forward runs is functional."""

    def forward(self, x):
        x = functional.max_pool2d(functional.conv2d(x, torch.ones(4, 3, 3, 3), padding=1), 2)
        tokens = x.flatten(2).transpose(1, 2)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens)


class EndsFunctional(nn.Module):
    """A 3×3 layer, then 7×7 in its own forward: 3 + 6 positions."""

    def __init__(self):
        super().__init__()
        self.conv, self.weight = nn.Conv2d(3, 4, 3, padding=1), nn.Parameter(torch.ones(4, 4, 7, 7))

    def forward(self, x):
        return functional.conv2d(self.conv(x), self.weight, padding=3)


class AddsLast(nn.Module):
    """Its own forward adds, which lets units see no more."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x) + x


G = ("global", "global")


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        pytest.param(Functional(), [("", G, True)], id="nothing but functions"),
        pytest.param(EndsFunctional(), [("conv", (3, 3), True), ("", (9, 9), True)], id="functions at the end"),
        pytest.param(AddsLast(), [("conv", (3, 3), True), ("", (3, 3), False)], id="functions that leave the field"),
        pytest.param(nn.Conv2d(3, 4, 5), [("", (5, 5), True)], id="one layer"),
        pytest.param(nn.Sequential(nn.Conv2d(3, 4, 5)), [("0", (5, 5), True)], id="a container that runs nothing"),
    ],
)
def test_the_models_own_forward_is_the_last_row(model, rows):
    found = growth(cnncost.analyze(model, "1x3x16x16"))
    assert [(row.path, plain(row.field.size), row.grew) for row in found] == rows


@pytest.mark.parametrize("name", ["", "(own)", "(the model itself)", "EndsFunctional"])
def test_the_model_by_the_names_that_it_has_in_tables(name):
    report = cnncost.analyze(EndsFunctional(), "1x3x16x16")
    assert report.receptive_field(name).size == (9, 9)
    assert growth_of(report, name, growth(report)).name == "(the model itself)"


def test_the_models_own_forward_has_a_name_in_what_people_read():
    report = cnncost.analyze(Functional(), "1x3x8x8")
    rows = growth(report)
    document = field_table.document(report, rows)
    assert "| `(the model itself)` | Functional | 16 | global |" in to_markdown(document)
    text = to_text(document, 80)
    assert "first to see all of the input: (the model itself)" in text
    assert document_csv(document).splitlines()[1].startswith(",Functional,0,8x8,16,globalxglobal")
    assert json.loads(to_json(document))["layers"][0]["path"] == ""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "model", [Functional(), EndsFunctional()], ids=["nothing but functions", "functions at the end"]
)
def test_a_picture_of_functional_code(tmp_path, model):
    pytest.importorskip("matplotlib")
    report = cnncost.analyze(model, "1x3x8x8")
    rows = growth(report)
    target = tmp_path / "fields.svg"
    field_picture.draw(str(target), report, rows, field_picture.default_boxes(rows))
    drawn = target.read_text(encoding="utf-8")
    assert ("(the model itself): 9" in drawn) == isinstance(model, EndsFunctional)
    assert ("global" in drawn) == isinstance(model, Functional)


@pytest.mark.parametrize(
    ("kernels", "lines"),
    [
        pytest.param([(3, 3, 3), (3, 3, 3)], [("size", [3, 5])], id="all alike"),
        pytest.param([(3, 3, 3), (1, 3, 3)], [("axis 0", [3, 3]), ("axes 1, 2", [3, 5])], id="two alike"),
        pytest.param(
            [(3, 3, 3), (1, 3, 5)], [("axis 0", [3, 3]), ("axis 1", [3, 5]), ("axis 2", [3, 7])], id="alike at first"
        ),
    ],
)
def test_each_axis_is_seen_in_a_picture(kernels, lines):
    """By a line of its own pattern, or one for axes of the same sizes."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    report = cnncost.analyze(nn.Sequential(*(nn.Conv3d(1, 1, kernel) for kernel in kernels)), "1x1x9x10x11")
    axes = figure.add_subplot()
    field_picture._growth(axes, growth(report), ())
    drawn = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert [(line.get_label(), list(line.get_ydata())) for line in drawn] == lines
    assert len({str(line._unscaled_dash_pattern) for line in drawn}) == len(lines)
    assert {text.get_text() for text in axes.texts} == {"input 9", "input 10", "input 11"}


def test_no_picture_of_nothing(lenet):
    pytest.importorskip("matplotlib")
    with pytest.raises(cnncost.CnncostError, match="nothing sees the input"):
        field_picture.draw("fields.png", lenet, (), ())


def test_share_of_the_image(lenet):
    field = lenet.receptive_field("s4")
    assert field.share == cnncost.analyze("lenet5").receptive_field("s4").share
    assert float(field.share) == (16 / 32) ** 2
    assert not field.sees_all
    assert lenet.receptive_field("c5").sees_all
