"""The report's rows as CSV and as a pandas DataFrame: exact numbers, one row each, no total row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnncost.errors import MissingPackageError
from cnncost.render.csv import written
from cnncost.render.values import csv_cell
from cnncost.report import heading
from cnncost.report.columns import By, Column, Row, table
from cnncost.report.data import ReportData
from cnncost.report.ranking import Ranking, ranked

if TYPE_CHECKING:
    import pandas as pd


def to_csv(report: ReportData, *, by: By = "layer", asked: Ranking | None = None) -> str:
    """The rows as CSV with a line of column names. Numbers are plain ints, bytes are bytes.

    Raises:
        CnncostError: no such `by`, or no such ranking of its rows.
    """
    columns, rows = _table(report, by, asked)
    return written(
        [column.name for column in columns], ([csv_cell(column.of(row)) for column in columns] for row in rows)
    )


def _table(report: ReportData, by: By, asked: Ranking | None) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    columns, rows = table(report, by)
    return columns, rows if asked is None else tuple([rows[index] for index in ranked(report, by, asked).order])


def to_pandas(report: ReportData, *, by: By = "layer", asked: Ranking | None = None) -> pd.DataFrame:
    """The rows as a DataFrame, columns as in CSV; `attrs` hold model, inputs and convention.

    Raises:
        CnncostError: no such `by`, or no such ranking of its rows.
        MissingPackageError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingPackageError("to_pandas: pandas is not installed; pip install pandas") from None
    columns, rows = _table(report, by, asked)
    frame = pd.DataFrame({column.name: [csv_cell(column.of(row)) for row in rows] for column in columns})
    frame.attrs = {"model": report.model, "inputs": heading.inputs(report), "convention": heading.CONVENTION}
    return frame
