"""The module tree of a Report: each module with all that is below it, summed from the layers."""

from __future__ import annotations

from collections.abc import Sequence

from cnncost.report.model import Report
from cnncost.report.rows import Layer, Module, Status

_SUMMED = (
    "params", "trainable_params", "buffers", "macs", "flops", "bytes_read", "bytes_written", "allocated", "saved",
    "macs_unmasked",
)  # fmt: skip

_NO_FIELD = (None, None, None)


def module_tree(report: Report) -> tuple[Module, ...]:
    """Modules in the model's own order, parents first; the first one has the model's totals."""
    by_path: dict[str, list[Layer]] = {}
    for layer in report.layers:
        by_path.setdefault(layer.path, []).append(layer)
    parents = {path.rpartition(".")[0] for path, _, _ in report.tree if path}
    sums: dict[str, list[int]] = {path: [0] * len(_SUMMED) for path, _, _ in report.tree}
    unknown: dict[str, bool] = {}
    unmasked: dict[str, bool] = {}
    by_data: set[str] = set()
    failed: set[str] = set()
    for path, layers in by_path.items():
        numbers = [sum(getattr(layer, name) or 0 for layer in layers) for name in _SUMMED]
        for above in _ancestors(path):
            if above in sums:
                sums[above] = [a + b for a, b in zip(sums[above], numbers, strict=True)]
            unknown[above] = unknown.get(above, False) or any(layer.unknown for layer in layers)
            unmasked[above] = unmasked.get(above, False) or any(layer.mask_unknown for layer in layers)
            if any(layer.status == "data" for layer in layers):
                by_data.add(above)
        if any(layer.status == "failed" for layer in layers):
            failed.add(path)
    rows = []
    for path, class_name, calls in report.tree:
        own = by_path.get(path, [])
        depth = path.count(".") + 1 if path else 0
        params, trainable, buffers, macs, flops, read, written, allocated, saved, left = sums[path]
        field, jump, start = report.fields.get(path, _NO_FIELD)
        rows.append(
            Module(
                path, class_name, depth, calls, own[-1].output_shapes if own else (), params, trainable, buffers,
                macs, flops, read, written,
                "failed" if path in failed else "data" if path in by_data else _status(own, calls),
                unknown.get(path, False), path not in parents,
                receptive_field=field, jump=jump, start=start,
                allocated=allocated if report.totals.allocated is not None else None,
                saved=saved if report.totals.allocated is not None else None,
                macs_unmasked=left if report.totals.macs_unmasked is not None else None,
                mask_unknown=unmasked.get(path, False),
            )
        )  # fmt: skip
    return tuple(rows)


def _ancestors(path: str) -> list[str]:
    """The path itself and all above it, down to the model."""
    parts = path.split(".") if path else []
    return [".".join(parts[:n]) for n in range(len(parts) + 1)]


def _status(layers: list[Layer], calls: int) -> Status:
    if calls or not layers:
        return "called"
    return layers[0].status


def biggest(layers: Sequence[Layer]) -> Layer | None:
    """What `Report.biggest` says."""
    summed: dict[str, Layer] = {}
    for row in layers:
        first = summed.get(row.path)
        summed[row.path] = row if first is None else _with_call(first, row)
    largest = max(summed.values(), key=lambda row: (row.macs, row.flops), default=None)
    return largest if largest is not None and largest.flops else None


def _with_call(layer: Layer, further: Layer) -> Layer:
    """The row of a module's calls, and of a further one."""
    both = [(name, getattr(layer, name), getattr(further, name)) for name in _SUMMED]
    added = {name: a + b for name, a, b in both if a is not None and b is not None}
    masks = layer.mask_unknown or further.mask_unknown
    return layer._replace(**added, unknown=layer.unknown or further.unknown, mask_unknown=masks)
