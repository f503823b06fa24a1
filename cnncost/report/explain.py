"""How a module's numbers come about: each op's formula with its numbers in place.

All is read off the terms that the rules return (`Cost.terms`), which are also what the numbers are
sums of, so that no text can tell another formula than the one that was used.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from cnncost import units
from cnncost.errors import CnncostError
from cnncost.graph import Graph, Node, Value
from cnncost.ops import Cost, Term, cost_of
from cnncost.report import layout
from cnncost.report.entries import Entry, child_entries
from cnncost.report.model import Module, Report
from cnncost.report.text import table_lines

WIDTH = 80


def explain(report: Report, path: str) -> str:
    """The formulas of what a module runs itself, and what each module in it adds.

    Args:
        report: of an analysis; one that was read from a file has no graph, and so no formulas.
        path: the module's, `""` for the model; `path#2` for its second call alone.

    Raises:
        CnncostError: no such module, or no graph.
    """
    path, call = _split(report, path)
    module = report.module(path)
    if report.graph is None:
        raise CnncostError(
            f"explain {path!r}: the report of {report.model} was read from a file, which has no formulas; "
            "analyze the model itself"
        )
    lines = [_headline(report, module, call)]
    ops = list(_ops(report.graph, path, call))
    lines += [f"  {line}" for line in ops or _idle(report.graph, module)]
    below = child_entries(report, path)
    if below:
        lines += ["", "What the modules in it add:", *_children(report, module, below)]
    return "\n".join(layout.printable(line) for line in lines)


def _split(report: Report, path: str) -> tuple[str, int | None]:
    """A path and, if it ends in `#n`, the number of a call that there was."""
    base, sign, number = path.rpartition("#")
    calls = {known: count for known, _, count in report.tree}
    if sign and number.isdecimal() and base in calls and path not in calls and 1 <= int(number) <= calls[base]:
        return base, int(number)
    return path, None


def _headline(report: Report, module: Module, call: int | None) -> str:
    name = f"{module.path or report.model} ({module.class_name})"
    if call is not None:
        return f"{name}, call {call} of {module.calls}"
    return f"{name}, {module.calls} calls" if module.calls > 1 else name


def _ops(graph: Graph, path: str, call: int | None) -> Iterator[str]:
    """Each op that the module's calls ran themselves; the same op on the same shapes is told once."""
    calls = {
        i for i, each in enumerate(graph.calls)
        if graph.scopes[each.scope].path == path and call in {None, each.index + 1}
    }  # fmt: skip
    groups: dict[tuple[object, str], list[Node]] = {}
    for node in graph.nodes:
        if node.call in calls and node.phase == "forward":
            groups.setdefault((node.spec, node.name), []).append(node)
    macs = flops = 0
    names = _Names(graph, path)
    for nodes in groups.values():
        found = cost_of(nodes[0].spec)
        times = f", {len(nodes)}×" if len(nodes) > 1 else ""
        yield f"{nodes[0].name} (kind {nodes[0].spec.kind}){times}"
        yield from _wrapped(names.signature(nodes[0]))
        yield from _formulas(found, nodes[0].spec.kind, len(nodes))
        macs += found.macs * len(nodes) if found else 0
        flops += found.flops * len(nodes) if found else 0
    if len(groups) > 1:
        known = all(cost_of(nodes[0].spec) for nodes in groups.values())
        mark = "" if known else "≥"
        yield f"together: {mark}{units.counted(macs, 'MAC')}, {mark}{units.counted(flops, 'FLOP')}"


def _idle(graph: Graph, module: Module) -> list[str]:
    """What to say of a module that ran no op itself."""
    if module.calls:
        return ["runs no op itself"]
    mine = {o.value for scope in graph.scopes if scope.path == module.path for o in scope.parameters + scope.buffers}
    readers = {
        f"{node.name} in {graph.call_path(node.call) or 'the model itself'}": None
        for node in graph.nodes if not mine.isdisjoint(node.inputs)
    }  # fmt: skip
    if readers:
        return [f"never called itself; its parameters are read by {', '.join(readers)}"]
    return ["never called"]


