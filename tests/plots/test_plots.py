"""Pictures: that they are pictures, that they hold what they should, and what is said where they can't be drawn."""

import struct
import sys

import pytest

import cnncost
from cnncost.devices import find
from cnncost.errors import MissingPackageError, OutputError
from cnncost.passes.roofline import roofline
from cnncost.plots import roofline as roofline_plot
from cnncost.plots.fields import paths
from cnncost.plots.picture import check_picture
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


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize(
    ("model", "inputs", "device"),
    [
        pytest.param("resnet18", None, "h100", id="dots of little work, and a label at the right edge"),
        pytest.param("resnet18", None, "xeon-8480", id="several ceilings"),
        pytest.param("lenet5", None, "xeon-8480", id="labels one above the other"),
        pytest.param("lenet5", (16, 1, 32, 32), "h100", id="a batch"),
        pytest.param("vgg16", None, "h100", id="compute-bound"),
    ],
)
def test_dots_and_labels_stay_inside_the_axes(model, inputs, device, tmp_path, monkeypatch):
    """As matplotlib lays them out; what is outside is cut off or printed over the axes' own numbers."""
    pytest.importorskip("matplotlib")
    from matplotlib.text import Annotation, Text

    drawn = []
    named = roofline_plot.name_points
    monkeypatch.setattr(
        roofline_plot, "name_points", lambda axes, *how: drawn.extend([axes, named(axes, *how), *how[-1:]])
    )
    report = cnncost.analyze(model, inputs)
    draw(Prediction(report, roofline(report.graph, find(device))), str(tmp_path / "roof.png"))
    axes, texts, written = drawn

    frame = axes.get_window_extent()
    for dots in axes.collections:
        for place in axes.transData.transform(dots.get_offsets()):
            assert frame.contains(*place)
    assert len(texts) == 5
    boxes = []
    for text in texts:
        assert isinstance(text, Annotation)
        text.get_window_extent()
        boxes.append(Text.get_window_extent(text))
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1 + 0.5
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.overlaps(other.get_window_extent()) for other in written)
    for line in [each for each in axes.texts if isinstance(each, Annotation) and not each.get_text()]:
        (x0, y0), (x1, y1) = (
            axes.transData.transform(line.xy),
            line.get_transform().transform(line.get_unitless_position()),
        )
        along = [(x0 + part / 50 * (x1 - x0), y0 + part / 50 * (y1 - y0)) for part in range(50)]
        assert not any(box.contains(*each) for box in boxes for each in along)  # it ends at the edge of its label


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
    with pytest.raises(OutputError, match="does not exist"):
        draw(prediction, str(tmp_path / "no" / "roof.png"))


def test_without_matplotlib_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'cnncost\[plots\]'"):
        check_picture("roof.png")


@pytest.mark.parametrize(
    ("points", "main", "shorter"),
    [
        ([(0, 3), (1, 5)], [(0, 3), (1, 5)], []),
        ([(0, 3), (1, 3), (2, 5)], [(0, 3), (1, 3), (2, 5)], []),
        # a shortcut behind the two layers that it goes around, then the sum, which sees what they see
        ([(0, 3), (1, 5), (2, 7), (3, 3), (4, 7)], [(0, 3), (1, 5), (2, 7), (4, 7)], [[(3, 3)]]),
        ([(0, 7), (1, 3), (2, 5), (3, 9), (5, 1)], [(0, 7), (3, 9)], [[(1, 3), (2, 5)], [(5, 1)]]),
    ],
)
def test_fields_by_path_and_not_a_saw(points, main, shorter):
    assert paths(points) == (main, shorter)
