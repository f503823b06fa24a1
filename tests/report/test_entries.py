from dataclasses import replace

import pytest

from cnncost.report.entries import biggest_item, child_entries, entries, note
from cnncost.report.outline import outline, visible


def legend(report, by, depth=None):
    return [line.partition(":")[0] for line in entries(report, by, depth).legend]


@pytest.mark.parametrize(
    ("name", "by", "depth", "lines"),
    [
        pytest.param("lenet5", "module", None, [], id="nothing to say of a plain list"),
        pytest.param("odd", "module", None, ["a … b ×n", "(own)", "(used)"], id="every sign that is there"),
        pytest.param(
            "vgg16", "module", 1, ["1 of 2 levels shown; each row includes all below it"], id="a tree that is cut"
        ),
        pytest.param("vgg16", "layer", None, ["each row is one call of a module"], id="layers"),
        pytest.param(
            "resnet50", "layer", None, ["each row is one call of a module; (own)"], id="layers and own shares"
        ),
        pytest.param("odd", "op", None, [], id="ops have no modules"),
    ],
)
def test_legend(name, by, depth, lines, report):
    assert legend(report(name), by, depth) == lines


def test_total_comes_last(report):
    assert entries(report("odd"), "op", None).rows[-1].row == report("odd").totals


def test_names_where_no_tree_is_drawn(report):
    full = {entry.full: entry.full_tail for entry in entries(report("odd"), "module", None).rows}
    assert full["blocks.0.0 … blocks.3.0"] == " ×4"
    assert full["(own)"] == ""
    assert full["twice"] == " (2 calls)"


@pytest.mark.parametrize(
    ("name", "depth", "row"),
    [
        pytest.param("vgg16", 1, "features", id="the module that it is in"),
        pytest.param("vgg16", 2, "conv1_2", id="the layer itself"),
        pytest.param("odd", 1, "twice", id="not the model's own share"),
    ],
)
def test_row_that_holds_the_biggest_layer(name, depth, row, report):
    items = [item for item, _ in visible(outline(report(name)), depth)]
    assert biggest_item(items, report(name)).name == row


def test_the_models_own_share_may_be_the_biggest(report):
    odd = report("odd")
    layers = (replace(odd.layers[0], macs=10**12), *odd.layers[1:])
    items = [item for item, _ in visible(outline(odd), 2)]
    assert biggest_item(items, replace(odd, layers=layers)).name == "(own)"


def test_nothing_is_biggest_of_nothing(report):
    assert biggest_item([], replace(report("odd"), layers=())) is None


def test_children_of_a_module(report):
    assert [entry.name for entry in child_entries(report("resnet50"), "layer3")] == ["0", "1 … 5"]
    assert child_entries(report("resnet50"), "fc") == []


def test_notes_beside_names(report):
    notes = {module.path: note(module) for module in report("odd").modules}
    assert (notes["twice"], notes["tied"], notes["never.0"], notes["norm"]) == (
        " (2 calls)",
        " (used)",
        " (not called)",
        "",
    )
