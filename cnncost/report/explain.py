"""Explains how a module's numbers are computed, as text: the formula of each op, with the numbers filled in."""

from __future__ import annotations

from collections.abc import Iterator

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.graph import Graph, Node, OpSpec
from cnncost.masks import Mask
from cnncost.ops import Cost, cost_of
from cnncost.ops.registry import contradiction
from cnncost.passes.unmasked import takes_mask, unmasked_macs
from cnncost.render import layout
from cnncost.render.text import table_lines
from cnncost.report import heading
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData
from cnncost.report.document import table
from cnncost.report.entries import Entry, child_entries
from cnncost.report.formula import formulas, wrapped
from cnncost.report.naming import resolve_path
from cnncost.report.rows import Module
from cnncost.report.signatures import Signatures

WIDTH = 80
"""Maximum number of characters per line."""
_FREE = "no floating-point operation"


def explain(report: ReportData, path: str) -> str:
    """Return text with the formulas of the ops that a module runs itself, and the cost of each child.

    Args:
        report: a report with a graph; a report read from a file has none, and so no formulas.
        path: the module's path; `""` or a displayed name for the model; `path#2` for the second call only.

    Raises:
        CnncostError: there is no such module, or no graph.
    """
    _, class_name, _ = report.tree[0]
    path, call = _split_call_number(
        report, resolve_path(path, (report.model, class_name), [each for each, _, _ in report.tree])
    )
    module = report.module(path)
    if report.graph is None:
        raise CnncostError(
            f"explain {path!r}: the report of {report.model} was read from a file, which has no formulas; "
            "analyze the model itself"
        )
    below = child_entries(report, path)
    lines = [_headline(report, module, call)]
    lines += [f"  {line}" for line in _own(report.graph, module, call, below)]
    if below:
        total = Entry("total", module, style="total")
        shown = table_lines(table(report, "module", [*below, total]), WIDTH)
        lines += ["", "What the modules in it add:", *map(layout.plain, shown)]
    return "\n".join(layout.printable(line) for line in lines)


def _split_call_number(report: ReportData, path: str) -> tuple[str, int | None]:
    """Return (path, n) for `path#n` if the module has such a call, else (path, None)."""
    base, sign, number = path.rpartition("#")
    calls = {module: count for module, _, count in report.tree}
    if sign and number.isdecimal() and base in calls and path not in calls and 1 <= int(number) <= calls[base]:
        return base, int(number)
    return path, None


def _headline(report: ReportData, module: Module, call: int | None) -> str:
    name = f"{module.path} ({module.class_name})" if module.path else heading.title(report)
    if call is not None:
        return f"{name}, call {call} of {module.calls}"
    return f"{name}, {module.calls} calls" if module.calls > 1 else name


def _own(graph: Graph, module: Module, call: int | None, below: list[Entry]) -> Iterator[str]:
    """Yield lines for the ops that a module runs itself.

    Equal ops on equal shapes appear once, with their count; ops without FLOPs share one line.
    """
    groups = _groups(graph, module.path, call)
    if not groups:
        yield from _idle(graph, module, below)
        return
    signatures, free, costs = Signatures(graph), dict[str, int](), []
    masks = dict(graph.masks)
    for indices in groups:
        nodes = [graph.nodes[i] for i in indices]
        cost = cost_of(nodes[0].spec)
        if cost is not None and not cost.terms and len(groups) > 1:
            free[nodes[0].name] = free.get(nodes[0].name, 0) + len(nodes)
        else:
            yield from _op(nodes, cost, signatures.of(nodes[0], module.path))
            yield from _masked(nodes[0].spec, [masks.get(i) for i in indices])
        costs.append((len(nodes), cost))
    if free:
        listed = ", ".join(name + _times(count) for name, count in free.items())
        yield from wrapped(f"{listed} ({_FREE})", "free: ", WIDTH - 2)
    if len(groups) > 1:
        mark = AT_LEAST if any(cost is None for _, cost in costs) else ""
        macs, flops = (sum(n * getattr(cost, what) for n, cost in costs if cost) for what in ("macs", "flops"))
        yield f"together: {mark}{units.counted(macs, 'MAC')}, {mark}{units.counted(flops, 'FLOP')}"


def _op(nodes: list[Node], cost: Cost | None, signature: str) -> Iterator[str]:
    """Yield lines for equal ops: name, tensors, and formula, or why there is none."""
    kind = nodes[0].spec.kind
    yield f"{nodes[0].name} (kind {kind}){_times(len(nodes))}"
    yield from wrapped(signature, "  ", WIDTH - 2)
    if cost is None:
        reason = contradiction(nodes[0].spec) or f"no rule for this kind; add one with cnncost.rule({kind!r})"
        yield from wrapped(f"unknown: {reason}", "  ", WIDTH - 2)
    elif not cost.terms:
        yield f"  free: {_FREE}"
    else:
        yield from (f"  {line}" for line in formulas(cost, len(nodes)))


def _masked(spec: OpSpec, masks: list[Mask | None]) -> Iterator[str]:
    """Yield a line with the op's MACs if masked pairs are skipped; nothing without a mask."""
    if not takes_mask(spec, masks[0]):
        return
    counts = [unmasked_macs(spec, mask) for mask in masks]
    if any(each.bound for each in counts):
        yield "  the mask is unknown: there may be fewer MACs if masked pairs are skipped"
    else:
        yield f"  if masked pairs are skipped: {units.counted(sum(each.macs for each in counts), 'MAC')}"


def _times(count: int) -> str:
    return f" {count}×" if count > 1 else ""


def _groups(graph: Graph, path: str, call: int | None) -> list[list[int]]:
    """Group the forward nodes of one call of a module (None: of all calls) by spec and name; return their indices."""
    calls = {
        i for i, each in enumerate(graph.calls)
        if graph.scopes[each.scope].path == path and call in {None, each.index + 1}
    }  # fmt: skip
    groups: dict[tuple[object, str], list[int]] = {}
    for index, node in enumerate(graph.nodes):
        if node.call in calls and node.phase == "forward":
            groups.setdefault((node.spec, node.name), []).append(index)
    return list(groups.values())


def _idle(graph: Graph, module: Module, below: list[Entry]) -> Iterator[str]:
    """Yield a line for a module that ran no op itself: whether its parameters were read or its children called."""
    if module.calls:
        yield "runs no op itself"
        return
    scopes = [scope for scope in graph.scopes if scope.path == module.path]
    own_tensors = {owned.value for scope in scopes for owned in scope.parameters + scope.buffers}
    readers = dict.fromkeys(
        f"{node.name} in {graph.call_path(node.call) or 'the model itself'}"
        for node in graph.nodes if not own_tensors.isdisjoint(node.inputs)
    )  # fmt: skip
    if readers:
        yield from wrapped(f"never called itself; its parameters are read by {', '.join(readers)}")
    elif any(entry.row.macs or getattr(entry.row, "calls", 0) for entry in below):
        yield "never called itself; modules in it are"
    else:
        yield "never called"