def _formulas(found: Cost | None, kind: str, times: int) -> Iterator[str]:
    """MACs and FLOPs as names, as numbers, and as the result."""
    if found is None:
        yield f"  unknown: no rule for kind {kind!r}; add one with cnncost.rule({kind!r})"
        return
    if not found.terms:
        yield "  free: moves or makes data and computes nothing"
        return
    products = [term for term in found.terms if term.mac]
    others = [term for term in found.terms if not term.mac]
    if products:
        labels = [_labelled(term) if len(products) > 1 else _product(term) for term in products]
        yield from _equation("MACs ", labels, [_product(term, numbers=True) for term in products], found.macs, times)
    names = ["2·MACs"] if products else []
    numbers = [f"2·{found.macs}"] if products else []
    names += [_labelled(term) for term in others]
    numbers += [_product(term, numbers=True) for term in others]
    yield from _equation("FLOPs", names, numbers, found.flops, times)


def _equation(what: str, names: list[str], numbers: list[str], result: int, times: int) -> Iterator[str]:
    """On one line if it fits, else a line each for names, numbers and result."""
    total = units.exact(result) + (f"; {times}× = {units.exact(times * result)}" if times > 1 else "")
    sides = [" + ".join(names), " + ".join(numbers), total]
    line = f"  {what} = {' = '.join(sides)}"
    if len(line) <= WIDTH - 2:
        yield line
        return
    for i, side in enumerate(sides):
        yield from _wrapped(side, f"  {what if i == 0 else ' ' * len(what)} = ")


def _wrapped(text: str, start: str = "  ") -> list[str]:
    indent = " " * len(start)
    return textwrap.wrap(
        text, WIDTH - 2, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _labelled(term: Term) -> str:
    """What it is, and its product: `softmax 5·B·L·S`."""
    return f"{term.what} {_product(term)}"


def _product(term: Term, numbers: bool = False) -> str:
    """The factors by name or by number; what one item costs stands in front, if that is not one."""
    each = [str(term.flops)] if term.flops != 1 and not term.mac else []
    return "·".join(each + [str(number) if numbers else _factor(name) for name, number in term.factors])


def _factor(name: str) -> str:
    """A name that is itself a sum or a quotient, in brackets."""
    return f"({name})" if any(sign in name for sign in "+-/") else name


def _children(report: Report, module: Module, below: list[Entry]) -> Iterator[str]:
    total = Entry("total", module, style="total")
    for line in table_lines(report, "module", [*below, total], WIDTH):
        yield layout.plain(line)


class _Names:
    """What the tensors of a module's ops are called."""

    def __init__(self, graph: Graph, path: str) -> None:
        self.graph = graph
        self.owned: dict[int, str] = {}
        for scope in graph.scopes:
            for each in scope.parameters + scope.buffers:
                full = f"{scope.path}.{each.name}" if scope.path else each.name
                if scope.path == path or each.value not in self.owned:
                    self.owned[each.value] = each.name if scope.path == path else full

    def signature(self, node: Node) -> str:
        """`x 1×3×224×224 float32, weight 64×3×3×3 → 1×64×224×224`; a dtype is told where it changes."""
        values = [self.graph.values[i] for i in node.inputs]
        unnamed = [value for value in values if value.id not in self.owned]
        numbered = len({value.id for value in unnamed}) > 1
        letters: dict[int, str] = {}
        texts, dtype = [], ""
        for value in values:
            name = self.owned.get(value.id) or letters.setdefault(value.id, f"x{len(letters) + 1}" if numbered else "x")
            texts.append(f"{name} {_typed(value, dtype)}")
            dtype = value.dtype
        outputs = []
        for i in node.outputs:
            outputs.append(_typed(self.graph.values[i], dtype))
            dtype = self.graph.values[i].dtype
        return f"{', '.join(texts) or 'nothing'} → {', '.join(outputs) or 'nothing'}"


def _typed(value: Value, before: str) -> str:
    return units.shape(value.shape) + (f" {value.dtype}" if value.dtype != before else "")
