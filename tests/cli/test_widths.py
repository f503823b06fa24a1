"""What commands print fits the terminal: no line is longer, and a name is whole where short numbers make room."""

import pytest

from tests.cli.calls import ran

NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, num_classes))


class List(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(8, 8) for _ in range(3)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""
OWN = ("net.py:Net", "--input", "1x3x8x8")
LINES = {
    "summarize": ("summarize", "resnet18"),
    "summarize, all columns": ("summarize", "resnet18", "--columns", "+kernel,+stride,+input,+trainable,+rf,+memory"),
    "summarize, largest": ("summarize", "resnet18", "--top", "5"),
    "summarize, a long note": ("summarize", "net.py:List", "--input", "1x8"),
    "memory": ("memory", "resnet18", "--optimizer", "adamw", "--device-memory", "24GB"),
    "rf": ("rf", "resnet18"),
    "roofline": ("roofline", "resnet18", "--device", "h100"),
    "compare": ("compare", "resnet18", "vgg16", "--batch", "64"),
    "compare, at sizes": ("compare", "resnet18", "--vary", "size=160,224"),
    "diff": ("diff", "resnet18", "resnet34"),
    "sweep": ("sweep", "resnet18", "resnet34", "--batch", "1,8", "--input-size", "160,224", "--jobs", "1"),
    "verify": ("verify", "lenet5", "--no-fvcore"),
    "devices": ("devices",),
    "device": ("devices", "h100"),
    "zoo": ("zoo",),
    "network": ("zoo", "lenet5"),
    "lecture": ("lecture", "--slide", "55"),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("arguments", LINES.values(), ids=LINES)
def test_no_line_is_longer(capfd, monkeypatch, arguments, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, err = ran(capfd, *arguments)

    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if len(line) > width] == []


def test_names_of_models_are_whole(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (LINES["compare, at sizes"], LINES["sweep"]):
        _, out, _ = ran(capfd, *arguments)
        assert "…" not in out


def test_laws_are_lines_to_be_copied_and_what_is_said_of_them_is_folded(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = ran(capfd, "formula", *OWN, "--vary", "batch,num_classes")
    laws, told = out.split("\n\n")[1:]

    # three 3x3 kernels of each of 4 filters at 6·6 places, and 144 weights for each class
    assert "MACs                   = B·(144·num_classes + 3,888)" in laws.splitlines()
    assert max(map(len, told.splitlines())) <= 80
    assert out.startswith("net.py:Net: B = batch (input.0), num_classes (the factory's num_classes)\n")
