"""The tables of a benchmark: networks, layers, and the shares of convolutions."""

from __future__ import annotations

from typing import Any

from cnncost.evaluation.bench import Bench
from cnncost.evaluation.join import Joined, LayerRow
from cnncost.render.document import Cell, Column, Narrowing, Role, Row, Shown, Table
from cnncost.render.values import show
from cnncost.report.columns import AT_LEAST
from cnncost.units import NOTHING

_SHORT_DTYPES = {"float32": "float32", "bfloat16": "bf16", "float16": "fp16"}


def cases(bench: Bench, rows: list[Joined]) -> Table:
    """Return a table with a row for each network and case: times, throughput, rates and peak memory."""
    columns = (
        Column("network", "network", least=10),
        Column("case", "case"),
        Column("measured", "measured", "duration"),
        Column("spread", "±", "percent"),
        Column("predicted", "predicted", "duration", empty=NOTHING),
        Column("error", "error", "error", empty=NOTHING),
        Column("bound", "bound"),
        Column("examples", "examples/s", "number", empty=NOTHING),
        Column("flops", "FLOP/s", "rate", empty=NOTHING),
        Column("of_peak", "of peak", "percent", empty=NOTHING),
        Column("bytes", "B/s", "rate", empty=NOTHING),
        Column("peak", "peak memory", "bytes", empty=NOTHING),
        Column("predicted_peak", "predicted peak", "bytes", empty=NOTHING),
    )
    narrowing = tuple(Narrowing((column.name,)) for column in reversed(columns[4:]))
    return Table(columns, tuple(Row(_case(bench, row)) for row in rows), narrowing=narrowing, shown="people")


def _case(bench: Bench, row: Joined) -> tuple[Any, ...]:
    mark, counts_mark = AT_LEAST if row.unknown_ops else "", AT_LEAST if row.leaves_out_ops else ""
    return (
        row.name, case_name(row), Cell(row.seconds, "" if row.seconds is not None else row.measured.status),
        spread(row), Cell(row.predicted_seconds, mark), Cell(row.error, mark),
        row.prediction.roofline.total.bound if row.prediction else "", row.per_second,
        Cell(_rate(row.flops, row.seconds), counts_mark), Cell(of_peak(bench, row), counts_mark),
        Cell(_rate(row.nbytes, row.seconds), counts_mark), row.measured.peak_memory,
        Cell(row.predicted_memory, AT_LEAST if row.memory_partial else ""),
    )  # fmt: skip


def layers(joined: Joined, top: int, shown: Shown) -> Table:
    """Return a table of the `top` slowest module calls, in order, then the sum of the others and the total."""
    columns = (
        Column("module", "module", empty="(own)", least=14),
        Column("kind", "kind"),
        Column("measured", "measured", "seconds"),
        Column("share", "share", "percent", empty=NOTHING),
        Column("predicted", "predicted", "seconds"),
        Column("error", "error", "error", empty=NOTHING),
        Column("flops", "FLOP/s", "rate"),
        Column("bytes", "B/s", "rate"),
        Column("bound", "bound"),
    )
    timed = [row for row in joined.layers if row.measured is not None and row.predicted is not None]
    kept = {id(row) for row in sorted(timed, key=lambda row: -(row.measured or 0.0))[:top]}
    total = sum(row.measured or 0.0 for row in joined.layers)

    def sums(name: str, rows: list[LayerRow], role: Role) -> Row:
        measured = sum(row.measured or 0.0 for row in rows)
        predicted = [row.predicted for row in rows if row.predicted]
        times = _times(
            measured, sum(each.seconds for each in predicted), total, any(each.unknown for each in predicted)
        )
        return Row((name, "", *times, Cell(None), Cell(None), ""), role)

    rows = [
        Row((row.label, row.kind,
             *_times(row.measured or 0.0, row.predicted.seconds, total, bool(row.predicted.unknown)),
             *(_rate_cell(row, amount) for amount in (row.predicted.flops, row.predicted.nbytes)), row.predicted.bound))
        for row in timed if id(row) in kept and row.predicted
    ]  # fmt: skip
    rest = sums("all others", [row for row in joined.layers if id(row) not in kept], "rest")
    narrowing = tuple(Narrowing((column.name,)) for column in reversed(columns[4:]))
    all_rows = (*rows, rest, sums("sum of layers", list(joined.layers), "total"))
    return Table(columns, all_rows, narrowing=narrowing, shown=shown, apart=False)


def _times(measured: float, predicted: float, total: float, partial: bool) -> tuple[Any, ...]:
    """Return the cells: measured time, share of the total, and predicted time and error, marked if ops lack there."""
    share, mark = measured / total if total else None, AT_LEAST if partial else ""
    return measured, share, Cell(predicted, mark), Cell(predicted / measured - 1 if measured else None, mark)


def _rate_cell(row: LayerRow, amount: int) -> Cell:
    """Return the cell of an amount per measured second: a dash without a time, and marked if ops lack in the amount."""
    if not row.measured:
        return Cell(None, NOTHING)
    mark = AT_LEAST if row.predicted is not None and row.predicted.leaves_out_ops else ""
    return Cell(amount / row.measured, mark)


def shares(rows: list[Joined]) -> Table:
    """Return a table of the share of convolutions in each network's parameters, MACs and time."""
    headings = ("of parameters", "of MACs", "of predicted time", "of measured time")
    columns = (
        Column("network", "network"), Column("case", "case"),
        *(Column(heading, heading, "percent", empty=NOTHING) for heading in headings),
    )  # fmt: skip
    found = [(row, share) for row in rows if (share := row.share("conv")) is not None]
    return Table(columns, tuple(Row((row.name, case_name(row), *share)) for row, share in found), shown="markup")


def case_name(row: Joined, *, without_batch: bool = False) -> str:
    """Return a case's name, such as `64 bf16 training`; float32, inference and eager mode are left out."""
    case = row.case
    batch = str(case.batch) if case.batch else "as given"
    parts = [
        "" if without_batch else batch,
        "" if case.dtype == "float32" else _SHORT_DTYPES.get(case.dtype, case.dtype),
        "training" if case.training else "",
        "compiled" if case.compiled else "",
    ]
    return " ".join(part for part in parts if part)


def spread(row: Joined) -> Cell:
    """Return the interquartile range divided by the median, with `!` if the machine was not quiet."""
    timing = row.measured.timing
    return Cell(None) if timing is None else Cell(timing.spread, tail=" !" if timing.noise else "")


def signed(value: float | None) -> str:
    """Return a relative error as text, such as `+12 %`; a dash if unknown."""
    return show("error", value, NOTHING)


def of_peak(bench: Bench, row: Joined) -> float | None:
    """Return the achieved FLOP/s as a fraction of the device's peak for the dtype; None if either is unknown."""
    peak = bench.device.flops.get(row.case.dtype)
    if not peak or row.flops is None or not row.seconds:
        return None
    return row.flops / row.seconds / peak


def _rate(amount: int | None, seconds: float | None) -> float | None:
    return None if amount is None or not seconds else amount / seconds
