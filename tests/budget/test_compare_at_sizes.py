"""Models at several sizes in one table: each row is what an analysis at these sizes gives."""

import csv
import io
import json
import textwrap

import pytest
from torch import nn

import cnncost
from cnncost.cli import main
from cnncost.errors import CnncostError, InputError
from cnncost.laws.points import parse_lists

NET = """
    from torch import nn

    def build(width=8, depth=1):
        layers = [nn.Conv2d(3, width, 3, padding=1)]
        layers += [nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)]
        return nn.Sequential(*layers)

    class Plain(nn.Module):
        def forward(self, x):
            return x * 2
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    return tmp_path


@pytest.fixture
def compare(capsysbinary, monkeypatch):
    def run(*arguments, cwd=None):
        if cwd is not None:
            monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as left:
            main(["compare", *arguments])
        assert not left.value.code
        return capsysbinary.readouterr().out.decode()

    return run


@pytest.mark.parametrize(
    ("vary", "rows"),
    [
        pytest.param(("width=4,8",), {(4,): 3 * 4 * 9 + 4 * 4 * 9, (8,): 3 * 8 * 9 + 8 * 8 * 9}, id="a keyword"),
        pytest.param(
            ("width=4,8", "depth=1,3"),
            {(w, d): 3 * w * 9 + d * w * w * 9 for w in (4, 8) for d in (1, 3)}, id="two keywords",
        ),
        pytest.param(
            ("size=16,32", "width=4,8"),
            {(s, w): (s // 16) ** 2 * (3 * w * 9 + w * w * 9) for s in (16, 32) for w in (4, 8)}, id="sizes and widths",
        ),
        pytest.param(("height=16..48:16",), {(h,): h // 16 * 792 for h in (16, 32, 48)}, id="one axis, by a step"),
        pytest.param(("0.3=16,32",), {(16,): 792, (32,): 2 * 792}, id="an axis by its number"),
        pytest.param(("batch=1,4",), {(1,): 792, (4,): 4 * 792}, id="batches"),
    ],
)  # fmt: skip
def test_every_combination(compare, net, vary, rows):
    """MACs at 16×16 are 256 times these products; of two convolutions at width 8, 216 + 576 = 792."""
    given = [argument for each in vary for argument in ("--vary", each)]
    out = compare("net.py:build", "--input", "1x3x16x16", *given, "--format", "csv", cwd=net)
    found = list(csv.DictReader(io.StringIO(out)))
    names = [each.partition("=")[0] for each in vary]
    columns = ["vary_batch" if name == "batch" else name for name in names]
    keys = [tuple(int(row[column]) for column in columns) for row in found]
    assert dict(zip(keys, [int(row["macs"]) for row in found], strict=True)) == {
        key: 256 * macs for key, macs in rows.items()
    }
    assert keys == sorted(keys)
    assert [row["model"] for row in found] == ["net.py:build"] * len(rows)
    assert found[0]["name"] == "net.py:build " + " ".join(
        f"{name}={size}" for name, size in zip(names, keys[0], strict=True)
    )


def test_settings_hold_at_every_size(compare, net):
    """bfloat16 weights have half the bytes at every width, and a batch is set at every size."""
    options = ("net.py:build", "--input", "1x3x16x16", "--vary", "width=4,8", "--vary", "size=16,32")
    half = json.loads(compare(*options, "--batch", "2", "--dtype", "bfloat16", "--format", "json", cwd=net))["models"]
    full = json.loads(compare(*options, "--format", "json", cwd=net))["models"]
    assert [2 * row["weight_bytes"] for row in half] == [row["weight_bytes"] for row in full]
    assert [row["macs"] for row in half] == [2 * row["macs"] for row in full]
    assert [row["inputs"][0] for row in half] == [
        {"shape": [2, 3, size, size], "dtype": "bfloat16"} for _ in (4, 8) for size in (16, 32)
    ]


def test_several_models(compare):
    out = compare("resnet18", "resnet34", "--vary", "size=64,96", "--format", "csv")
    found = {(row["model"], row["size"]): int(row["macs"]) for row in csv.DictReader(io.StringIO(out))}
    assert found == {
        (model, str(size)): cnncost.analyze(model, (1, 3, size, size)).totals.macs
        for model in ("resnet18", "resnet34") for size in (64, 96)
    }  # fmt: skip


NAMED = """
from torch import nn

