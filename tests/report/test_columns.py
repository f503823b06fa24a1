import json
from dataclasses import fields, replace

import pytest

from cnncost.errors import CnncostError
from cnncost.render import values
from cnncost.report.columns import FURTHER, LAYER, MODULE, OP, for_people, share_cell, table
from cnncost.report.rows import Layer, Module, Op
from cnncost.report.schema import statistics


def text_of(look, cell):
    return cell.mark + values.show(look, cell.value)


@pytest.mark.parametrize("columns", [LAYER, MODULE, OP], ids=["layers", "modules", "ops"])
def test_names_and_headings_are_different(columns):
    assert len({column.name for column in columns}) == len({column.heading for column in columns}) == len(columns)


@pytest.mark.parametrize(
    ("columns", "row"), [(LAYER, Layer), (MODULE, Module), (OP, Op)], ids=["layer", "module", "op"]
)
def test_no_field_is_without_a_column(columns, row):
    known = {column.attribute or column.name for column in (*columns, *FURTHER)}
    assert {field.name for field in fields(row)} - known <= {"leaf"}
    assert {*statistics(row)} <= known


@pytest.mark.parametrize(("key", "columns"), [("layers", LAYER), ("ops", OP)])
def test_json_has_every_column(key, columns, report):
    assert {column.name for column in columns} <= json.loads(report("odd").to_json())[key][0].keys()


@pytest.mark.parametrize(
    ("name", "by", "column", "row", "text"),
    [
        pytest.param("lenet5", "layer", "macs", 0, "117,600", id="exact numbers"),
        pytest.param("lenet5", "layer", "output_shape", 0, "1×6×28×28", id="shapes"),
        pytest.param("lenet5", "layer", "bytes_read", 0, "4.61 KiB", id="bytes in powers of 1024"),
        pytest.param("odd", "layer", "macs", 0, "≥512", id="a lower bound"),
        pytest.param("odd", "layer", "params", 0, "10", id="parameters are known for all that"),
        pytest.param("odd", "op", "macs", -1, "?", id="an op without a rule has no number"),
        pytest.param("odd", "op", "known", -1, "no", id="a flag"),
        pytest.param("odd", "layer", "output_shape", -1, "", id="no output of what never ran"),
    ],
)
def test_show(name, by, column, row, text, report):
    columns, rows = table(report(name), by)
    found = {c.name: c for c in columns}[column]
    assert text_of(found.look, found.cell(rows[row])) == text


def test_several_outputs_are_counted(report):
    shape = next(column for column in LAYER if column.name == "output_shape")
    layer = replace(report("lenet5").layers[0], output_shapes=((1, 2), (3,), ()))
    assert text_of(shape.look, shape.cell(layer)) == "1×2 +2"


def test_columns_that_say_nothing_are_left_out(report):
    assert not {"trainable_params", "frozen_params"} & {column.name for column in for_people(report("lenet5"), "layer")}
    assert {"trainable_params", "frozen_params"} < {column.name for column in for_people(report("odd"), "layer")}
    assert "buffers" not in {column.name for column in for_people(report("vgg16"), "module")}


def test_share(report):
    odd = report("odd")
    assert text_of("share", share_cell(odd.totals, odd)) == "100 %"
    assert text_of("share", share_cell(odd.ops[-1], odd)) == "?"


def test_no_other_view(report):
    with pytest.raises(CnncostError, match="by='kind': expected module, layer or op"):
        table(report("lenet5"), "kind")
