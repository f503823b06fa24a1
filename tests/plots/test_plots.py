"""Pictures: that they are pictures, that they hold what they should, and what is said where they can't be drawn."""

import struct

import pytest

import cnncost
from cnncost.devices import find
from cnncost.errors import MissingPackageError, OutputError
from cnncost.passes.roofline import roofline
from cnncost.plots import canvas
from cnncost.plots.roofline import draw
from cnncost.report.prediction import Prediction


@pytest.fixture(scope="module")
def prediction():
    report = cnncost.analyze("lenet5", (16, 1, 32, 32))
    return Prediction(report, roofline(report.graph, find("xeon-8480")))


def test_a_png_is_one(tmp_path, prediction):
    pytest.importorskip("matplotlib")
    path = tmp_path / "roof.png"
    draw(prediction, str(path))
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width > height > 500
    assert list(tmp_path.iterdir()) == [path]


def test_an_svg_tells_ceilings_bounds_and_heaviest_layers(tmp_path, prediction):
    pytest.importorskip("matplotlib")
    import matplotlib as mpl

    path = tmp_path / "roof.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(prediction, str(path))
    text = path.read_text()
    heaviest = max(prediction.report.layers, key=lambda row: row.bytes_read + row.bytes_written)  # all is memory's here
    for expected in (
        heaviest.path,
        "memory, 307 GB/s",
        "float32, 7.17 TFLOP/s",
        "memory-bound",
        "16×1×32×32",
        "FLOP/B",
    ):
        assert expected in text, expected
    again = tmp_path / "again.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(prediction, str(again))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("roof.gif", r"expected a name that ends in \.png, \.svg, \.pdf, got \.gif", id="no such ending"),
        pytest.param("roof", "got no ending", id="no ending"),
    ],
)
def test_other_endings(prediction, name, message):
    with pytest.raises(OutputError, match=message):
        draw(prediction, name)


def test_a_folder_that_is_not_there(tmp_path, prediction):
    pytest.importorskip("matplotlib")
    with pytest.raises(OutputError, match="could not be written"):
        draw(prediction, str(tmp_path / "no" / "roof.png"))


def test_without_matplotlib_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setattr(canvas, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'cnncost\[plots\]'"):
        canvas.available("roof.png")
