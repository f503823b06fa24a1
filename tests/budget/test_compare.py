"""Models side by side, and the Pareto front."""

import csv
import io
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cnncost as library
from cnncost.budget.compare import dominates
from cnncost.render.formats import FORMATS


@pytest.fixture
def compare(project, cnncost):
    """Run `cnncost compare`."""
    return lambda *arguments: cnncost("compare", *arguments)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=8))
def test_the_front_is_what_nothing_beats(costs):
    """By definition: for every other one, some cost is higher, or all are equal."""
    front = [own for own in costs if not any(dominates(other, own) for other in costs)]
    expected = [
        own for own in costs
        if all(other == own or any(theirs > mine for theirs, mine in zip(other, own, strict=True)) for other in costs)
    ]  # fmt: skip

    assert front == expected
    assert front


def test_beating_is_an_order():
    costs = list(itertools.product(range(2), repeat=3))

    assert not any(dominates(a, b) and dominates(b, a) for a in costs for b in costs)
    assert all(dominates((0, 0, 0), other) for other in costs[1:])


def test_figures_are_the_reports(compare):
    code, out, err = compare("lenet5", "vgg11", "resnet18", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))

    assert (code, err) == (0, "")
    for row in rows:
        totals = library.analyze(row["name"]).totals
        assert (int(row["params"]), int(row["macs"]), int(row["flops"])) == (totals.params, totals.macs, totals.flops)
        assert int(row["weight_bytes"]) == totals.param_bytes + totals.buffer_bytes
    assert [row["front"] for row in rows] == ["True", "False", "False"]


def test_a_table_marks_the_front(compare):
    lines = compare("vgg11", "resnet18", "alexnet")[1].splitlines()

    assert [line.split()[:2] for line in lines[2:5]] == [["vgg11", "132,863,336"], ["resnet18", "◆"], ["alexnet", "◆"]]


def test_saved_reports_and_models(compare, cnncost):
    cnncost("summarize", "lenet5", "-o", "a.json")
    data = json.loads(compare("a.json", "net.py:Net", "--input", "1x3x8x8", "--format", "json")[1])

    assert [row["name"] for row in data["models"]] == ["a.json", "net.py:Net"]
    assert data["models"][0]["params"] == 60_000


@pytest.mark.parametrize("peak", [None, 600 * 2**20])
@pytest.mark.parametrize("columns", [60, 80, 160])
def test_no_line_is_longer_than_the_terminal(compare, monkeypatch, columns, peak):
    monkeypatch.setattr("cnncost.budget.compare._peak", lambda report: peak)
    monkeypatch.setenv("COLUMNS", str(columns))

    assert max(map(len, compare("resnet152", "vgg19", "alexnet_two_gpu")[1].splitlines())) <= columns


def test_markdown_in_a_file(compare, project):
    assert compare("lenet5", "lenet1", "-o", "out.md")[:2] == (0, "")
    assert "| **lenet1 ◆** | 1×1×28×28 | 2,578 |" in (project / "out.md").read_text()


@pytest.mark.long
@pytest.mark.parametrize("name", ["out.svg", "out.png", "out.pdf"])
def test_a_picture_is_the_same_each_time(compare, project, name):
    """And the table is printed beside it, as by every command."""
    table = compare("lenet5", "lenet1", "alexnet")
    assert table[0] == 0
    assert "lenet1 ◆" in table[1]
    assert compare("lenet5", "lenet1", "alexnet", "--picture", name) == table
    first = (project / name).read_bytes()
    compare("lenet5", "lenet1", "alexnet", "--picture", name)

    assert (project / name).read_bytes() == first
    assert len(first) > 5000


def test_the_picture_names_every_model_and_both_axes(compare, project):
    compare("lenet5", "lenet1", "alexnet", "--picture", "out.svg")
    text = (project / "out.svg").read_text()

    assert [
        name for name in ("lenet5", "lenet1", "alexnet", "parameters", "MACs") if f"<!-- {name} -->" not in text
    ] == []


def test_without_matplotlib_the_remedy_is_told(compare, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    code, out, err = compare("lenet5", "--picture", "out.svg")

    assert (code, out) == (2, "")
    assert "pip install 'cnncost[plots]'" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument"),
        (["lenet5", "nothing"], "no network of this name"),
        (["lenet5", "--picture", "no/where.svg"], "does not exist"),
        (["lenet5", "-o", "no/where.md"], "does not exist"),
        (["lenet5", "-o", "x.gif"], f"ends in {FORMATS.usual_endings}, got .gif"),
        (["lenet5", "--picture", "x.gif"], "ends in .png, .svg, .pdf, got .gif"),
        (["lenet5", "--picture", "x.svg", "-o", "y.svg"], "-o is for tables"),
        (["lenet5", "-o", "x.svg", "--format", "csv"], "--format is for tables"),
        (["b.json"], "b.json: can't be read"),
    ],
)
def test_what_is_wrong(compare, arguments, told):
    code, out, err = compare(*arguments)

    assert (code, out) == (2, "")
    assert told in err
