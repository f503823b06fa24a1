"""A Serving as a document. Computes no figures."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from cnncost import units
from cnncost.decoding.figures import Cache, Course, Serving
from cnncost.render.document import Cell, Column, Document, Row, Table, notes
from cnncost.report.columns import AT_LEAST
from cnncost.report.model import Report
from cnncost.report.prediction import Prediction

_AT_MOST = "≤"
_COLUMNS = (
    Column("call", "call"),
    Column("tokens", "tokens", "count", meaning="of each sequence"),
    Column("macs", "MACs", "compact"),
    Column("flops", "FLOPs", "compact"),
    Column("inputs_bytes", "cache and inputs read", "bytes"),
    Column("peak_bytes", "peak memory", "bytes", meaning="with parameters and cache"),
)
_TIMES = (
    Column("seconds", "time", "seconds"),
    Column("tokens_per_second", "tokens/s", "number", meaning="of all sequences"),
    Column("bound", "bound by"),
)


def document(found: Serving) -> Document:
    """Return tables and notes on prefill, decode, and the cache between them."""
    timed = bool(found.times)
    columns = (*_COLUMNS, *(_TIMES if timed else ()))
    return Document(
        "serve",
        found.model,
        f"{units.counted(found.context, 'token')} of context, {units.counted(found.batch, 'sequence')}",
        "serving",
        facts=_facts(found),
        parts=(
            Table(columns, tuple(_rows(found)), "calls"),
            notes(*_cache_texts(found), *_course_texts(found)),
            notes(*_time_texts(found)),
            notes(*_remarks(found)),
        ),
        width=120,
    )


def _rows(found: Serving) -> Iterator[Row]:
    times: list[Prediction | None] = [*found.times] or [None] * (len(found.chunks) + 1)  # the last one is for decode
    several, position = len(found.chunks) > 1, 0
    for report, time in zip(found.chunks, times, strict=False):
        tokens = found.chunk_tokens(position)
        position += tokens
        yield _row(f"prefill to {position:,}" if several else "prefill", tokens, found, report, time)
    yield _row(f"decode after {found.context:,}", 1, found, found.decode, times[-1])
    if found.last is not None:
        label = f"decode after {found.context + found.new_tokens - 1:,}"
        yield _row(label, 1, found, found.last, found.last_time)


def _row(label: str, tokens: int, found: Serving, report: Report, time: Prediction | None) -> Row:
    mark = AT_LEAST if report.unknown else ""
    peak_mark = AT_LEAST if report.memory.figures.unseen else ""
    cells: list[Any] = [
        label, tokens, Cell(report.totals.macs, mark), Cell(report.totals.flops, mark), inputs_nbytes(report),
        Cell(report.memory.inference_peak, peak_mark),
    ]  # fmt: skip
    if found.times:
        total = time.roofline.total if time is not None else None
        seconds = total.seconds if total is not None else None
        rate = found.batch * tokens / seconds if seconds else None
        partial = time is not None and time.roofline.partial
        cells += [
            Cell(seconds, AT_LEAST if partial else ""), Cell(rate, _AT_MOST if partial else ""),
            total.bound if total is not None else "",
        ]  # fmt: skip
    return Row(tuple(cells))


def inputs_nbytes(report: Report) -> int:
    """Return the bytes of the storages of a call's inputs: the cache and the tokens."""
    graph = report.graph
    assert graph is not None  # it was recorded just now
    storages = {graph.values[value].storage for value in graph.inputs}
    return sum(graph.storages[storage].nbytes for storage in storages)


def _cache_texts(found: Serving) -> Iterator[str]:
    cache = found.cache
    parts = []
    if cache.bytes_per_token:
        parts.append(f"{units.exact(cache.bytes_per_token)} bytes for each further token")
    if cache.growing:
        parts.append(f"{units.data(cache.growing)} in tensors that grow")
    if cache.constant:
        parts.append(f"{units.data(cache.constant)} that stay as large (windows, states, the encoder's part)")
    yield f"cache of a sequence: {units.data(cache.nbytes)} ({units.exact(cache.nbytes)} bytes): {', '.join(parts)}"
    yield f"parameters, read in each step: {units.data(found.decode.totals.param_bytes)}"
    if found.batch > 1:
        yield f"cache of all {found.batch:,} sequences: {units.data(found.cache_nbytes)}"
    if cache.kept_alive > cache.nbytes:
        yield (
            f"its tensors are views of {units.data(cache.kept_alive)} per sequence, which can't be freed before the "
            "cache is: a window is a slice of a larger tensor"
        )


_MEANINGS = {
    "macs": "MACs of a decode step", "flops": "FLOPs of a decode step", "prefill_macs": "MACs of a prefill at once",
    "prefill_flops": "FLOPs of a prefill at once", "cache": "bytes of the cache, of all sequences",
}  # fmt: skip


