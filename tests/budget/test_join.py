"""A user's table beside a comparison: what is joined, what matches nothing, the front, and what is refused."""

import csv
import io
import json
import re
from typing import NamedTuple

import pytest

import cnncost
from cnncost.budget.compare import Compared
from cnncost.budget.join import Quality, join, read
from cnncost.budget.render.compare import document
from cnncost.cli import main
from cnncost.errors import InputError
from cnncost.render.csv import to_csv
from cnncost.render.json import to_json
from cnncost.render.layout import plain
from cnncost.render.text import to_lines


def row(name, macs=1, model="", sizes=(), batch=1):
    return Compared(name, (), 1, macs, 2 * macs, 4, 8, False, batch, False, model or name, sizes)


ROWS = (row("small", 10), row("middle", 20), row("large", 30), row("huge", 40))


def table(tmp_path, text, name="accuracy.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path)


@pytest.mark.parametrize(
    ("text", "columns", "values"),
    [
        pytest.param("model,top1\nsmall,70.5\nhuge,80\n", ("top1",), [70.5, None, None, 80], id="by name"),
        pytest.param("top1,Model\n70.5%,small\n", ("top1",), [70.5, None, None, None], id="a percent sign, any order"),
        pytest.param("model,top1\nsmall,70.123456\n", ("top1",), [70.123456, None, None, None], id="all digits"),
        pytest.param('model,top1\n"small",1\n\n , \nlarge,-\n', ("top1",), [1, None, None, None], id="blank lines"),
        pytest.param("\ufeffmodel,by\nsmall,me\n", ("by",), ["me", None, None, None], id="a mark of byte order"),
        pytest.param("model,top1\r\nsmall,1e1\r\n", ("top1",), [10.0, None, None, None], id="Windows lines"),
        pytest.param("model,top1\nsmall\nlarge,2\n", ("top1",), [None, None, 2, None], id="a short row"),
        pytest.param("model,top1\nsmall,nan\nlarge,N/A\nhuge,?\n", ("top1",), [None] * 4, id="what is no number"),
        pytest.param('model,note\nsmall,"a, b"\n', ("note",), ["a, b", None, None, None], id="a comma in quotes"),
    ],
)
def test_what_is_joined(tmp_path, text, columns, values):
    found = join(ROWS, table(tmp_path, text))
    assert found.columns == columns
    assert [dict(each.joined)[columns[0]] for each in found.rows] == values


@pytest.mark.parametrize(
    ("column", "values", "asked", "more", "front"),
    [
        pytest.param("top1", (50, 60, 55, 70), None, True, "small middle huge", id="more is better"),
        pytest.param("top1", (60, 60, 60, 60), None, True, "small", id="equal: the cheapest"),
        pytest.param("top1", (50, "", 55, ""), None, True, "small large", id="missing values are on no front"),
        pytest.param("error", (50, 40, 45, 30), None, False, "small middle huge", id="of an error less is better"),
        pytest.param("val_loss", (5, 4, 4, 4), None, False, "small middle", id="of a loss too"),
        pytest.param("size", (5, 4, 3, 4), "-size", False, "small middle large", id="stated: less"),
        pytest.param("terror", (1, 2, 3, 4), "terror", True, "small middle large huge", id="a word within a word"),
        pytest.param("error", (4, 3, 2, 1), "-error", False, "small middle large huge", id="stated twice"),
        pytest.param("-x", (1, 2, 3, 4), "-x", True, "small middle large huge", id="a column that begins with a dash"),
    ],
)
def test_the_front(tmp_path, column, values, asked, more, front):
    lines = [f"{each.name},{value}" for each, value in zip(ROWS, values, strict=True)]
    found = join(ROWS, table(tmp_path, "\n".join([f"model,{column}", *lines])), asked)
    assert found.quality == Quality(column, more)
    assert [each.name for each in found.rows if each.front] == front.split()


def test_the_first_column_with_numbers_is_set_against_macs(tmp_path):
    found = join(ROWS, table(tmp_path, "model,by,top5,top1\nsmall,me,90,70\n"))
    assert found.quality == Quality("top5", True)
    assert join(ROWS, table(tmp_path, "model,by\nsmall,me\n")).quality is None


def test_no_front_where_batch_sizes_differ(tmp_path):
    rows = (row("a", batch=1), row("b", batch=2))
    assert not any(each.front for each in join(rows, table(tmp_path, "model,top1\na,1\nb,2\n")).rows)


def test_names_that_match_nothing_are_said(tmp_path):
    found = join(ROWS, table(tmp_path, "model,top1\nsmall,1\nlarge,2\ntiny,3\nodd,4\n"))
    path = tmp_path / "accuracy.csv"
    assert found.notes == (f"{path} has no row for middle, huge", f"{path}: rows that match no model: tiny, odd")
    text = " ".join(" ".join(map(plain, to_lines(document(found.rows, found), 200))).split())
    assert all(note in text for note in found.notes)
    assert "Pareto front of top1 (more is better) and MACs" in text
    assert join(ROWS[:1], table(tmp_path, "model,top1\nsmall,1\n")).notes == ()


def test_rows_by_model_and_size(tmp_path):
    rows = [
        row(f"net size={size} batch={batch}", size, "net", (("size", size), ("batch", batch)))
        for size in (1, 2) for batch in (3, 4)
    ]  # fmt: skip
    found = join(rows, table(tmp_path, "model,size,top1\nnet,1,50\nnet,2,60\n"))
    assert (found.columns, [dict(each.joined)["top1"] for each in found.rows]) == (("top1",), [50, 50, 60, 60])
    found = join(rows, table(tmp_path, "model,top1\nnet,50\n"))
    assert [dict(each.joined)["top1"] for each in found.rows] == [50] * 4
    found = join(rows, table(tmp_path, "model,top1\nnet size=1 batch=3,7\nnet,50\n"))
    assert [dict(each.joined)["top1"] for each in found.rows] == [7, 50, 50, 50]


@pytest.mark.parametrize(
    ("text", "unknown", "fronted"),
    [
        pytest.param("model,top1\nnet,70\n", "size, depth", "", id="one row for all sizes"),
        pytest.param("model,size,top1\nnet,1,60\nnet,2,70\n", "depth", "", id="one of two is known"),
        pytest.param("model,top1\nnet size=1 depth=3,60\nnet size=2 depth=4,70\n", "", "1,3 2,4", id="own rows"),
        pytest.param("model,size,depth,top1\nnet,1,3,60\nnet,2,4,70\nnet,2,3,50\n", "", "1,3 2,4", id="all are known"),
        pytest.param("model,by\nnet,me\n", "size, depth", None, id="no numbers: the front is of costs"),
    ],
)
def test_a_value_of_no_certain_size_is_on_no_front(tmp_path, text, unknown, fronted):
    """An accuracy without its size would stand at all of them, and make the smallest size the best."""
    rows = [
        row(f"net size={size} depth={depth}", size + depth, "net", (("size", size), ("depth", depth)))
        for size in (1, 2) for depth in (3, 4)
    ]  # fmt: skip
    found = join(rows, table(tmp_path, text))
    said = f"has no column {unknown}: one row applies to all of its values"
    text = " ".join(" ".join(map(plain, to_lines(document(found.rows, found), 200))).split())
    assert (said in text) is bool(unknown)
    if fronted is not None:
        front = [",".join(str(n) for _, n in each.sizes) for each in found.rows if each.front]
        assert front == fronted.split()
        assert ("no model is on the Pareto front" in text) is (not fronted)


def test_a_column_of_a_varying_sizes_name_is_refused(tmp_path):
    """A size called as a column of the comparison has its own as `vary_ratio`."""
    varied = [row(f"net ratio={n}", n, "net", (("ratio", n),)) for n in (1, 2)]
    with pytest.raises(InputError, match="a column named vary_ratio: the comparison has its own"):
        join(varied, table(tmp_path, "model,vary_ratio\nnet,50\n"))


def test_formats_have_numbers(tmp_path):
    found = join(ROWS, table(tmp_path, "model,top1,by\nsmall,70.25,me\nlarge,71,you\n"))
    lines = list(csv.DictReader(io.StringIO(to_csv(document(found.rows, found)))))
    assert [line["top1"] for line in lines] == ["70.25", "", "71", ""]
    data = json.loads(to_json(document(found.rows, found)))["models"]
    assert [(each["top1"], each["by"]) for each in data][:3] == [(70.25, "me"), (None, None), (71, "you")]


@pytest.mark.parametrize(
    ("text", "asked", "says"),
    [
        pytest.param("", None, "empty; expected CSV", id="empty"),
        pytest.param("\n \n", None, "empty; expected CSV", id="blank"),
        pytest.param("name,top1\nsmall,1\n", None, "expected a column named model", id="no model"),
        pytest.param("model;top1\nsmall;1\n", None, "commas between columns; got model;top1", id="semicolons"),
        pytest.param("model\nsmall\n", None, "no column besides model", id="one column"),
        pytest.param("model,a,a\nsmall,1,2\n", None, "two columns named 'a'", id="a column twice"),
        pytest.param("model,Model\nsmall,1\n", None, "two columns named 'model'", id="model twice"),
        pytest.param("model,top1\nsmall,1,2\n", None, "accuracy.csv:2: expected 2 cells, got 3", id="a long row"),
        pytest.param("model,top1\nsmall,1\n,2\n", None, "accuracy.csv:3: expected the name of a model", id="no name"),
        pytest.param(
            "model,top1\nsmall,1\nlarge,2\n\nsmall,1\n", None,
            "accuracy.csv:5: a second row for small (the first is line 2)", id="a row twice",
        ),
        pytest.param("model,macs\nsmall,1\n", None, "a column named macs: the comparison has its own", id="own column"),
        pytest.param("model,memory\nsmall,1\n", None, "a column named memory", id="another own column"),
        pytest.param("model,ratio\nsmall,1\n", None, "a column named ratio", id="an own column for people"),
        pytest.param("model,bar\nsmall,1\n", None, "a column named bar", id="the column of bars"),
        pytest.param(
            "model,top1\nsmall,0.7\n\nlarge,81.2%\n", None,
            "accuracy.csv:4: column top1: 81.2%, but line 2 is not in %", id="numbers in % and without",
        ),
        pytest.param(
            "model,top1,e\nsmall,-,1\nlarge,80%,1\nhuge,0.81,2\n", None,
            "accuracy.csv:4: column top1: 0.81, but line 3 is in %", id="numbers without % after some with it",
        ),
        pytest.param("model,top1\nsmal,1\n", None, "large, huge; did you mean smal?", id="near"),
        pytest.param("model,top1\nxyz,1\n", None, "it has xyz", id="nothing near"),
        pytest.param("model,top1\n", None, "it has no rows", id="no rows"),
        pytest.param("model,top1\nsmall,1\n", "top5", "no column named 'top5'; did you mean top1?", id="no quality"),
        pytest.param("model,top1\nsmall,1\n", "-", "no column named ''", id="a dash alone"),
        pytest.param("model,by\nsmall,me\n", "by", "column by: expected numbers, got 'me'", id="a text"),
        pytest.param("model,top1\nsmall,-\nodd,1\n", "top1", "expected numbers, got nothing for these", id="no number"),
        pytest.param("model,top1\nsmall,1 000\n", "top1", "expected numbers, got '1 000'", id="a space in a number"),
        pytest.param(b"model,top1\nsm\xffall,1\n", None, "not UTF-8 text", id="not UTF-8"),
        pytest.param(b'model,top1\nsmall,"' + b"1" * 200_000 + b'"\n', None, "not CSV", id="a field without end"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, text, asked, says):
    with pytest.raises(InputError) as error:
        join(ROWS, table(tmp_path, text), asked)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", ["nowhere.csv", ".", "nul\0.csv"])
def test_a_file_that_is_none(tmp_path, place):
    with pytest.raises(InputError, match="can't be read"):
        read(f"{tmp_path}/{place}")


class Ran(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def compared(capsysbinary, monkeypatch):
    def run(*arguments, cwd=None):
        if cwd is not None:
            monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as left:
            main(["compare", *arguments])
        out, err = capsysbinary.readouterr()
        return Ran(int(left.value.code or 0), out.decode(), err.decode())

    return run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lenet5", "--join", "none.csv"), "none.csv: can't be read: No such file"),
        (("lenet5", "--join", "published"), "join published: no package states an accuracy of these models"),
        (("lenet5", "--quality", "top1"), "--quality names a column of --join"),
        (("lenet5", "--join", "a.csv", "--quality", "top5"), "no column named 'top5'"),
        (("lenet1", "--join", "a.csv"), "no row for lenet1; did you mean lenet5?"),
        (("lenet5", "--vary", "size"), "expected its sizes"),
        (("lenet5", "--vary", "size=16..64"), "expected a step, such as size=16..64:24 or size=16,64"),
        (("lenet5", "--vary", "width=a"), "such as width=16,32,64 or width=16..64:16, got 'a'"),
        (("lenet5", "--vary", "size=32"), "expected several sizes"),
        (("lenet5", "--vary", "size=0,32"), "expected sizes from 1"),
        (("lenet5", "--vary", "batch=1..1000:1"), "1,000 combinations of sizes; expected at most 256"),
        (("lenet5", "--vary", "batch=1,2", "--batch", "4"), "--vary batch: --batch also sets it"),
        (("lenet5", "--vary", "n=1,2", "--model-args", "n=1"), "--vary n: --model-args also sets it"),
        (("lenet5", "--vary", "sizes=1,2"), "sizes"),
        (("lenet5", "--vary", "batch=1,2", "--vary", "batch=3,4"), "batch is given twice"),
        (("cost.json", "--vary", "batch=1,2"), "cost.json is a saved report"),
    ],
)
def test_what_is_refused_on_the_command_line(compared, tmp_path, arguments, says):
    (tmp_path / "a.csv").write_text("model,top1\nlenet5,1\n")
    cnncost.analyze("lenet5").save(tmp_path / "cost.json")
    before = sorted(tmp_path.iterdir())
    ran = compared(*arguments, "-o", "out.md", "--picture", "out.svg", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, sorted(tmp_path.iterdir())) == (2, "", before), ran.stderr
    assert says in ran.stderr.splitlines()[-1]


def test_table_and_picture(compared, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "a.csv").write_text("model,top1,error\nlenet5,99,1.0\nlenet300,97,3\n")
    ran = compared(
        "lenet5", "lenet300", "--join", "a.csv", "--quality", "error", "-o", "x.md", "--picture", "x.svg", cwd=tmp_path
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.search(r"lenet5.* \| \**99\** \| \**1.0\** \|", (tmp_path / "x.md").read_text())
    assert "error (less is better)" in (tmp_path / "x.svg").read_text()


def test_from_python(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("model,top1\nlenet5,99\nodd,1\n")
    with pytest.warns(UserWarning, match="rows that match no model: odd"):
        (found,) = cnncost.compare(["lenet5"], join=path)
    assert (dict(found.joined), found.front) == ({"top1": 99}, True)
    with pytest.raises(InputError, match="quality names a column of join"):
        cnncost.compare(["lenet5"], quality="top1")
