"""Formulas of files with open axes: those of the exported module, products written out, and refusals."""

import re
import subprocess
import sys

import pytest
import torch
from onnx_files import ints, model, node, saved, value, weight
from torch import nn

import cnncost
from cnncost.cli import main
from cnncost.errors import InputError
from tests.samples import sample

CONV = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]
"""8 channels of 3×3 over 3: 216 MACs for each position, and with ReLU a FLOP for each of 8 outputs."""
SHAPE = ("batch", 3, "height", "width")


def conv(folder, *shape):
    return saved(folder, model(CONV, [value("x", *shape)], stored=[weight("w", 8, 3, 3, 3)]))


@pytest.mark.parametrize(
    ("vary", "begun", "symbols"),
    [
        ("batch,height,width", {}, ("B", "H", "W")),
        ("x.0,x.2,x.3", {}, ("x_0", "x_2", "x_3")),
        ("batch,height,width", {"height": 32, "width": 48, "batch": 2}, ("B", "H", "W")),
        ("batch=1..16,height=8..64,width", {}, ("B", "H", "W")),
    ],
)
def test_axes_by_their_own_names(tmp_path, vary, begun, symbols):
    laws = cnncost.formula(conv(tmp_path, *SHAPE), vary=vary, model_args=begun)
    b, h, w = symbols
    assert [str(laws[name]) for name in ("macs", "flops", "params")] == [
        f"216·{b}·{h}·{w}", f"440·{b}·{h}·{w}", "216"
    ]  # fmt: skip
    assert "training_peak" not in laws
    assert any("no backward pass" in note for note in laws.notes)


def test_one_axis_varies_and_the_others_are_given(tmp_path):
    laws = cnncost.formula(conv(tmp_path, *SHAPE), "2x3x8x10", "height")
    assert str(laws["macs"]) == f"{216 * 2 * 10:,}·H"
    laws = cnncost.formula(conv(tmp_path, *SHAPE), vary="batch", model_args={"height": 8, "width": 10})
    assert str(laws["macs"]) == f"{216 * 8 * 10:,}·B"


def test_all_axes_of_a_name_vary_together(tmp_path):
    """Both factors have the axis: 5·7 products for each of its positions, and a sum."""
    ops = [node("MatMul", "a w", "m"), node("Add", "m b", "y")]
    proto = model(ops, [value("a", "rows", 5), value("b", "rows", 7)], stored=[weight("w", 5, 7)])
    for vary in ("rows", "a.0", "b.0", "batch"):
        laws = cnncost.formula(saved(tmp_path, proto), vary=vary)
        (law,) = [str(laws["macs"])]
        assert law.startswith("35·"), vary


def test_a_name_of_all_models_leaves_out_what_the_file_fixes(tmp_path):
    """`batch` is axis 0 of x only: that of the state is fixed."""
    ops = [node("MatMul", "x w", "m"), node("Add", "m state", "y")]
    proto = model(ops, [value("x", "n", 5), value("state", 1, 7)], stored=[weight("w", 5, 7)])
    assert str(cnncost.formula(saved(tmp_path, proto), vary="batch")["macs"]) == "35·B"


REFUSED = {
    "all fixed": ((2, 3, 8, 8), "batch", "the file fixes x.0 at 2; no size of its inputs is open: export it"),
    "one fixed": (SHAPE, "x.1", "fixes x.1 at 3; its open axes are batch, height, width"),
    "a near name": (SHAPE, "hight", "no open axis of this name; did you mean height"),
    "nothing near": (SHAPE, "tokens", "no open axis of this name; it has batch, height, width"),
    "another stays open": (SHAPE, "batch", "axis 2 is open in batch×3×height×width; bind it by --input"),
    "nameless": ((1, 3, "?", "?"), "x.2", "axis 2 is open in 1×3×?×?; bind it by --input"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_what_to_do(tmp_path, case):
    shape, vary, said = REFUSED[case]
    with pytest.raises(InputError, match=re.escape(said)):
        cnncost.formula(conv(tmp_path, *shape), vary=vary)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.parts = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)])

    def forward(self, ids):
        q, k, v = (part(self.table(ids)) for part in self.parts)
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v


NETWORKS = {
    "CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
        ),
        torch.zeros(2, 3, 32, 32), {0: "batch", 2: "height", 3: "width"}, "batch,height,width",
    ),
    "attention": (Words, torch.zeros(2, 16, dtype=torch.long), {0: "batch", 1: "sequence"}, "batch,sequence"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sample(NETWORKS, 1))
def test_equal_to_the_law_of_the_module(tmp_path, name):
    """Formulas of MACs and parameters, as text and by value; both are derived independently."""
    build, x, axes, vary = NETWORKS[name]
    module, path = build().eval(), str(tmp_path / "m.onnx")
    torch.onnx.export(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": axes})
    file = cnncost.formula(path, vary=vary)
    own = cnncost.formula(module, x, vary, training=False)
    for quantity in ("macs", "params"):
        assert str(file[quantity]) == str(own[quantity])
        point = dict(zip(vary.split(","), (3, 24, 40), strict=False))
        assert file[quantity](**point) == own[quantity](**point)


def test_the_command(tmp_path, capsys):
    path = conv(tmp_path, *SHAPE)
    with pytest.raises(SystemExit) as found:
        main(["formula", path, "--vary", "batch,size", "--dim", "height=16,width=16"])
    assert found.value.code == 0
    shown = capsys.readouterr().out
    assert "MACs                   = 216·B·N²" in shown
    assert "training peak" not in shown


def test_torch_is_not_imported(tmp_path):
    proto = model([node("Reshape", "x to", "y")], [value("x", "batch", 6)], stored=[ints("to", -1, 3)])
    code = "import sys, cnncost; cnncost.formula(sys.argv[1], vary='batch'); sys.exit('torch' in sys.modules)"
    # it exits with 1 if torch was imported on the way
    done = subprocess.run(
        [sys.executable, "-c", code, saved(tmp_path, proto)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]
