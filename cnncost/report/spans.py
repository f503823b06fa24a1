"""Lays out a run as nested spans: ops in sequence within their modules, each as long as its seconds, FLOPs or bytes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cnncost.graph import Graph
from cnncost.render.timeline import Span, Track, Unit
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData
from cnncost.report.tree import ancestors


class Frame(NamedTuple):
    """A module call in which an op runs: the module's path and class, and the number of the call, from 1."""

    path: str
    class_name: str
    call: int = 1


class Piece(NamedTuple):
    """An op with its size, or the sum of a module call's own ops if the individual ops are unknown.

    Attributes:
        phase: phase of the training step; empty if the run has only one phase.
        frames: the module calls around the op, outermost first.
        op: the op's name; empty for a sum.
        size: length of the span in the track's unit; None if it is unknown.
        facts: returns further data to show with the span; called only when the span is created.
        bounded: whether the size is a lower bound.
    """

    phase: str
    frames: tuple[Frame, ...]
    op: str
    size: float | None
    facts: Callable[[], Mapping[str, Any]] = dict  # returns {}
    bounded: bool = False


def pieces_of_graph(
    graph: Graph, sizes: Iterable[float | None], facts: Callable[[int], Mapping[str, Any]] | None = None,
    bounded: Container[int] = (),
) -> Iterator[Piece]:  # fmt: skip
    """Yield the ops of a run, except those of size 0.

    Args:
        graph: the recorded run.
        sizes: the size of each node in the track's unit; None if it is unknown.
        facts: returns further data to show with a node, given its index.
        bounded: the indices of the nodes whose sizes are lower bounds.
    """
    frames = _Frames(graph)
    has_phases = len({node.phase for node in graph.nodes}) > 1
    for index, (node, size) in enumerate(zip(graph.nodes, sizes, strict=True)):
        if size is None or size or index in bounded:
            node_facts = (lambda i=index: facts(i)) if facts is not None else dict
            phase = node.phase if has_phases else ""
            yield Piece(phase, frames.of(node.call), node.name, size, node_facts, index in bounded)


def pieces_of_layers(report: ReportData, size: Callable[[Any], int], bounded: bool) -> Iterator[Piece]:
    """Yield the sum of each module call's own ops, from a report without a graph.

    If `bounded`, an op without a rule makes the number a lower bound: a piece of unknown size is yielded as well.
    """
    classes = {path: class_name for path, class_name, _ in report.tree}
    for layer in report.layers:
        frames = tuple(
            # a module that was never called has a row with call 0; which calls are around a row is unknown
            Frame(path, classes[path], max(1, layer.call) if path == layer.path else 1)
            for path in ancestors(layer.path) if path in classes
        )  # fmt: skip
        if bounded and layer.unknown:
            yield Piece("", frames, "an op", None)
        if own := size(layer):
            yield Piece("", frames, "", own)


class _Frames:
    """Finds and caches the module calls around each call."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.cache: dict[int | None, tuple[Frame, ...]] = {None: ()}

    def of(self, call: int) -> tuple[Frame, ...]:
        """Return a call and the calls around it, outermost first."""
        pending, current = [], call
        while current not in self.cache:
            pending.append(current)
            parent = self.graph.calls[current].parent
            if parent is None:
                break
            current = parent
        for each in reversed(pending):
            scope, parent, index, _, _ = self.graph.calls[each]
            path, class_name, _, _, _ = self.graph.scopes[scope]
            self.cache[each] = (*self.cache[parent], Frame(path, class_name, index + 1))
        return self.cache[call]


def track(name: str, unit: Unit, model: str, pieces: Iterable[Piece], missing: str) -> Track:
    """Lay out pieces in sequence. What has a piece of unknown size, or one that is a lower bound, is marked as one.

    Args:
        name: the track's name.
        unit: unit of the sizes.
        model: the model's name, shown for the module with the empty path.
        pieces: the pieces in the order in which they ran.
        missing: why a size is unknown, in words.
    """
    builder = _Builder(model, [*pieces], missing)
    spans = builder.build()
    return Track(name, unit, builder.at, spans)


class _Open(NamedTuple):
    """A span whose end is not known yet.

    Attributes:
        key: (phase, None) for a phase, ("", frame) for a module call.
        position: index of the span in the builder's list.
    """

    key: tuple[str, Frame | None]
    position: int


class _Builder:
    """Builds spans from pieces; `at` is where the next piece starts."""

    def __init__(self, model: str, pieces: list[Piece], missing: str) -> None:
        self.model, self.pieces, self.missing = model, pieces, missing
        self.at: float = 0
        self.spans: list[Span] = []
        self.open: list[_Open] = []
        partial = [piece for piece in pieces if piece.size is None or piece.bounded]
        self.partial_phases = {piece.phase for piece in partial}
        self.partial_paths = {frame.path for piece in partial for frame in piece.frames}

    def build(self) -> tuple[Span, ...]:
        for piece in self.pieces:
            phase: list[tuple[str, Frame | None]] = [(piece.phase, None)] if piece.phase else []
            self._enter([*phase, *(("", frame) for frame in piece.frames)])
            start, self.at = self.at, self.at + (piece.size or 0)
            if piece.op:
                missing = self.missing if piece.size is None else ""
                facts = {"module": piece.frames[-1].path, **piece.facts()} if piece.frames else piece.facts()
                name = f"{AT_LEAST} {piece.op}" if piece.bounded else piece.op
                span = Span(name, name, "op", len(self.open), start, self.at, facts, missing)
                self.spans.append(span)
        self._enter([])
        return tuple(self.spans)

    def _enter(self, keys: list[tuple[str, Frame | None]]) -> None:
        """End the open spans that are not in `keys`, and start those of `keys` that are not open."""
        shared = 0  # number of open spans that stay open
        while shared < min(len(keys), len(self.open)) and keys[shared] == self.open[shared].key:
            shared += 1
        while len(self.open) > shared:
            _, position = self.open.pop()
            self.spans[position] = self.spans[position]._replace(end=self.at)
        for key in keys[shared:]:
            self.spans.append(self._new_span(key))
            self.open.append(_Open(key, len(self.spans) - 1))

    def _new_span(self, key: tuple[str, Frame | None]) -> Span:
        """Return the span of a phase or module call with a preliminary end, its start; `_enter` sets the final one."""
        phase, frame = key
        level = len(self.open)
        if frame is None:
            mark = f"{AT_LEAST} " if phase in self.partial_phases else ""
            return Span(mark + phase, mark + phase, "phase", level, self.at, self.at)
        mark = f"{AT_LEAST} " if frame.path in self.partial_paths else ""
        name = f"{mark}{frame.path or self.model} ({frame.class_name})"
        outer = self.open[-1].key[1] if self.open else None
        within = f"{outer.path}." if outer is not None and outer.path else ""
        suffix = f"#{frame.call}" if frame.call > 1 else ""
        short = f"{mark}{frame.path.removeprefix(within) or self.model}{suffix} ({frame.class_name})"
        facts = {"module": frame.path, "class": frame.class_name, "call": frame.call}
        return Span(name, short, "module", level, self.at, self.at, facts)
