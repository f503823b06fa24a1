import csv
import io
import subprocess
import sys

import pytest

from cnncost.errors import MissingPackageError
from cnncost.render import csv as renderer
from cnncost.report.columns import LAYER
from cnncost.report.document import document
from cnncost.report.table import to_pandas


def to_csv(report, by="layer"):
    return renderer.to_csv(document(report, by))


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_a_layer(report):
    found = rows(to_csv(report("lenet5")))
    assert list(found[0]) == [column.name for column in LAYER]
    assert [row["path"] for row in found] == [layer.path for layer in report("lenet5").layers]
    assert found[0]["output_shape"] == "1x6x28x28"
    assert found[0]["macs"] == "117600"


def test_csv_by_op(report):
    assert [row["op"] for row in rows(to_csv(report("lenet5"), by="op"))] == [op.name for op in report("lenet5").ops]


def test_csv_quotes_what_has_to_be(report):
    path = next(layer.path for layer in report("odd").layers if "\x1b" in layer.path)
    assert path in [row["path"] for row in rows(to_csv(report("odd")))]


def test_csv_ends_lines_alike_everywhere(report):
    assert "\r" not in to_csv(report("lenet5"))


@pytest.mark.parametrize("by", ["layer", "module", "op"])
@pytest.mark.parametrize("name", ["lenet5", "odd"])
def test_pandas_is_as_csv(name, by, report):
    frame = to_pandas(report(name), by=by)
    assert frame.to_csv(index=False, lineterminator="\n") == to_csv(report(name), by=by)


def test_pandas_has_exact_ints_and_says_what_they_are(report):
    frame = report("lenet5").to_pandas()
    assert frame["macs"].sum() == 325_680
    assert frame["flops"].dtype == "int64"
    assert frame.attrs["inputs"] == "input 1×1×32×32 float32, batch size 1"


def test_without_pandas_the_remedy_is_told(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="pandas is not installed; pip install pandas"):
        to_pandas(report("lenet5"))


@pytest.mark.long
def test_csv_needs_no_pandas():
    code = "import sys, cnncost; cnncost.analyze('lenet5').to_csv(); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # our own code