def net({name}=4):
    return nn.Linear(6, {name})
"""
COLUMNS = ("depends_on", "flops", "front", "inputs", "lower_bound", "macs", "model", "name", "params", "peak")


@pytest.mark.parametrize("name", [*COLUMNS, "weight_bytes", "ratio", "bar", "memory", "features"])
def test_an_argument_may_have_any_columns_name(compare, tmp_path, monkeypatch, name):
    (tmp_path / "named.py").write_text(NAMED.format(name=name))
    monkeypatch.chdir(tmp_path)
    out = compare("named.py:net", "--input", "1x6", "--vary", f"{name}=3,5", "--format", "csv")
    header, *rows = csv.reader(io.StringIO(out))
    assert len({*header}) == len(header)
    column = f"vary_{name}" if f"vary_{name}" in header else name
    assert [(row[header.index(column)], row[header.index("macs")]) for row in rows] == [("3", "18"), ("5", "30")]


def test_batches_that_vary_have_no_front_and_no_false_advice(compare):
    text = " ".join(compare("lenet5", "--vary", "batch=1,2").split())
    assert "batch sizes differ (lenet5 batch=1: 1, lenet5 batch=2: 2)" in text
    assert "saved report" not in text
    assert "◆" not in text


def test_from_python():
    rows = cnncost.compare(["lenet5"], vary={"batch": (1, 8)})
    assert [(row.name, row.model, dict(row.sizes), row.macs) for row in rows] == [
        (f"lenet5 batch={n}", "lenet5", {"batch": n}, n * 325_680) for n in (1, 8)
    ]
    built = cnncost.compare({"mine": nn.Conv2d(3, 4, 3)}, (1, 3, 8, 8), vary="height=8,10")
    assert [(row.name, row.macs) for row in built] == [
        ("mine height=8", 27 * 4 * 6 * 6), ("mine height=10", 27 * 4 * 8 * 6)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("vary", "how", "says"),
    [
        ("batch", {}, "expected its sizes"),
        ({"batch": range(1, 5)}, {}, None),
        ({"batch": 3}, {}, "expected sizes"),
        ("batch=1,2", {"training": True}, "training: not with vary"),
        ("", {}, "expected names of variables"),
        ("bach=1,2", {}, "bach"),
        ("size=1,2", {}, ""),
    ],
)
def test_python_refuses(vary, how, says):
    if says is None:
        assert len(cnncost.compare(["lenet5"], vary=vary, **how)) == 4
        return
    with pytest.raises(CnncostError) as error:
        cnncost.compare(["lenet5"], vary=vary, **how)
    assert says in str(error.value)


def test_a_report_has_one_size():
    with pytest.raises(InputError, match="a Report is of one run"):
        cnncost.compare([cnncost.analyze("lenet5")], vary="batch=1,2")
    with pytest.raises(CnncostError, match="a Graph is of one run"):
        cnncost.compare({"graph": cnncost.analyze("lenet5").graph}, vary="batch=1,2")


@pytest.mark.parametrize(
    ("vary", "values"),
    [
        ("a=1,2", [(1, 2)]), ("a=3,1,3", [(1, 3)]), ("a=2..8:3", [(2, 5, 8)]), ("a=2..9:3", [(2, 5, 8)]),
        (["a=1,2", "b=3,4"], [(1, 2), (3, 4)]), ({"a": range(1, 8, 3)}, [(1, 4, 7)]),
    ],
)  # fmt: skip
def test_lists(vary, values):
    assert [each.values for each in parse_lists(vary)] == values
