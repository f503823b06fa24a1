"""Encodes memory over the course of a run for the page: bytes by use at each node, and the modules that hold them."""

from __future__ import annotations

from collections.abc import Mapping

from cnncost.errors import CnncostError
from cnncost.graph import Graph
from cnncost.passes.memory import USES, Memory, tensors
from cnncost.report.data import ReportData
from cnncost.report.interactive.encoding import Json, changes, dictionary, number
from cnncost.report.memory import require_whole_forward


def encode(report: ReportData, row_of: Mapping[str, int]) -> tuple[list[Json], str]:
    """Return (runs, ""), or ([], the reason in words) if the report has no recorded run or forward failed."""
    if report.graph is None:
        return [], "the report was read from a file, which does not hold the run; analyze the model itself"
    try:
        require_whole_forward(report.model, report.partial)
    except CnncostError as error:
        return [], str(error)
    inference, training = report.memory.inference, report.memory.training
    runs = [("inference", inference, report.graph), ("training step", training, report.training)]
    return [
        _run(name, memory, graph, row_of) for name, memory, graph in runs if memory is not None and graph is not None
    ], ""


def _run(name: str, memory: Memory, graph: Graph, row_of: Mapping[str, int]) -> Json:
    lifetimes = tensors(graph, memory)
    last = len(graph.nodes) - 1
    paths = [graph.scopes[graph.calls[node.call].scope].path for node in graph.nodes]
    curves = {use: curve for use, curve in memory.curves(graph).items() if any(curve)}
    return {
        "name": name, "nodes": len(graph.nodes), "phases": memory.phases,
        "peak": number(memory.peak.nbytes), "peak_at": memory.peak.node, "ideal_peak": number(memory.ideal_peak),
        "unseen": list(memory.unseen), "total": changes(memory.timeline),
        "use_names": list(USES),
        "uses": {use: changes(curves[use]) for use in USES if use in curves},
        "ops": dictionary(node.name for node in graph.nodes),
        "rows": [row_of.get(path, 0) for path in paths],  # a module that has no row is counted in row 0, the model
        "held": {
            "row": [row_of.get(each.path.partition("#")[0], 0) for each in lifetimes],
            "use": [USES.index(each.use) for each in lifetimes],
            "bytes": [number(each.nbytes) for each in lifetimes],
            # allocated before the run: -1; still alive after the run: the last node
            "born": [-1 if each.born is None else each.born for each in lifetimes],
            "died": [last if each.died is None else each.died for each in lifetimes],
        },
    }  # fmt: skip