def _course_texts(found: Serving) -> Iterator[str]:
    for name, meaning in _MEANINGS.items():
        if name in found.courses:
            yield f"{meaning} = {_law(found.courses[name])}"
    if found.courses:
        course = next(iter(found.courses.values()))
        yield (
            f"these laws hold from {course.first:,} to {course.last:,} tokens of context: found at two or three "
            "lengths, checked at one or two others"
        )


def _law(course: Course) -> str:
    terms: list[tuple[bool, str]] = []
    for power, number in enumerate(course.coefficients):
        if number or not (terms or any(course.coefficients)):  # a law without terms is 0
            unit = ("", "·context", "·context²")[power]
            terms.append((number < 0, f"{_number(abs(number))}{unit}"))
    text = "".join(f" {'−' if negative else '+'} {term}" for negative, term in terms)
    return f"−{text.removeprefix(' − ')}" if text.startswith(" − ") else text.removeprefix(" + ")


def _number(value: Fraction) -> str:
    return units.exact(int(value)) if value.denominator == 1 else f"{value}"


def _time_texts(found: Serving) -> Iterator[str]:
    if not found.times:
        return
    device = found.times[0].roofline.device
    prefill = found.times[:-1]
    bounded = not device.measured or _least(*_times(found))
    yield f"on {device.title}, by the roofline model: {'a lower bound' if bounded else 'a prediction'}"
    first = found.first_token_seconds
    if first is not None:
        time = _least(*prefill) + units.si(first, "s")
        yield f"time to the first token {time}: it follows from the last logits of the prefill"
    if (generated := found.generation_seconds) is not None and found.new_tokens > 1:
        time = _least(*_times(found)[len(prefill) :]) + units.si(generated, "s")
        yield (
            f"{units.counted(found.new_tokens, 'new token')} of each sequence in {time}: the mean "
            "of the first and the last step, times their number"
        )
    most = "at most " if _unseen(found) else ""
    if found.largest_batch is not None:
        yield f"largest batch at this context in {units.data(int(device.memory or 0))}: {most}{found.largest_batch:,}"
    if found.longest_context is not None:
        yield f"longest context at this batch: {most}{units.counted(found.longest_context, 'token')}"


def _least(*times: Prediction) -> str:
    """Return the mark of a sum of times."""
    return AT_LEAST if any(time.roofline.partial for time in times) else ""


def _times(found: Serving) -> tuple[Prediction, ...]:
    return (*found.times, *(() if found.last_time is None else (found.last_time,)))


def _remarks(found: Serving) -> Iterator[str]:
    yield from found.notes
    if unknown := _unknown(found):
        yield f"{AT_LEAST}: lower bounds: no rule for {', '.join(unknown)}"
    if unseen := [name for name in _unseen(found) if name not in unknown]:
        yield f"{AT_LEAST}: lower bounds: what {', '.join(unseen)} allocates while it runs is not known"
    if formats := _without_peak(found):
        yield f"{AT_LEAST}: lower bounds: the device has no peak for products in {', '.join(formats)}"


def _unknown(found: Serving) -> list[str]:
    """Return the names of the ops without a rule in any of the calls."""
    return sorted({op for report in _reports(found) for op in report.unknown})


def _unseen(found: Serving) -> list[str]:
    """Return the names of the ops whose temporaries are unknown; if there are any, peaks are lower bounds."""
    return sorted({op for report in _reports(found) for op in report.memory.figures.unseen})


def _without_peak(found: Serving) -> list[str]:
    """Return the number formats of products whose compute time the times leave out."""
    return sorted({name for time in _times(found) for name in time.roofline.missing})


def _reports(found: Serving) -> tuple[Report, ...]:
    return (*found.chunks, found.decode, *(() if found.last is None else (found.last,)))


def _facts(found: Serving) -> dict[str, Any]:
    return {
        "model": found.model, "batch": found.batch, "context": found.context, "new_tokens": found.new_tokens,
        "cache": _plain(found.cache) | {"all_sequences": found.cache_nbytes},
        "courses": {name: _course_data(course) for name, course in found.courses.items()},
        "device": found.times[0].roofline.device.name if found.times else None,
        "first_token_seconds": found.first_token_seconds, "generation_seconds": found.generation_seconds,
        "largest_batch": found.largest_batch, "longest_context": found.longest_context,
        "unknown": _unknown(found),
        "unseen": _unseen(found),
        "without_peak": _without_peak(found),
        "notes": list(found.notes),
    }  # fmt: skip


def _plain(cache: Cache) -> dict[str, int]:
    return {
        "bytes": cache.nbytes, "bytes_per_token": cache.bytes_per_token, "growing": cache.growing,
        "constant": cache.constant, "kept_alive": cache.kept_alive,
    }  # fmt: skip


def _course_data(course: Course) -> dict[str, Any]:
    return {
        "coefficients": [str(number) for number in course.coefficients], "from": course.first, "to": course.last,
        "checked": list(course.checked),
    }  # fmt: skip
