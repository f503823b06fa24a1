from dataclasses import replace

import pytest

from cnncost.report.outline import (
    OWN,
    biggest_name,
    depth_of,
    fitting_depth,
    inside,
    layer_names,
    outline,
    visible,
)

COLUMNS = ("params", "trainable_params", "buffers", "macs", "flops", "bytes_read", "bytes_written")


def leaves(items, depth):
    """The rows that have no rows of their own below them at this depth."""
    for item in items:
        if depth > 1 and item.children:
            yield from leaves(item.children, depth - 1)
        else:
            yield item


@pytest.mark.parametrize("fold", [pytest.param(True, id="folded"), pytest.param(False, id="unfolded")])
@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50", "vgg16"])
def test_rows_add_up_to_the_total_at_any_depth(name, fold, report):
    items = outline(report(name), fold=fold)
    for depth in range(1, depth_of(items) + 1):
        for column in COLUMNS:
            total = sum(getattr(item.row, column) for item in leaves(items, depth))
            assert total == getattr(report(name).totals, column)


def names(items, depth):
    return [(placed.item.name, placed.item.siblings) for placed in visible(items, depth)]


def test_equal_siblings_are_one_row(report):
    stages = [item for item in outline(report("resnet50")) if item.name.startswith("layer")]
    assert [names(stage.children, 1) for stage in stages] == [
        [("0", 1), ("1, 2", 2)],
        [("0", 1), ("1 … 3", 3)],
        [("0", 1), ("1 … 5", 5)],
        [("0", 1), ("1, 2", 2)],
    ]


def test_a_row_of_equal_siblings_is_their_sum(report):
    layer3 = next(item for item in outline(report("resnet50")) if item.name == "layer3")
    folded = layer3.children[1]
    assert folded.paths == tuple(f"layer3.{i}" for i in range(1, 6))
    assert folded.row.macs == sum(report("resnet50").module(path).macs for path in folded.paths)
    assert folded.children[0].paths == tuple(f"layer3.{i}.conv1" for i in range(1, 6))
    assert folded.children[0].row.macs == 5 * report("resnet50").module("layer3.1.conv1").macs


def test_what_differs_in_anything_shown_stays_apart(report):
    assert all(item.siblings == 1 for item, _ in visible(outline(report("vgg16")), 9))


def test_own_share_comes_last_and_only_where_there_is_one(report):
    block = inside(report("resnet50"), "layer1.0")
    assert [item.name for item in block if item.own] == [OWN]
    assert block[-1].row.flops == 802_816  # the sum of the branches, 256×56×56
    assert not any(item.own for item in outline(report("lenet5")))


def test_a_model_without_children_is_a_row_of_its_own(report):
    conv = report("lenet5")
    alone = type(conv)(
        "conv",
        conv.inputs,
        conv.totals,
        (replace(conv.layers[0], path=""),),
        conv.ops,
        {},
        {},
        (("", "Conv2d", 1),),
        {},
    )
    (item,) = outline(alone)
    assert (item.name, item.row.macs) == ("conv", 117_600)


def test_statuses_reach_the_containers(report):
    status = {item.name: item.row.status for item in outline(report("odd"))}
    assert status["never"] == "unused"
    assert status["tied"] == "used"
    assert status["blocks"] == status["twice"] == "called"


@pytest.mark.parametrize(
    ("rows", "depth"),
    [
        pytest.param(0, 1, id="one level is always shown"),
        pytest.param(11, 1, id="just enough for one level"),
        pytest.param(19, 2, id="just enough for two"),
        pytest.param(1000, 4, id="all there is"),
    ],
)
def test_depth_that_fits(rows, depth, report):
    assert fitting_depth(outline(report("resnet50")), rows) == depth


def test_no_level_at_depth_0(report):
    assert list(visible(outline(report("resnet50")), 0)) == []


def test_layers_are_called_by_path_call_and_share(report):
    found = layer_names(report("odd"))
    assert found[0] == "(own)"
    assert {"twice", "twice#2", "blocks.0.0", "never.0"} <= set(found)
    assert "layer1.0 (own)" in layer_names(report("resnet50"))


def test_biggest_layer_by_name(report):
    assert biggest_name(report("vgg16")) == "features.conv1_2"
