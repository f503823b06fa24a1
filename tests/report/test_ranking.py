"""The largest layers first: order, ties, the row for what is left, every format, and what is refused."""

import csv
import io
import subprocess

import pytest
from torch import nn

import cnncost
from cnncost.errors import CnncostError
from cnncost.report.document import to_text
from cnncost.report.entries import entries
from cnncost.report.ranking import Ranking, ranked
from cnncost.report.rows import Op, Totals
from tests.cli.calls import exit_code


def order(report, by="layer", **asked):
    rows = report.layers if by == "layer" else report.ops
    found = ranked(report, by, Ranking(**asked))
    return [rows[index].label if by == "layer" else rows[index].name for index in found.order]


@pytest.fixture(scope="module")
def net():
    """Params 3·4·9+4 = 112, 0, 4·8+8 = 40 and 8·8+8 = 72 (called twice); MACs 3·4·9·64 = 6912, 0, 32, 64, 64."""
    shared = nn.Linear(8, 8)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 8), shared, shared
    )
    return cnncost.analyze(model, (1, 3, 8, 8))


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        pytest.param({"sort": "macs"}, ["0", "5", "5#2", "4", "1", "2", "3"], id="ties by FLOPs, then the first"),
        pytest.param({}, ["0", "5", "5#2", "4", "1", "2", "3"], id="MACs by default"),
        pytest.param({"sort": "share", "top": 2}, ["0", "5"], id="the share is that of MACs"),
        pytest.param({"sort": "params"}, ["0", "5", "4", "5#2", "1", "2", "3"], id="parameters: once, then by MACs"),
        pytest.param({"sort": "Params ", "top": 3}, ["0", "5", "4"], id="as people write it"),
        pytest.param({"sort": "written", "top": 2}, ["0", "1"], id="by its heading"),
        pytest.param({"sort": "bytes_written", "top": 2}, ["0", "1"], id="by its name"),
        pytest.param({"sort": "calls", "top": 2}, ["5", "5#2"], id="calls"),
        pytest.param({"top": 99}, ["0", "5", "5#2", "4", "1", "2", "3"], id="more than there are"),
    ],
)
def test_order(net, asked, names):
    assert order(net, **asked) == names


def test_a_model_without_macs_goes_by_flops():
    report = cnncost.analyze(nn.Sequential(nn.Flatten(), nn.ReLU(), nn.MaxPool1d(2)), (2, 3, 4))
    found = ranked(report, "layer", Ranking(top=1))
    assert (found.column.name, [report.layers[i].path for i in found.order]) == ("flops", ["1"])


def test_what_is_left_is_one_row_and_all_add_up(net):
    rows = entries(net, "layer", None, Ranking("macs", 2)).rows
    assert [row.name for row in rows] == ["0", "5", "5 more", "total"]
    for name in ("macs", "flops", "params", "bytes_read", "bytes_written", "buffers", "trainable_params"):
        assert sum(getattr(row.row, name) for row in rows[:-1]) == getattr(net.totals, name)
    assert rows[2].row.macs == 32 + 64
    assert not any("more" in row.name for row in entries(net, "layer", None, Ranking("macs", 7)).rows)


@pytest.mark.parametrize("by", ["layer", "op"])
def test_what_has_no_rule_keeps_its_mark(report, by):
    """An op without a rule comes last, for its size isn't known; where it is among the others, their sum is a bound."""
    odd = report("odd")
    found = ranked(odd, by, Ranking("macs", 1))
    assert isinstance(found.rest, Totals)
    assert found.rest.lower_bound is True
    text = to_text(odd, by=by, width=160, requested=Ranking("macs", 1))
    (line,) = [
        line for line in text.splitlines() if " more " in line and "lower bounds" not in line and "sum" not in line
    ]
    assert "≥" in line
    if by == "op":
        rows = [odd.ops[i] for i in ranked(odd, "op", Ranking()).order]
        assert [row.known for row in rows] == sorted([row.known for row in rows], reverse=True)
        assert isinstance(rows[-1], Op)


def test_further_columns_add_up_in_the_others(net):
    wide = net.with_memory()
    rows = entries(wide, "layer", None, Ranking("allocated", 1)).rows
    assert rows[0].row.allocated + rows[1].row.allocated == wide.totals.allocated
    assert entries(net, "layer", None, Ranking("macs", 1)).rows[1].row.allocated is None


