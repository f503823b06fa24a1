"""Spans of a run: its ops one after the other, within the modules that called them, as long as a quantity is large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cnncost.graph import Graph
from cnncost.render.timeline import Span, Track, Unit
from cnncost.report.columns import AT_LEAST
from cnncost.report.data import ReportData
from cnncost.report.tree import ancestors


class Frame(NamedTuple):
    """A module around an op: its path, class, and which call of it this is, from 1."""

    path: str
    class_name: str
    call: int = 1


class Piece(NamedTuple):
    """An op, or a module's own share without its ops.

    Attributes:
        phase: of the training step; empty where there is one alone.
        frames: the modules around it, outermost first.
        op: its name; empty for a share without ops.
        size: in the track's unit; None: not known.
        facts: about it.
    """

    phase: str
    frames: tuple[Frame, ...]
    op: str
    size: float | None
    facts: Callable[[], Mapping[str, Any]] = dict


def of_graph(
    graph: Graph, sizes: Iterable[float | None], facts: Callable[[int], Mapping[str, Any]] | None = None
) -> Iterator[Piece]:
    """The ops of a run that have a size or whose size is unknown.

    Args:
        graph: the run.
        sizes: of each node.
        facts: about a node, by its index.
    """
    around = _Around(graph)
    phased = len({node.phase for node in graph.nodes}) > 1
    for index, (node, size) in enumerate(zip(graph.nodes, sizes, strict=True)):
        if size is None or size:
            about = (lambda i=index: facts(i)) if facts is not None else dict
            yield Piece(node.phase if phased else "", around.frames(node.call), node.name, size, about)


def of_layers(report: ReportData, size: Callable[[Any], int], bounded: bool) -> Iterator[Piece]:
    """The own shares of module calls; `bounded`: an op without a rule makes the number a lower bound."""
    classes = {path: class_name for path, class_name, _ in report.tree}
    for layer in report.layers:
        frames = tuple(
            Frame(path, classes[path], max(1, layer.call) if path == layer.path else 1)
            for path in ancestors(layer.path) if path in classes
        )  # fmt: skip
        if bounded and layer.unknown:
            yield Piece("", frames, "an op", None)
        if own := size(layer):
            yield Piece("", frames, "", own)


class _Around:
    """The modules around each call, found once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[int | None, tuple[Frame, ...]] = {None: ()}

    def frames(self, call: int) -> tuple[Frame, ...]:
        waiting, at = [], call
        while at not in self.known:
            waiting.append(at)
            parent = self.graph.calls[at].parent
            if parent is None:
                break
            at = parent
        for each in reversed(waiting):
            scope, parent, index, _, _ = self.graph.calls[each]
            path, class_name, _, _, _ = self.graph.scopes[scope]
            self.known[each] = (*self.known[parent], Frame(path, class_name, index + 1))
        return self.known[call]


def track(name: str, unit: Unit, model: str, pieces: Iterable[Piece], missing: str) -> Track:
    """Pieces as spans, which add up in their order; a module that has one of unknown size is marked as a lower bound.

    Args:
        name: of the track.
        unit: of sizes.
        model: the outermost module's name.
        pieces: in the order in which they ran.
        missing: why a size is not known.
    """
    builder = _Builder(model, [*pieces], missing)
    spans = builder.built()
    return Track(name, unit, builder.at, spans)


class _Open(NamedTuple):
    """A phase or a module that is open, and where it is in the list."""

    key: tuple[str, Frame | None]
    place: int


class _Builder:
    def __init__(self, model: str, pieces: list[Piece], missing: str) -> None:
        self.model, self.pieces, self.missing = model, pieces, missing
        self.at: float = 0
        self.spans: list[Span] = []
        self.open: list[_Open] = []
        unknown = [piece for piece in pieces if piece.size is None]
        self.phases = {piece.phase for piece in unknown}
        self.paths = {frame.path for piece in unknown for frame in piece.frames}

    def built(self) -> tuple[Span, ...]:
        for piece in self.pieces:
            phase: list[tuple[str, Frame | None]] = [(piece.phase, None)] if piece.phase else []
            self._enter([*phase, *(("", frame) for frame in piece.frames)])
            start, self.at = self.at, self.at + (piece.size or 0)
            if piece.op:
                missing = self.missing if piece.size is None else ""
                facts = {"module": piece.frames[-1].path, **piece.facts()} if piece.frames else piece.facts()
                span = Span(piece.op, piece.op, "op", len(self.open), start, self.at, facts, missing)
                self.spans.append(span)
        self._enter([])
        return tuple(self.spans)

    def _enter(self, keys: list[tuple[str, Frame | None]]) -> None:
        """Close what is open and not wanted, and open what is wanted."""
        same = 0
        while same < min(len(keys), len(self.open)) and keys[same] == self.open[same].key:
            same += 1
        while len(self.open) > same:
            _, place = self.open.pop()
            self.spans[place] = self.spans[place]._replace(end=self.at)
        for key in keys[same:]:
            self.spans.append(self._opened(key))
            self.open.append(_Open(key, len(self.spans) - 1))

    def _opened(self, key: tuple[str, Frame | None]) -> Span:
        phase, frame = key
        level = len(self.open)
        if frame is None:
            mark = f"{AT_LEAST} " if phase in self.phases else ""
            return Span(mark + phase, mark + phase, "phase", level, self.at, self.at)
        mark = f"{AT_LEAST} " if frame.path in self.paths else ""
        name = f"{mark}{frame.path or self.model} ({frame.class_name})"
        outer = self.open[-1].key[1] if self.open else None
        within = f"{outer.path}." if outer is not None and outer.path else ""
        last = f"#{frame.call}" if frame.call > 1 else ""
        short = f"{mark}{frame.path.removeprefix(within) or self.model}{last} ({frame.class_name})"
        facts = {"module": frame.path, "class": frame.class_name, "call": frame.call}
        return Span(name, short, "module", level, self.at, self.at, facts)
