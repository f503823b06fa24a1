"""What is laid side by side is of the same work, and says of what: batches, inputs at any width, axes and labels."""

import json

import pytest
import torch
from torch import nn

import cnncost
from cnncost.budget.compare import compare, incomparable
from cnncost.budget.render.compare import document
from cnncost.plots.pareto import points_by_label
from cnncost.render.csv import to_csv
from cnncost.render.json import to_json
from cnncost.render.layout import plain
from cnncost.render.markdown import to_markdown
from cnncost.render.text import to_lines


def reports(*named):
    return [(name, cnncost.analyze(model, shape)) for name, model, shape in named]


DIFFERENT = (("one", "lenet5", "1x1x32x32"), ("two", "lenet5", "2x1x32x32"))
ALIKE = (("a long name of a model", "lenet5", "3x1x32x32"), ("another", "lenet300", "3x1x28x28"))
SAME = (("first", "lenet5", "1x1x32x32"), ("second", "lenet5", "1x1x32x32"))


class Exponential(nn.Module):
    """A linear layer of 3·3 and 3 parameters, a product, and an op without a rule."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return torch.matrix_exp(self.linear(x).T @ x)


def test_a_ratio_of_a_lower_bound_is_one():
    """5·9 MACs, then 3·5·3, for 12 parameters: 7.5, of which 7 is a lower bound; 45 for 12 are 3.75."""
    rows = compare(reports(("one", Exponential(), (5, 3)), ("two", nn.Linear(3, 3), (5, 3))))
    cells = [[cell.strip() for cell in line.split("|")] for line in to_markdown(document(rows)).splitlines()]
    at = next(line for line in cells if "MACs/param" in line).index("MACs/param")
    assert [next(line for line in cells if line[1:] and name in line[1])[at] for name in ("one", "two")] == ["≥7", "4"]


def test_memory_without_temporaries_is_marked():
    one, two = compare(reports(("one", nn.Linear(3, 3), (5, 3)), ("two", nn.Linear(3, 3), (5, 3))))
    text = to_markdown(document((one._replace(unseen=("aten.narrow.Tensor",)), two)))
    assert "≥: one: its memory is a lower bound, because what aten.narrow.Tensor allocates is not known" in text
    assert [line.count("≥") for line in text.splitlines() if line.startswith("| ")][2:] == [1, 0]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_batches_that_differ_are_said(width):
    rows = compare(reports(*DIFFERENT))
    text = " ".join(" ".join(map(plain, to_lines(document(rows), width))).split())

    assert "batch sizes differ (one: 1, two: 2)" in text
    assert not any(row.front for row in rows)
    assert "Pareto front: no other" not in text
    assert "batch sizes differ (one: 1, two: 2)" in to_markdown(document(rows))
    assert [row["batch"] for row in json.loads(to_json(document(rows)))["models"]] == [1, 2]
    assert "one,1x1x32x32:float32,1," in to_csv(document(rows))
    assert all(len(plain(line)) <= width for line in to_lines(document(rows), width))


def test_equal_batches_are_compared():
    rows = compare(reports(*ALIKE))
    assert (incomparable(rows), [row.batch for row in rows]) == ("", [3, 3])
    assert any(row.front for row in rows)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize(("named", "shapes"), [(ALIKE, ("3×1×32×32", "3×1×28×28")), (SAME, ("1×1×32×32",))])
def test_inputs_are_there_at_any_width(width, named, shapes):
    lines = [plain(line) for line in to_lines(document(compare(reports(*named))), width)]
    assert all(any(shape in line for line in lines) for shape in shapes)
    assert all(len(line) <= width for line in lines)


def test_models_of_one_place_share_a_label():
    assert points_by_label([("first", (1, 2)), ("second", (1, 2))]) == {"first, second": (1, 2)}


def test_equal_labels_of_several_places_are_all_drawn():
    places = [(1, 2), (3, 4), (5, 6)]
    assert list(points_by_label([("net", place) for place in places]).values()) == places


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1.1e6, 1.3e6),
        (2.1e6, 4.9e6),
        (1.2e9, 9.5e9),
        (2.0e6, 9.0e6),
        (8e5, 1.3e6),
        (1e6, 3e8),
        (1, 1e12),
        (7, 8),
        (2.15e7, 2.19e7),
        (3.64e9, 3.67e9),
    ],
)
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_an_axis_has_numbers_on_it_that_differ(low, high, scale):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.add_subplot()
    axes.set_xscale(scale)
    axes.set_xlim(low, high)
    from cnncost.plots.marks import readable_axis

    readable_axis(axes.xaxis, "MACs")
    ticks = [tick for tick in axes.xaxis.get_majorticklocs() if low <= tick <= high]
    shown = [text for tick in ticks if (text := axes.xaxis.get_major_formatter()(tick, None))]
    assert shown
    assert len(set(shown)) == len(shown)