def test_every_format(net):
    rows = list(csv.DictReader(io.StringIO(net.to_csv(sort="params", top=2))))
    assert [row["path"] for row in rows] == ["0", "5"]
    assert list(net.to_pandas(sort="params")["params"]) == [112, 72, 40, 0, 0, 0, 0]
    assert net.to_csv() != net.to_csv(sort="params")
    for text in (net.to_markdown(top=2), net.to_html(top=2), to_text(net, by="layer", requested=Ranking(None, 2))):
        assert "5 more" in text
        assert "sorted by MACs, largest first; 5 more: the sum of the others" in text
    assert "<details" not in net.to_html(sort="params")
    saved = type(net).from_json(net.to_json())
    assert saved.to_markdown(top=3) == net.to_markdown(top=3)


def test_the_bar_is_of_the_largest_layer_not_of_the_others():
    text = to_text(cnncost.analyze("resnet18"), by="layer", width=100, requested=Ranking(None, 3))
    lines = {line.split()[0]: line.count("█") for line in text.splitlines() if "%" in line}
    assert lines["conv1"] > 10
    assert lines["71"] == lines["total"] == 0


def test_the_legend_is_of_the_rows_shown():
    report = cnncost.analyze("resnet18")
    assert "(own): what it runs itself" in report.to_markdown()
    assert "(own)" not in report.to_markdown(top=2)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"sort": "mac"}, "sort: no column named 'mac'; did you mean macs?"),
        ({"sort": "time"}, "sort: no column named 'time'; expected one of calls, "),
        ({"sort": ""}, "sort: no column named ''"),
        ({"sort": "class"}, "sort: class has no sizes to sort by"),
        ({"sort": "output"}, "sort: output has no sizes"),
        ({"sort": "depth"}, "sort: no column named 'depth'"),
        ({"sort": "call"}, "sort: call has no sizes"),
        ({"sort": "kernel"}, "sort: kernel has no sizes"),
        ({"sort": "field"}, "sort: field has no sizes"),
        ({"sort": "allocated"}, "sort: allocated is a column of +memory, which was not requested"),
        ({"sort": "unmasked"}, "sort: unmasked is a column of +masks, which was not requested"),
        ({"sort": 3}, "sort=3: expected the name of a column"),
        ({"top": 0}, "top=0: expected a number of rows of at least 1"),
        ({"top": -1}, "top=-1"),
        ({"top": True}, "top=True"),
        ({"top": 2.0}, "top=2.0"),
        ({"top": "2"}, "top='2'"),
    ],
)
@pytest.mark.parametrize("form", ["to_markdown", "to_csv", "to_html", "to_pandas"])
def test_what_is_refused(net, form, asked, says):
    with pytest.raises(CnncostError) as error:
        getattr(net, form)(**asked)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--top", "3", "--depth", "2"), "leave out --depth and --by module"),
        (("--sort", "macs", "--by", "module"), "list layers or ops, not the tree"),
        (("--top", "3", "--format", "json"), "json contains all layers in the order they ran"),
        (("--top", "3", "--explain", "c1"), "leave out --sort and --top"),
        (("--top", "0"), "0 is not in the range"),
        (("--sort", "mac"), "did you mean macs?"),
    ],
)  # fmt: skip
def test_what_is_refused_on_the_command_line(tmp_path, python, arguments, says):
    place = () if "json" in arguments or "--explain" in arguments else ("-o", str(tmp_path / "x.md"))
    ran = subprocess.run(
        [*python, "-m", "cnncost", "summarize", "lenet5", *arguments, *place],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, *tmp_path.iterdir()) == (2, "")
    assert says in ran.stderr.splitlines()[-1]


def test_ops_in_html(tmp_path):
    target = tmp_path / "x.html"
    assert exit_code("summarize", "lenet5", "--by", "op", "--top", "2", "-o", str(target)) == 0
    assert "aten.linear" in target.read_text()
    assert "13 more" in target.read_text()


def test_on_the_command_line(tmp_path):
    target = tmp_path / "x.md"
    assert exit_code("summarize", "lenet5", "--sort", "params", "--top", "2", "-o", str(target)) == 0
    rows = [line for line in target.read_text().splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip(" `*") for row in rows[2:]] == ["c5", "f6", "12 more", "total"]
