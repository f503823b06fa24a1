"""Kernel, stride, input shapes and trainable parameters as columns, in every view and format."""

import csv
import io
import json
import subprocess

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost
from cnncost.errors import CnncostError
from cnncost.report.document import to_text
from cnncost.report.outline import outline

ALL = ("kernel", "input", "stride", "trainable")


class Windows(nn.Module):
    """Ops with windows of one's own forward, of the given kinds."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions
        self.weight = nn.Parameter(torch.zeros(4, 3, 3, 5))

    def forward(self, x):
        for function in self.functions:
            function(self, x)
        return x


@pytest.mark.parametrize(
    ("model", "shape", "kernel", "stride"),
    [
        pytest.param(nn.Conv2d(3, 4, 3), (1, 3, 9, 9), (3, 3), (1, 1), id="a convolution"),
        pytest.param(nn.Conv2d(3, 4, (3, 5), stride=(2, 1)), (1, 3, 9, 9), (3, 5), (2, 1), id="a number per axis"),
        pytest.param(nn.Conv1d(3, 4, 7, stride=4), (1, 3, 40), (7,), (4,), id="one axis"),
        pytest.param(nn.Conv3d(3, 4, (1, 2, 3)), (1, 3, 9, 9, 9), (1, 2, 3), (1, 1, 1), id="three axes"),
        pytest.param(nn.ConvTranspose2d(3, 4, 4, stride=2), (1, 3, 9, 9), (4, 4), (2, 2), id="transposed"),
        pytest.param(nn.Conv2d(3, 6, 3, groups=3, dilation=2), (1, 3, 9, 9), (3, 3), (1, 1), id="depthwise, dilated"),
        pytest.param(nn.MaxPool2d(2), (1, 3, 8, 8), (2, 2), (2, 2), id="a pool's stride is its kernel"),
        pytest.param(nn.AvgPool2d(3, stride=1), (1, 3, 8, 8), (3, 3), (1, 1), id="an average"),
        pytest.param(nn.LPPool2d(2, 3, stride=2), (1, 3, 9, 9), (3, 3), (2, 2), id="a pool made of a pool"),
        pytest.param(nn.Unfold((2, 3), stride=(1, 2)), (1, 3, 8, 9), (2, 3), (1, 2), id="unfold"),
        pytest.param(nn.Fold((4, 4), 2, stride=2), (1, 12, 4), (2, 2), (2, 2), id="fold"),
        pytest.param(
            nn.FractionalMaxPool2d(2, output_ratio=0.5), (1, 3, 8, 8), (2, 2), ("unknown",), id="at random positions"
        ),
        pytest.param(nn.AdaptiveAvgPool2d(2), (1, 3, 8, 8), None, None, id="adaptive: none of its own"),
        pytest.param(nn.Linear(8, 4), (1, 8), None, None, id="linear"),
        pytest.param(nn.ReLU(), (1, 8), None, None, id="no windows"),
        pytest.param(
            Windows(lambda m, x: F.conv2d(x, m.weight), lambda m, x: F.conv2d(x + 1, m.weight)), (1, 3, 9, 9),
            (3, 5), (1, 1), id="two that agree",
        ),
        pytest.param(
            Windows(lambda m, x: F.conv2d(x, m.weight), lambda m, x: F.conv2d(x, m.weight, stride=2)), (1, 3, 9, 9),
            (3, 5), ("several",), id="two strides",
        ),
        pytest.param(
            Windows(lambda m, x: F.conv2d(x, m.weight), lambda _, x: F.max_pool2d(x, 2)), (1, 3, 9, 9),
            ("several",), ("several",), id="a convolution and a pool",
        ),
        pytest.param(Windows(), (1, 3, 9, 9), None, None, id="none of them"),
    ],
)  # fmt: skip
def test_kernel_and_stride(model, shape, kernel, stride):
    report = cnncost.analyze(model, shape).with_columns("kernel", "stride")
    (layer,) = report.layers
    assert (layer.kernel, layer.stride) == (kernel, stride)
    (module,) = report.modules
    assert (module.kernel, module.stride) == (kernel, stride)


class Block(nn.Module):
    """Two ops with windows of its own beside a child's, and a child that is called twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x, shift=None):
        x = F.max_pool2d(self.conv(x), 2)
        return self.conv(x) if shift is None else self.conv(x) + shift


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 5, padding=2)
        self.blocks = nn.ModuleList([Block()])
        self.heads = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
        self.lost = nn.Conv2d(3, 3, 7)
        self.stem.requires_grad_(False)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, torch.ones(1, 4, 1, 1))
        return self.heads(x.mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    return cnncost.analyze(Net(), (2, 3, 8, 8)).with_columns(*ALL)


def test_rows_of_layers(net):
    rows = {layer.label: (layer.kernel, layer.stride, layer.input_shapes) for layer in net.layers}
    assert rows == {
        "stem": ((5, 5), (1, 1), ((2, 3, 8, 8),)),
        "blocks.0": ((2, 2), (2, 2), ((2, 4, 8, 8), (1, 4, 1, 1))),
        "blocks.0.conv": ((3, 3), (1, 1), ((2, 4, 8, 8),)),
        "blocks.0.conv#2": ((3, 3), (1, 1), ((2, 4, 4, 4),)),
        "heads.0": (None, None, ((2, 4),)), "heads.1": (None, None, ((2, 4),)), "heads.2": (None, None, ((2, 4),)),
        "": (None, None, ((2, 3, 8, 8),)),
        "lost": (None, None, None),
    }  # fmt: skip


def test_modules_own_shares_and_folded_rows(net):
    """A container has no windows but its own share; what it was given is that of its last call, as its output is."""
    modules = {row.path: (row.kernel, row.input_shapes) for row in net.modules}
    assert modules[""] == (None, ((2, 3, 8, 8),))
    assert modules["blocks"] == (None, ())  # never called
    assert modules["blocks.0"] == (None, ((2, 4, 8, 8), (1, 4, 1, 1)))
    assert modules["blocks.0.conv"] == ((3, 3), ((2, 4, 4, 4),))
    assert modules["heads"] == (None, ((2, 4),))
    assert modules["lost"] == (None, ())
    items = {item.name: item for item in outline(net)}
    own = {item.name: item.row for item in items["blocks"].children[0].children}
    assert (own["(own)"].kernel, own["(own)"].stride, own["(own)"].input_shapes) == ((2, 2), (2, 2), None)
    (folded,) = items["heads"].children
    assert (folded.siblings, folded.row.input_shapes) == (3, ((2, 4),))


def test_layers_that_differ_in_their_kernel_alone_are_not_folded():
    """The same parameters, MACs and outputs: 1×3 with padding beside 3×1."""
    model = nn.Sequential(
        nn.Conv2d(4, 4, (1, 3), padding=(0, 1)), nn.Conv2d(4, 4, (3, 1), padding=(1, 0)),
        nn.Conv2d(4, 4, (1, 3), padding=(0, 1)), nn.Conv2d(4, 4, (3, 1), padding=(1, 0)),
    )  # fmt: skip
    report = cnncost.analyze(model, (1, 4, 8, 8))
    assert [item.siblings for item in outline(report)] == [4]
    assert [item.row.kernel for item in outline(report.with_columns("kernel"))] == [(1, 3), (3, 1)] * 2


class Named(nn.Module):
    """A module called twice, and one that is named as its second call is."""

    def __init__(self, order):
        super().__init__()
        self.order = order
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.add_module("a#2", nn.Conv2d(3, 3, 5, stride=2))

    def forward(self, x):
        for name in self.order:
            x = getattr(self, name)(x)
        return x


A, OTHER = 3 * 3 * 3 * 3, 3 * 3 * 5 * 5  # MACs of a position
BIG, SMALL = 16 * 16, 6 * 6  # positions before and after the stride


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        (("a", "a", "a#2"), {("a", 1): (3, 3, BIG), ("a", 2): (3, 3 + 2, BIG), ("a#2", 1): (5, 5 + 4, SMALL)}),
        (("a", "a#2", "a"), {("a", 1): (3, 3, BIG), ("a#2", 1): (5, 3 + 4, SMALL), ("a", 2): (3, 7 + 2 * 2, SMALL)}),
    ],
)
def test_a_module_named_like_a_second_call(order, rows):
    report = cnncost.analyze(Named(order), (1, 3, 16, 16)).with_columns("kernel").with_memory().with_masks()
    report = report.with_receptive_fields()
    assert {
        (row.path, row.call): (row.kernel[0], row.receptive_field[0], row.allocated, row.macs_unmasked)
        for row in report.layers
    } == {
        (path, call): (kernel, field, 3 * 4 * positions, positions * (A if path == "a" else OTHER))
        for (path, call), (kernel, field, positions) in rows.items()
    }
    assert report.totals.allocated == sum(3 * 4 * positions for _, _, positions in rows.values())
    assert report.totals.macs_unmasked == report.totals.macs
    assert report.receptive_field("a#2").size == (rows["a#2", 1][1],) * 2
    assert report.module("a#2").receptive_field == (rows["a#2", 1][1],) * 2


