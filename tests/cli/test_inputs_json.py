"""`--inputs-json`: whatever forward takes, on the command line."""

import io
import json

import pytest

from tests.cli.calls import ran

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x, sizes=(8, 8), flag=True, options=None, mode="a", others=(), lengths=None):
        assert type(flag) is bool and type(mode) is str
        x = self.conv(x)
        if not flag:
            return x
        if options is not None:
            assert list(options) == ["scale", "deep"] and options["deep"] == {"a": [1, None]}
            x = x * options["scale"]
        for other in others:
            x = x + self.conv(other["image"])
        if lengths is not None:
            x = x[:, :, : max(lengths.tolist())]
        return nn.functional.interpolate(x, size=list(sizes)) if mode == "b" else x
"""
X = {"shape": [2, 3, 8, 8]}
CONV = 2 * 4 * 36 * 27
"""MACs: two examples, four filters of 3·3·3, at 6·6 positions."""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


TAKEN = [
    # (JSON, MACs, shape that goes out)
    pytest.param([X], CONV, [2, 4, 6, 6], id="a positional argument"),
    pytest.param(X, CONV, [2, 4, 6, 6], id="a tensor alone"),
    pytest.param({"x": X}, CONV, [2, 4, 6, 6], id="a keyword argument"),
    pytest.param(["2x3x8x8"], CONV, [2, 4, 6, 6], id="a shape in short"),
    pytest.param({"x": "2x3x8x8:float32", "flag": False}, CONV, [2, 4, 6, 6], id="a boolean"),
    pytest.param({"x": X, "mode": "b", "sizes": [5, 7]}, CONV, [2, 4, 5, 7], id="numbers that are no shape"),
    pytest.param([X, [5, 7], True, None, "b"], CONV, [2, 4, 5, 7], id="by position"),
    pytest.param(
        {"x": X, "options": {"scale": 2.5, "deep": {"a": [1, None]}}}, CONV, [2, 4, 6, 6], id="a dict of values"
    ),
    pytest.param({"x": X, "others": [{"image": X}, {"image": "2x3x8x8"}]}, 3 * CONV, [2, 4, 6, 6], id="nested tensors"),
    pytest.param(
        {"x": X, "lengths": {"values": [2, 5, 3], "dtype": "int64"}}, CONV, [2, 4, 5, 6], id="values that forward reads"
    ),
    pytest.param({"x": X, "mode": {"literal": "8x8"}}, CONV, [2, 4, 6, 6], id="a text that looks like a shape"),
    pytest.param({"x": X, "sizes": {"literal": [4, 4]}, "mode": "b"}, CONV, [2, 4, 4, 4], id="a literal list"),
    pytest.param({"x": {**X, "dtype": "float32"}}, CONV, [2, 4, 6, 6], id="a dtype"),
]


@pytest.mark.parametrize("how", ["text", "file", "stdin"])
@pytest.mark.parametrize(("data", "macs", "shape"), TAKEN)
def test_what_forward_gets(data, macs, shape, how, here, capfd, monkeypatch):
    text = json.dumps(data)
    (here / "inputs.json").write_text(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    given = {"text": text, "file": "inputs.json", "stdin": "-"}[how]
    code, out, err = ran(capfd, "summarize", "net.py:Net", "--inputs-json", given, "--format", "json")

    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["totals"]["macs"] == macs
    assert report["totals"]["output_shapes"] == [shape]


NO = [
    pytest.param("{", "--inputs-json: not JSON", id="not JSON"),
    pytest.param('{"x": 1, "x": 2}', "'x' is given twice", id="a key twice"),
    pytest.param("[" * 100_000, "not JSON", id="too deep"),
    pytest.param('{"x": {"shape": "2x3"}}', "x.shape: expected a list of whole numbers", id="a shape that is text"),
    pytest.param('{"x": {"shape": [2, -3]}}', "x.shape: expected a list of whole numbers", id="a size below 1"),
    pytest.param('{"x": {"shape": [2, 3.0]}}', "x.shape: expected a list of whole numbers", id="a fraction"),
    pytest.param('{"x": {"shape": [true]}}', "x.shape: expected a list of whole numbers", id="a boolean"),
    pytest.param('[{"shape": [99999999999999999999]}]', "[0].shape: expected a list of whole", id="beyond 64 bits"),
    pytest.param('[{"shape": [2], "dtype": 3}]', "[0].dtype: expected a name", id="a dtype that is no text"),
    pytest.param('{"x": {"shape": [2], "dtype": "int77"}}', "'int77' is not a dtype of torch", id="no such dtype"),
    pytest.param('{"x": {"values": [1, [2]]}}', "x.values: can't become a tensor", id="ragged values"),
    pytest.param('{"x": {"values": ["a"]}}', "x.values: can't become a tensor", id="words as values"),
    pytest.param('{"x": {"values": [1], "dtype": "int77"}}', "'int77' is not a dtype", id="values of no dtype"),
    pytest.param('{"x": "0x3"}', "x: input '0x3': expected sizes of 1 or more", id="a size of 0 in short"),
    pytest.param("nothing.json", "nothing.json: can't be read: No such file", id="no such file"),
    pytest.param(".", "can't be read: Is a directory", id="a folder"),
    pytest.param("empty.json", "not JSON", id="an empty file"),
    pytest.param("number.json", "expected a list of positional arguments", id="a number"),
    pytest.param("[]", "missing 1 required positional argument", id="no arguments"),
    pytest.param('{"y": [1]}', "unexpected keyword argument", id="an argument that forward lacks"),
]


@pytest.mark.parametrize(("text", "told"), NO)
def test_what_is_wrong_is_one_line(text, told, here, capfd):
    (here / "empty.json").write_text("")
    (here / "number.json").write_text("3")
    before = {path.name for path in here.iterdir()}
    code, out, err = ran(capfd, "summarize", "net.py:Net", "--inputs-json", text, "-o", "x.csv")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == before


def test_it_has_all_arguments(capfd):
    code, out, err = ran(capfd, "summarize", "net.py:Net", "--inputs-json", json.dumps([X]), "--input", "1x3x8x8")

    assert (code, out) == (2, "")
    assert "--input and --inputs-json: expected one of them" in err


@pytest.mark.parametrize("command", ["summarize", "memory", "rf", "roofline", "compare", "diff", "verify", "bench"])
def test_every_command_takes_it(command, capfd):
    more = {
        "roofline": ("--device", "h100"), "diff": ("net.py:Net",), "verify": ("--no-fvcore",),
        "bench": ("--ceilings", "h100", "--seconds", "0.01"),
    }.get(command, ())  # fmt: skip
    data = {"x": X, "mode": "b", "sizes": [5, 7], "lengths": {"values": [2, 5, 3]}}
    code, out, _ = ran(capfd, command, "net.py:Net", *more, "--inputs-json", json.dumps(data))

    assert code == 0
    assert out


def test_a_batch_size_is_set_in_tensors_alone(capfd):
    data = {"x": X, "mode": "b", "sizes": [5, 7]}
    arguments = ("--inputs-json", json.dumps(data), "--batch", "7", "--format", "json")
    code, out, err = ran(capfd, "summarize", "net.py:Net", *arguments)

    assert (code, err) == (0, "")
    assert json.loads(out)["totals"]["output_shapes"] == [[7, 4, 5, 7]]


@pytest.mark.parametrize(
    ("data", "heading"),
    [
        ({"x": X}, "input x 2×3×8×8 float32, batch size 2"),
        ({"x": X, "flag": True}, "input x 2×3×8×8 float32, batch size 2"),
        ([X], "input 2×3×8×8 float32, batch size 2"),
        (
            {"x": X, "others": [{"image": X}], "lengths": {"values": [3]}},
            "inputs x 2×3×8×8 float32, others[0].image 2×3×8×8 float32, lengths 1 int64, batch size 2",
        ),
    ],
)
def test_names_of_keyword_arguments_are_in_headings(data, heading, here, capfd):
    for command, *more in (["summarize"], ["memory"], ["roofline", "--device", "h100"]):
        code, out, err = ran(capfd, command, "net.py:Net", *more, "--inputs-json", json.dumps(data))
        assert (code, err) == (0, "")
        assert heading in " ".join(out.split())
    assert ran(capfd, "summarize", "net.py:Net", "--inputs-json", json.dumps(data), "-o", "r.json")[0] == 0
    assert heading in " ".join(ran(capfd, "summarize", "r.json")[1].split())


def test_names_without_inputs_are_refused(here, capfd):
    ran(capfd, "summarize", "net.py:Net", "--inputs-json", json.dumps({"x": X}), "-o", "r.json")
    text = (here / "r.json").read_text().replace('"input_names": ["x"]', '"input_names": ["x", "y"]')
    (here / "r.json").write_text(text)
    code, out, err = ran(capfd, "summarize", "r.json")

    assert (code, out) == (2, "")
    assert "2 input_names for 1 inputs" in err
