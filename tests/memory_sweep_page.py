"""What the sweep of memory found, as a page."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from statistics import median
from typing import Any

MODES = ("inference", "training")
EDGES = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.25)
EXPLAINED: dict[tuple[str, str], str] = {}
"""Errors above 1 % by model and mode, and the mechanism."""

TITLE = "Memory of the zoos: predicted beside the allocator"
OF_THE_REST = """\
torch {torch}, timm {timm}, torchvision {torchvision}, Transformers {transformers}, {machine}; float32, eager, one
thread. Regenerate with `python tests/memory_sweep.py --rest`.

The models that [the first run](memory_zoo.md) could not compare (too large, too slow, or run by a process that had no
memory left for oneDNN's primitives), tried again with limits of 450 M parameters, 60 s and 8 GiB per model. Runs,
sizes and columns are the same."""
INTRODUCTION = """\
torch {torch}, timm {timm}, torchvision {torchvision}, Transformers {transformers}, {machine}; float32, eager, one
thread. Regenerate with `python tests/memory_sweep.py`.

Each model is run on values: a forward under `torch.inference_mode()` and a training step (forward, sum of the outputs,
backward). Inputs are two images of the smallest size from 64×64 up that the model accepts; Transformers models have a
reduced configuration if possible. The bytes compared are those *beyond* what is allocated before the run (parameters,
buffers, inputs). By the allocator's events, *tensors* is the most that was allocated at once, without blocks that a
kernel allocates and frees; *raw* includes them. The exact figure is compared with *tensors*, and the estimate with
workspaces with *raw*."""


def error(row: dict[str, Any], mode: str, *, raw: bool = False, estimated: bool = False) -> float | None:
    """Relative, of bytes beyond those that were there before the run; None if one of both failed."""
    found, said = row["measured"], row["predicted"]
    value = said.get(f"{mode}_raw" if estimated else mode)
    if mode not in found or value is None:
        return None
    return float((value - found["before"]) / found[mode]["everything" if raw else "tensors"] - 1)


def unexplained(entry: dict[str, Any], row: dict[str, Any]) -> list[str]:
    """Errors above 1 % whose mechanism is not known."""
    return [
        f"{entry['model']}, {mode}: {off:+.1%} at {row['predicted'].get(f'{mode}_at')}"
        for mode in MODES
        if (off := error(row, mode)) is not None and abs(off) > EDGES[2] and not why(entry["model"], mode, row)
    ]


def why(model: str, mode: str, row: dict[str, Any]) -> str:
    """What explains an error; empty: nothing that is known."""
    if mode in row["predicted"].get("chance", ()):
        return "forward draws which layers it runs (LayerDrop); the report says that its figures are of one draw"
    return EXPLAINED.get((model, mode), "")


def page(rows: list[Any], everything: list[Any], *, rest: bool = False) -> str:
    """The whole of it; of the `rest`, what a first run could not compare."""
    names = {name: version(name) for name in ("torch", "timm", "torchvision", "transformers")}
    title, introduction = (f"{TITLE}: the rest", OF_THE_REST) if rest else (TITLE, INTRODUCTION)
    lines = [f"# {title}", "", introduction.format(**names, machine=platform.machine()), ""]
    lines += _run(rows, everything)
    lines += ["", "## The exact figure beside tensors", "", *_distribution(rows)]
    lines += ["", *_above(rows)]
    lines += [
        "",
        "## With workspaces, estimated, beside the raw peak",
        "",
        *_distribution(rows, raw=True, estimated=True),
    ]
    lines += ["", *_without(rows)]
    lines += ["", "The ten largest errors of the estimate:", "", *_largest(rows)]
    if failed := [*_failed(rows)]:
        lines += ["", "## Not compared", "", *failed]
    return "\n".join(lines) + "\n"


def _run(rows: list[Any], everything: list[Any]) -> Iterator[str]:
    yield "| zoo | models | begun | inference compared | training compared |"
    yield "|---|---:|---:|---:|---:|"
    for zoo in ("timm", "torchvision", "transformers"):
        own = [row for entry, row in rows if entry["zoo"] == zoo]
        counts = [sum(error(row, mode) is not None for row in own) for mode in MODES]
        yield f"| {zoo} | {sum(e['zoo'] == zoo for e in everything)} | {len(own)} | {counts[0]} | {counts[1]} |"


def _errors(rows: list[Any], mode: str, zoo: str = "", **which: bool) -> list[float]:
    found = [error(row, mode, **which) for entry, row in rows if zoo in ("", entry["zoo"])]
    return sorted(abs(each) for each in found if each is not None)


def _distribution(rows: list[Any], **which: bool) -> Iterator[str]:
    yield f"| run | models | {' | '.join(f'≤ {edge * 100:g} %' for edge in EDGES)} | median | largest |"
    yield "|---|---:" + "|---:" * (len(EDGES) + 2) + "|"
    for zoo in ("timm", "torchvision", "transformers", ""):
        for mode in MODES:
            if not (errors := _errors(rows, mode, zoo, **which)):
                continue
            within = " | ".join(str(sum(each <= edge for each in errors)) for edge in EDGES)
            name = f"{zoo or 'all'}, {mode}"
            yield f"| {name} | {len(errors)} | {within} | {median(errors):.2%} | {errors[-1]:.2%} |"


def _above(rows: list[Any]) -> Iterator[str]:
    above = [
        (entry["model"], mode, off, row)
        for entry, row in rows
        for mode in MODES
        if (off := error(row, mode)) is not None and abs(off) > EDGES[2]
    ]
    if not above:
        yield "No error is above 1 %."
        return
    yield "Above 1 %:"
    yield ""
    yield "| model | run | error | why |"
    yield "|---|---|---:|---|"
    for model, mode, off, row in above:
        told = why(model, mode, row) or f"not explained; predicted peak at {row['predicted'].get(f'{mode}_at')}"
        yield f"| {model} | {mode} | {off:+.2%} | {told} |"


def _without(rows: list[Any]) -> Iterator[str]:
    for mode in MODES:
        if errors := _errors(rows, mode, "timm", raw=True):
            yield (
                f"Without workspaces, the exact figure is off the raw peak by {median(errors):.2%} in the median of "
                f"timm's {mode}, and by up to {errors[-1]:.0%}."
            )


def _largest(rows: list[Any]) -> Iterator[str]:
    found = [
        (off, entry["model"], mode, row["measured"][mode])
        for entry, row in rows
        for mode in MODES
        if (off := error(row, mode, raw=True, estimated=True)) is not None
    ]
    yield "| model | run | error | raw by tensors |"
    yield "|---|---|---:|---:|"
    for off, model, mode, measured in sorted(found, key=lambda each: -abs(each[0]))[:10]:
        yield f"| {model} | {mode} | {off:+.2%} | {measured['everything'] / measured['tensors']:.2f} |"


def _failed(rows: list[Any]) -> Iterator[str]:
    yield "| model | why |"
    yield "|---|---|"
    for entry, row in rows:
        found, said = row["measured"], row["predicted"]
        why = [found["not_run"]] if "not_run" in found else []
        for mode in MODES:
            if f"{mode}_failed" in found:
                why.append(f"{mode} does not run: {found[f'{mode}_failed']}")
            elif f"{mode}_failed" in said:
                why.append(f"{mode} is refused: {said[f'{mode}_failed']}")
        if why:
            yield f"| {entry['model']} | {'; '.join(why).replace('|', '/')[:260]} |"