def test_every_format_has_them(net):
    data = json.loads(net.to_json())
    stem = next(row for row in data["layers"] if row["path"] == "stem")
    assert (stem["kernel"], stem["stride"], stem["input_shapes"]) == ([5, 5], [1, 1], [[2, 3, 8, 8]])
    assert data["further"] == ["kernel", "stride", "input", "trainable"]
    row = next(row for row in csv.DictReader(io.StringIO(net.to_csv())) if row["path"] == "blocks.0")
    assert (row["kernel"], row["stride"], row["input_shape"]) == ("2x2", "2x2", "2x4x8x8; 1x4x1x1")
    for text in (net.to_markdown(), net.to_html(), to_text(net, width=160), to_text(net, by="layer", width=160)):
        assert all(heading in text for heading in ("kernel", "stride", "input", "trainable"))
        assert "2×4×8×8 +1" in text
    assert "blocks.0.conv#2` | Conv2d | conv | 3 | 1 | 2×4×4×4 | 2×4×4×4 " in net.to_markdown()


def test_a_saved_report_keeps_them(net):
    again = type(net).from_json(net.to_json())
    assert again == net
    assert again._repr_html_().partition("</iframe>")[2] == net._repr_html_().partition("</iframe>")[2] != ""
    assert again.modules == net.modules
    assert again.with_columns("kernel") == net


