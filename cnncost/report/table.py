"""The report's rows as a pandas DataFrame: exact numbers, one row each, no total row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnncost.errors import MissingPackageError
from cnncost.render.values import csv_cell
from cnncost.report import heading
from cnncost.report.columns import By
from cnncost.report.data import ReportData
from cnncost.report.document import data
from cnncost.report.ranking import Ranking

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(report: ReportData, *, by: By = "layer", requested: Ranking | None = None) -> pd.DataFrame:
    """The rows as a DataFrame with the columns of the CSV; `attrs` holds model, inputs and convention.

    Raises:
        CnncostError: `by` is unknown, or the rows can't be sorted as requested.
        MissingPackageError: pandas, or a package that it needs, is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        # for a missing dependency, pandas raises its own error, whose cause names the package
        first = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        missing = first.name or "pandas"
        what = "pandas is" if missing == "pandas" else f"{missing}, which pandas needs, is"
        raise MissingPackageError(f"to_pandas: {what} not installed; pip install {missing}") from None
    table = data(report, by, requested)
    values = {column.name: [csv_cell(row.cells[i]) for row in table.rows] for i, column in enumerate(table.columns)}
    frame = pd.DataFrame(values)
    frame.attrs = {"model": report.model, "inputs": heading.inputs(report), "convention": heading.CONVENTION}
    return frame
