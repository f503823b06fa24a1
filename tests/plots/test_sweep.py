"""Pictures of sweeps."""

import pytest

from cnncost.errors import InputError
from cnncost.plots.sweep import better_sign, checked, draw, front, fronts

NAMES = ("model", "batch", "input", "macs", "params", "accuracy")
ROWS = [
    dict(zip(NAMES, row, strict=True))
    for row in [("a", 1, "x", 10, 500, 70.0), ("b", 1, "x", 20, 400, 69.0), ("c", 2, "x", 3000, 300, 80.0),
                ("d", 2, "x", None, 100, 90.0)]
]  # fmt: skip


@pytest.mark.parametrize(
    ("points", "signs", "expected"),
    [
        pytest.param([(1, 3), (2, 2), (3, 1), (3, 3)], (-1, -1), [0, 1, 2], id="less of both"),
        pytest.param([(1, 70), (2, 69), (3, 80)], (-1, 1), [0, 2], id="less cost, more quality"),
        pytest.param([(1, 1), (1, 1), (1, 2)], (-1, -1), [0, 1], id="equal points"),
        pytest.param([(1, 5), (1, 4), (2, 4)], (-1, -1), [1], id="a tie in one"),
        pytest.param([(5, 5), (4, 6), (6, 4), (4, 4)], (1, 1), [2, 0, 1], id="more of both"),
    ],
)
def test_the_front_is_what_no_other_point_beats(points, signs, expected):
    assert sorted(front(points, signs)) == sorted(expected)


@pytest.mark.parametrize(
    ("name", "sign"), [("macs", -1), ("accuracy", 1), ("acc@1", -1), ("top1", 1), ("-top1", -1), ("+params", 1)]
)
def test_which_way_is_better(name, sign):
    assert better_sign(name) == sign


@pytest.mark.parametrize("asked", [["macs", "accuracy"], ["macs", "params", "accuracy"]])
def test_pictures_are_drawn(tmp_path, asked):
    path = tmp_path / "p.svg"
    draw(NAMES, ROWS, asked, str(path))
    text = path.read_text()
    assert "MACs" in text
    assert "accuracy" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [(["macs"], "two columns"), (["mac", "params"], "did you mean macs"), (["macs", "zz"], "available: ")],
)
def test_columns_that_can_not_be_drawn_are_refused(asked, said):
    with pytest.raises(InputError, match=said):
        checked(asked, ["macs", "params"])


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing to draw"):
        draw(NAMES, ROWS[3:], ["macs", "params"], str(tmp_path / "p.svg"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # MACs and accuracy: at 8 images all costs are eightfold, and B beats A only at its own batch size
        ([(1, 10, 70), (1, 20, 75), (8, 80, 70), (8, 160, 75)], [[0, 1], [2, 3]]),
        ([(1, 10, 75), (1, 20, 70), (8, 80, 70), (8, 160, 60)], [[0], [2]]),
        ([(None, 10, 70), (None, 20, 75), (None, 30, 72)], [[0, 1]]),
    ],
)
def test_each_batch_size_has_a_front_of_its_own(rows, expected):
    records = [{} if batch is None else {"batch": batch} for batch, *_ in rows]
    assert fronts(records, [(macs, top1) for _, macs, top1 in rows], (-1, 1)) == expected


def test_a_few_points_are_all_named_and_axes_are_called_as_in_the_table(tmp_path):
    """Params lie within a decade: 300 to 500 on a linear axis."""
    mpl = pytest.importorskip("matplotlib")
    rows = [{"model": m, "batch": b, "input": "x", "macs": 10**6 * b, "params": 10**7 + p, "inference_peak": 2**20 * b}
            for m, p in (("small", 0), ("large", 4 * 10**6)) for b in (1, 8)]  # fmt: skip
    path = tmp_path / "p.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw(("model", "batch", "input", "macs", "params"), rows, ["macs", "params"], str(path))
        text = path.read_text()
        for said in ("small batch=1", "small batch=8", "large batch=1", "large batch=8", ">MACs<", "12.0 M"):
            assert said in text
        assert "1e7" not in text
        draw(("model", "batch", "input", "inference_peak", "params"), rows, ["inference_peak", "params"], str(path))
        assert "MiB" in path.read_text()
