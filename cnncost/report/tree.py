"""The module tree of a Report: each module including its descendants, summed from the layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cnncost.graph import Shape
from cnncost.report.rows import Layer, Module, Spans, Status, Totals, several
from cnncost.report.schema import names, total

_NO_FIELD = dict.fromkeys(Spans._fields)


def module_tree(
    all_layers: Sequence[Layer], tree: Sequence[tuple[str, str, int]], totals: Totals, fields: Mapping[str, Spans],
    shapes: Mapping[str, tuple[Shape, ...]], input_shapes: Mapping[str, tuple[Shape, ...]] | None = None,
) -> tuple[Module, ...]:  # fmt: skip
    """Return the modules in the model's own order, parents first; the first is the model itself.

    Args:
        all_layers: the rows of all module calls.
        tree: (path, class, calls) of each module.
        totals: the model's totals; optional statistics that are None there were not requested.
        fields: receptive fields of first calls, by path.
        shapes: by path, the output shapes of each module's last call if that call has no row.
        input_shapes: the input shapes of the same calls; None if they were not requested.
    """
    by_path = by_module(all_layers)
    parents = parents_in(tree)
    zeros = _zeros(totals)
    sums = {path: zeros.copy() for path, _, _ in tree}
    unknown, by_data = set[str](), set[str]()
    flags = names(Module, "any")
    numbers = [name for name, zero in zeros.items() if zero is not None and name not in flags]
    for path, layers in by_path.items():
        _add(sums[path], total(layers, Layer), numbers, flags)
        if any(layer.unknown for layer in layers):
            unknown.update(ancestors(path))
        if any(layer.status == "data" for layer in layers):
            by_data.update(ancestors(path))
    for path in sorted(sums, key=_depth, reverse=True):  # deepest first: a module is complete when added to its parent
        if path:
            _add(sums[path.rpartition(".")[0]], sums[path], numbers, flags)
    failed = {layer.path for layer in all_layers if layer.status == "failed"}
    rows = []
    for path, class_name, calls in tree:
        layers = by_path.get(path, [])
        spans = fields.get(path)
        rows.append(
            Module(
                path=path, class_name=class_name, depth=_depth(path), calls=calls,
                output_shapes=shapes.get(path) or (layers[-1].output_shapes if layers else ()),
                status="failed" if path in failed else "data" if path in by_data else _status(layers, calls),
                unknown=path in unknown, leaf=path not in parents,
                input_shapes=_input_shapes(path, layers, input_shapes),
                **({} if path in parents else windows_of(layers)), **sums[path],
                **(_NO_FIELD if spans is None else spans._asdict()),
            )
        )  # fmt: skip
    return tuple(rows)


def _input_shapes(
    path: str, layers: Sequence[Layer], without_row: Mapping[str, tuple[Shape, ...]] | None
) -> tuple[Shape, ...] | None:
    """Return the input shapes of a module's last call; None if they were not requested.

    `without_row` has the input shapes of last calls that have no row, by path.
    """
    if without_row is None:
        return None
    return without_row.get(path) or (layers[-1].input_shapes if layers else None) or ()


def windows_of(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return kernel and stride of a module's own rows; `several` if its calls differ."""
    if len(layers) == 1:
        return {"kernel": layers[0].kernel, "stride": layers[0].stride}
    return {name: several(getattr(layer, name) for layer in layers) for name in ("kernel", "stride")}


def _zeros(totals: Totals) -> dict[str, Any]:
    """Return 0 or False for each aggregated statistic of a module; None for statistics that were not requested."""
    sums: dict[str, Any] = {name: None if getattr(totals, name) is None else 0 for name in names(Module, "sum")}
    return sums | dict.fromkeys(names(Module, "any"), False)


def _add(sums: dict[str, Any], terms: dict[str, Any], numbers: Sequence[str], flags: Sequence[str]) -> None:
    """Add statistics to `sums` in place: numbers are added, flags are combined with or."""
    for name in numbers:
        if terms[name]:  # neither 0 nor None
            sums[name] += terms[name]
    for name in flags:
        if terms[name]:
            sums[name] = True


def by_module(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Return the rows of each module, by its path."""
    by_path: dict[str, list[Layer]] = {}
    for layer in layers:
        by_path.setdefault(layer.path, []).append(layer)
    return by_path


def parents_in(tree: Iterable[tuple[str, str, int]]) -> set[str]:
    """Return the paths of the modules that have children."""
    return {path.rpartition(".")[0] for path, _, _ in tree if path}


def _depth(path: str) -> int:
    return path.count(".") + 1 if path else 0


def ancestors(path: str) -> list[str]:
    """Return the paths of a module's ancestors, outermost first (the model, `""`), and its own path."""
    parts = path.split(".") if path else []
    return [".".join(parts[:n]) for n in range(len(parts) + 1)]


def _status(layers: list[Layer], calls: int) -> Status:
    """Return a module's status; `called` also for a container without rows, which `outline.py` refines."""
    if calls or not layers:
        return "called"
    return layers[0].status


def biggest(layers: Sequence[Layer]) -> Layer | None:
    """Implementation of `Report.biggest`."""
    summed = [rows[0] if len(rows) == 1 else _as_one(rows) for rows in by_module(layers).values()]
    largest = max(summed, key=lambda row: (row.macs, row.flops), default=None)
    return largest if largest is not None and (largest.macs or largest.flops) else None  # MACs of integers: no FLOPs


def _as_one(rows: list[Layer]) -> Layer:
    """Return one row for all calls of a module: the first call's row with aggregated statistics."""
    return replace(rows[0], unknown=any(row.unknown for row in rows), **total(rows, Layer))