def test_without_them_nothing_is_shown():
    report = cnncost.analyze(Net(), (2, 3, 8, 8))
    assert not {"kernel", "stride", "input_shape"} & {*report.to_csv().splitlines()[0].split(",")}
    assert not {"kernel", "further", "input_shapes"} & {*json.loads(report.to_json()), *report.log_dict("")}


def test_trainable_is_shown_where_nothing_is_frozen():
    report = cnncost.analyze("lenet5")
    assert "trainable" not in report.to_markdown().split("\n\n")[2]
    shown = report.with_columns("trainable").to_markdown().split("\n\n")[2]
    assert "| params | trainable |" in shown
    assert "frozen" not in shown


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_they_go_last_in_a_narrow_terminal(net, width):
    lines = to_text(net, width=width).splitlines()
    assert max(map(len, lines)) <= width
    head = next(line for line in lines if line.startswith("module"))
    assert width < 60 or all(name in head for name in ("kernel", "stride", "params"))
    assert width < 80 or all(name in head for name in ("input", "trainable", "MACs"))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("kernels",), "no optional column is named 'kernels'; did you mean kernel?"),
        (("macs",), "no optional column is named 'macs'; expected one of kernel, stride, input, trainable"),
        (("",), "no optional column is named ''; expected one of"),
        ((3,), "no optional column is named 3; expected one of"),
    ],
)
def test_an_unknown_column(net, names, says):
    with pytest.raises(CnncostError, match=says.replace("?", r"\?")):
        net.with_columns(*names)


def test_a_saved_report_without_them_says_so():
    saved = type(cnncost.analyze("lenet5")).from_json(cnncost.analyze("lenet5").to_json())
    with pytest.raises(CnncostError, match="has no graph"):
        saved.with_columns("stride")
    assert saved.with_columns("trainable").further == ("trainable",)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--columns", "+kernels"), "expected +kernel, +stride, +input, +trainable, +rf"),
        (("--columns", "kernel"), "got kernel"),
        (("--columns", "+kernel=3"), "got +kernel=3"),
        (("--columns", "+kernel,+rf", "--by", "op"), "a row stands for all calls of an op and has no +kernel, +rf"),
    ],
)
def test_wrong_columns_on_the_command_line(tmp_path, python, arguments, says):
    ran = subprocess.run(
        [*python, "-m", "cnncost", "summarize", "lenet5", *arguments, "-o", str(tmp_path / "x.md")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, *tmp_path.iterdir()) == (2, "")
    assert says in ran.stderr.splitlines()[-1]
