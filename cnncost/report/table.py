"""The report's rows as CSV and as a pandas DataFrame: exact numbers, one row each, no total row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnncost.errors import MissingPackageError
from cnncost.render.csv import written
from cnncost.render.values import csv_cell
from cnncost.report import heading
from cnncost.report.columns import By, table
from cnncost.report.data import ReportData

if TYPE_CHECKING:
    import pandas as pd


def to_csv(report: ReportData, *, by: By = "layer") -> str:
    """The rows as CSV with a line of column names. Numbers are plain ints, bytes are bytes.

    Raises:
        CnncostError: no such `by`.
    """
    columns, rows = table(report, by)
    return written(
        [column.name for column in columns], ([csv_cell(column.of(row)) for column in columns] for row in rows)
    )


def to_pandas(report: ReportData, *, by: By = "layer") -> pd.DataFrame:
    """The rows as a DataFrame, columns as in CSV; `attrs` hold model, inputs and convention.

    Raises:
        CnncostError: no such `by`.
        MissingPackageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingPackageError("to_pandas: pandas is not installed; pip install pandas") from None
    columns, rows = table(report, by)
    frame = pd.DataFrame({column.name: [csv_cell(column.of(row)) for row in rows] for column in columns})
    frame.attrs = {"model": report.model, "inputs": heading.inputs(report), "convention": heading.CONVENTION}
    return frame
