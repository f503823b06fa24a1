import json
import re
from dataclasses import replace

import pytest

from cnncost.errors import CnncostError
from cnncost.report.json_format import _read, to_json
from cnncost.report.model import Report


@pytest.mark.parametrize("name", ["lenet5", "odd", "resnet50"])
def test_back_and_forth(name, report):
    text = to_json(report(name))
    assert Report.from_json(text) == report(name)
    assert to_json(Report.from_json(text)) == text


def test_a_report_from_a_file_renders_as_the_original(report):
    again = Report.from_json(to_json(report("odd")))
    assert again._repr_html_().partition("</iframe>")[2] == report("odd")._repr_html_().partition("</iframe>")[2] != ""
    assert str(again) == str(report("odd"))


def test_layout(report):
    data = json.loads(to_json(report("lenet5")))
    assert list(data)[:4] == ["schema", "command", "model", "batch"]
    assert data["schema"] == 3
    assert data["inputs"] == [{"shape": [1, 1, 32, 32], "dtype": "float32"}]
    assert data["totals"]["macs"] == 325_680
    assert data["unknown"] == {}
    assert {"path", "class", "kind", "output_shape", "params", "macs", "flops"} < data["layers"][0].keys()
    assert data["layers"][0]["output_shape"] == [1, 6, 28, 28]


def test_a_line_a_layer(report):
    lines = to_json(report("lenet5")).splitlines()
    assert sum('"path": "c1"' in line for line in lines) == 2  # its row, and its place in the tree


def test_a_reader_of_today_passes_over_what_is_added_tomorrow(report):
    data = json.loads(to_json(report("lenet5")))
    data["added"] = data["totals"]["added"] = data["layers"][0]["added"] = 1
    assert Report.from_json(json.dumps(data)) == report("lenet5")


def without(data, *keys):
    *path, last = keys
    for key in path:
        data = data[key]
    del data[last]


def put(data, value, *keys):
    *path, last = keys
    for key in path:
        data = data[key]
    data[last] = value


@pytest.mark.parametrize("name", ["lenet5", "odd"])
def test_reports_of_the_schema_before_are_read(name, report):
    """What 0.2.0 wrote: another number, and no command."""
    data = json.loads(to_json(report(name)))
    del data["command"]
    assert Report.from_json(json.dumps(data | {"schema": 1})) == report(name)


BROKEN = [
    pytest.param(
        lambda d: put(d, "rf", "command"),
        "written by cnncost rf; expected what cnncost summarize writes",
        id="of another command",
    ),
    pytest.param(
        lambda d: put(d, 2, "schema"), "schema 2; this version of cnncost reads schema 1 and 3", id="another schema"
    ),
    pytest.param(lambda d: without(d, "schema"), 'an object with "schema"|object with "schema"', id="no schema"),
    pytest.param(lambda d: without(d, "totals", "macs"), "totals.macs is missing", id="a missing number"),
    pytest.param(lambda d: without(d, "layers"), "layers is missing", id="missing rows"),
    pytest.param(lambda d: without(d, "inputs"), "inputs is missing", id="missing inputs"),
    pytest.param(
        lambda d: without(d, "inputs", 0, "dtype"),
        r"inputs\[0\]: expected an object with shape, dtype",
        id="half an input",
    ),
    pytest.param(
        lambda d: put(d, 1.5, "totals", "macs"), "totals.macs: expected a whole number, got 1.5", id="a fraction"
    ),
    pytest.param(
        lambda d: put(d, True, "totals", "macs"),
        "totals.macs: expected a whole number, got true",
        id="a flag for a number",
    ),
    pytest.param(lambda d: put(d, None, "model"), "model: expected a text, got null", id="no name"),
    pytest.param(lambda d: put(d, {}, "layers"), "layers: expected a list", id="an object for a list"),
    pytest.param(lambda d: put(d, [], "totals"), r"totals: expected an object, got \[\]", id="a list for an object"),
    pytest.param(
        lambda d: put(d, "idle", "layers", 0, "status"),
        'one of called, used, unused, data, failed, unreached, got "idle"',
        id="an unknown status",
    ),
    pytest.param(
        lambda d: put(d, [["1"]], "layers", 3, "output_shapes"),
        r"layers\[3\].output_shapes\[0\]\[0\]: expected a whole",
        id="a text in a shape",
    ),
    pytest.param(
        lambda d: put(d, 1, "totals", "macs"),
        "totals.macs is 1, but the layers add up to 325680",
        id="rows that do not add up",
    ),
    pytest.param(
        lambda d: put(d, 64, "ops", 0, "macs"),
        r"totals.macs is 325680, but the ops add up to \d",
        id="ops that do not add up",
    ),
    pytest.param(lambda d: put(d, 1, "ops", 0, "bytes_read"), "the ops add up to", id="bytes of ops"),
    pytest.param(lambda d: d["ops"].pop(0), "the ops add up to", id="an op too few"),
    pytest.param(lambda d: put(d, 64, "batch"), "batch: expected the inputs' batch, 1, got 64", id="another batch"),
    pytest.param(
        lambda d: put(d, [64, 1, 32, 32], "inputs", 0, "shape"),
        "batch: expected the inputs' batch, 64, got 1",
        id="another input",
    ),
    pytest.param(lambda d: put(d, "c9", "layers", 0, "path"), "module 'c9'", id="a layer outside the tree"),
    pytest.param(lambda d: put(d, [], "tree"), "expected the model itself", id="no tree"),
    pytest.param(
        lambda d: put(d, {"a": "b"}, "unknown"), "unknown.a: expected a whole number", id="a text for a count"
    ),
]


@pytest.mark.parametrize(("breaking", "message"), BROKEN)
def test_broken_reports_are_refused(breaking, message, report):
    data = json.loads(to_json(report("lenet5")))
    breaking(data)
    with pytest.raises(CnncostError, match=message) as caught:
        Report.from_json(json.dumps(data))
    assert re.match("report file: ", str(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty file"),
        pytest.param("# lenet5", id="markdown"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
    ],
)
def test_what_is_no_report_is_refused(text):
    with pytest.raises(CnncostError, match=r"^report file: .*expected"):
        Report.from_json(text)


def test_a_training_step_comes_back(report):
    step = replace(report("lenet5"), totals=replace(report("lenet5").totals, training_macs=1, training_flops=2))
    assert Report.from_json(to_json(step)).totals == step.totals


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        pytest.param(int | str, "global", "global", id="the second of two types"),
        pytest.param(int | str, 3, 3, id="the first"),
        pytest.param(int | tuple[int, ...] | None, [3, 4], (3, 4), id="a list as a tuple"),
        pytest.param(int | None, None, None, id="nothing"),
        pytest.param(tuple[int, str], [1, "a"], (1, "a"), id="a pair"),
    ],
)
def test_types_of_fields(kind, value, read):
    assert _read(kind, value, "field") == read


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        pytest.param(int | str, 1.5, "field: expected a text, got 1.5", id="none of two types"),
        pytest.param(tuple[int, str], [1], r"field: expected a list of 2, got \[1\]", id="half a pair"),
        pytest.param(dict[str, int], [], r"field: expected an object, got \[\]", id="a list for an object"),
    ],
)
def test_values_of_no_type(kind, value, message):
    with pytest.raises(CnncostError, match=message):
        _read(kind, value, "field")
