"""The benchmark's tables, as fields of text that the terminal and markdown share."""

from __future__ import annotations

from cnncost import units
from cnncost.evaluation.bench import Bench
from cnncost.evaluation.join import Joined, LayerRow
from cnncost.render.layout import Cell, Field, printable

_NAMES = {"float32": "float32", "bfloat16": "bf16", "float16": "fp16"}


def cases(bench: Bench, rows: list[Joined], *, brief: bool = False) -> list[Field]:
    """A row for each network and case: measured, predicted, reached, bound, memory."""
    fields = [
        _field("network", [row.name for row in rows], least=10),
        _field("case", [case_name(row) for row in rows]),
        _field("measured", [measured(row) for row in rows], right=True),
        _field("±", [spread(row) for row in rows], right=True),
        _field("predicted", [_time(row.predicted_seconds) for row in rows], right=True),
        _field("error", [signed(row.error) for row in rows], right=True),
        _field("bound", [row.prediction.roofline.total.bound if row.prediction else "" for row in rows]),
        _field("examples/s", [_number(row.per_second) for row in rows], right=True),
    ]
    if brief:
        return fields
    return [
        *fields,
        _field("FLOP/s", [_rate(row.flops, row.seconds, "") for row in rows], right=True),
        _field("of peak", [of_peak(bench, row) for row in rows], right=True),
        _field("B/s", [_rate(row.nbytes, row.seconds, "") for row in rows], right=True),
        _field("peak memory", [_data(row.measured.peak_memory) for row in rows], right=True),
        _field("predicted", [_data(row.predicted_memory) for row in rows], right=True),
    ]


def layers(joined: Joined, top: int) -> list[Field]:
    """The slowest module calls, in their order, then the rest and the sum."""
    timed = [row for row in joined.layers if row.measured is not None and row.predicted is not None]
    slowest = sorted(timed, key=lambda row: -(row.measured or 0.0))[:top]
    kept = {id(row) for row in slowest}
    shown = [row for row in timed if id(row) in kept]
    names = [printable(row.label or "(own)") for row in shown]
    rest = sum(row.measured or 0.0 for row in joined.layers if id(row) not in kept)
    rest_predicted = sum(row.predicted.seconds for row in joined.layers if id(row) not in kept and row.predicted)
    total = sum(row.measured or 0.0 for row in joined.layers)
    predicted_total = sum(row.predicted.seconds for row in joined.layers if row.predicted)
    measured_cells = [*(row.measured or 0.0 for row in shown), rest, total]
    predicted_cells = [
        *(row.predicted.seconds if row.predicted else 0.0 for row in shown),
        rest_predicted,
        predicted_total,
    ]
    pairs = list(zip(predicted_cells, measured_cells, strict=True))
    return [
        _field("module", [*names, "all others", "sum of layers"], least=14),
        _field("kind", [*(row.kind for row in shown), "", ""]),
        _field("measured", [units.si(n, "s") for n in measured_cells], right=True),
        _field("share", [units.percent(n, total) for n in measured_cells], right=True),
        _field("predicted", [units.si(n, "s") for n in predicted_cells], right=True),
        _field("error", [signed(p / m - 1 if m else None) for p, m in pairs], right=True),
        _field("FLOP/s", [*(_layer_rate(row) for row in shown), "", ""], right=True),
        _field("B/s", [*(_layer_bytes(row) for row in shown), "", ""], right=True),
        _field("bound", [*(row.predicted.bound if row.predicted else "" for row in shown), "", ""]),
    ]


def shares(rows: list[Joined]) -> list[Field]:
    """What convolutions are of each network: parameters, MACs, time."""
    found = [(row, share) for row in rows if (share := row.share("conv")) is not None]
    return [
        _field("network", [row.name for row, _ in found]),
        _field("case", [case_name(row) for row, _ in found]),
        *(
            _field(heading, [units.percent(share[i]) for _, share in found], right=True)
            for i, heading in enumerate(("of parameters", "of MACs", "of predicted time", "of measured time"))
        ),
    ]


def case_name(row: Joined) -> str:
    """`64 bf16 training`, or what there is to tell."""
    case = row.case
    parts = [
        str(case.batch) if case.batch else "as given",
        "" if case.dtype == "float32" else _NAMES.get(case.dtype, case.dtype),
        "training" if case.training else "",
        "compiled" if case.compiled else "",
    ]
    return " ".join(part for part in parts if part)


def measured(row: Joined) -> str:
    """The median, or the reason why it is missing."""
    return _time(row.seconds) if row.seconds is not None else row.measured.status


def spread(row: Joined) -> str:
    """The quartiles' distance, with `!` where the machine was not quiet."""
    timing = row.measured.timing
    return "" if timing is None else units.percent(timing.spread) + (" !" if timing.noise else "")


def signed(value: float | None) -> str:
    """`+12 %`."""
    return units.NOTHING if value is None else f"{100 * value:+.0f} %".replace("-", "−")


def of_peak(bench: Bench, row: Joined) -> str:
    """What was reached of the device's peak for the number format."""
    peak = bench.device.flops.get(row.case.dtype)
    if peak is None or row.flops is None or not row.seconds:
        return units.NOTHING
    return units.percent(row.flops / row.seconds, peak)


def _field(heading: str, texts: list[str], right: bool = False, least: int | None = None) -> Field:
    return Field(heading, [Cell(text) for text in texts], right, least)


def _time(seconds: float | None) -> str:
    return units.NOTHING if seconds is None else units.duration(seconds)


def _number(number: float | None) -> str:
    return units.NOTHING if number is None else f"{number:,.3g}" if number < 100 else f"{number:,.0f}"


def _rate(amount: int | None, seconds: float | None, unit: str) -> str:
    return units.NOTHING if amount is None or not seconds else units.si(amount / seconds, unit).strip()


def _data(nbytes: int | None) -> str:
    return units.NOTHING if nbytes is None else units.data(nbytes)


def _layer_rate(row: LayerRow) -> str:
    return _rate(row.predicted.flops if row.predicted else None, row.measured, "")


def _layer_bytes(row: LayerRow) -> str:
    return _rate(row.predicted.nbytes if row.predicted else None, row.measured, "")
