"""Memory allocated while a Graph runs, from the live ranges of its storages.

Live ranges are those of eager mode: a storage dies when nothing refers to it any more, including autograd, which saves
tensors for backward. Memory that a kernel allocates and frees while it runs (its workspace) is not a tensor and not
counted here. "Allocated" means what it means for allocators: bytes of live blocks, not memory reserved for later ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from cnncost.graph import Graph, Phase, Storage
from cnncost.ops import cost_of
from cnncost.ops.scratch import scratch_is_known, scratch_of
from cnncost.passes.memory.fused import fused_scratch, without_fused
from cnncost.reprs import line

USES = ("parameters", "buffers", "inputs", "constants", "gradients", "optimizer state", "activations", "temporaries")
"""Uses of memory. Activations outlive forward, saved for backward or returned by the model; temporaries don't."""

_USE_OF = {
    "parameter": "parameters", "buffer": "buffers", "input": "inputs", "constant": "constants", "gradient": "gradients",
    "state": "optimizer state",
    "elsewhere": "temporaries",  # on another device than the model, with no bytes here
}  # fmt: skip
"""Use of memory by a storage's use in the Graph; for activations, the lifetime decides (`_use`)."""


class Holder(NamedTuple):
    """Bytes that one module holds for one use (parameters, activations, …)."""

    path: str
    use: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment at which most bytes are alive.

    Attributes:
        nbytes: bytes alive while the node runs, including its inputs, outputs and temporary bytes.
        node: index of the node; None if there are no nodes.
        op, path, phase: the op, the module that it is attributed to, and the phase.
        by_use: bytes for each of `USES`; they add up to `nbytes`.
        holders: bytes by module and use, most bytes first; they add up to `nbytes`.
    """

    nbytes: int
    node: int | None
    op: str
    path: str
    phase: Phase
    by_use: dict[str, int]
    holders: tuple[Holder, ...] = field(repr=False)

    def __repr__(self) -> str:
        where = f"in the {self.phase} of {self.path or 'the model'}, {self.op}" if self.op else "before any op"
        return line(self, f"{self.nbytes:,} bytes {where}")


class CallBytes(NamedTuple):
    """Bytes that a call's own ops allocated in forward, and how many of these outlive forward."""

    allocated: int
    saved: int


class Tensors(NamedTuple):
    """Bytes with the same module, use and live range: from node `born` to node `died`, both included.

    `born` is None if they exist before the first node, `died` is None if they outlive the run.
    """

    path: str
    use: str
    nbytes: int
    born: int | None
    died: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a run.

    Attributes:
        by_use: bytes of all storages of each use except temporaries: parameters, gradients, and so on.
        peak: the moment at which most bytes are alive.
        ideal_peak: the peak if activations and temporaries were freed after their last use, as a compiler could do.
        timeline: bytes alive while each node runs.
        phases: index of each phase's first node.
        by_call: bytes that each call's own ops allocated, in forward.
        sizes, kinds: bytes and use of each storage.
        unseen: names of the ops whose temporaries are unknown; if there are any, the peaks are lower bounds.
    """

    by_use: dict[str, int]
    peak: Peak
    ideal_peak: int
    timeline: tuple[int, ...] = field(repr=False)
    phases: dict[Phase, int]
    by_call: dict[int, CallBytes] = field(repr=False)
    sizes: tuple[int, ...] = field(repr=False)
    kinds: tuple[str, ...] = field(repr=False)
    unseen: tuple[str, ...] = ()

    def __repr__(self) -> str:
        mark = ">=" if self.unseen else ""
        return f"<Memory: peak {mark}{self.peak.nbytes:,} bytes, ideal {mark}{self.ideal_peak:,} bytes>"

    def curves(self, graph: Graph) -> dict[str, tuple[int, ...]]:
        """Return a timeline for each use; they add up to `timeline`. `graph` is the one passed to `memory`."""
        deaths = [storage.died for storage in graph.storages]
        scratch = _scratch(graph)
        return {
            use: _timeline(
                graph,
                [n if kind == use else 0 for n, kind in zip(self.sizes, self.kinds, strict=True)],
                deaths,
                scratch if use == "temporaries" else {},
            )
            for use in USES
        }


def tensors(graph: Graph, found: Memory) -> list[Tensors]:
    """Return the bytes of each module and use with their live ranges; at each node, they add up to `found.timeline`.

    `found` is the Graph's `memory`. The bytes that an op allocates while it runs are temporaries of its module.
    """
    owners, sums = _owners(graph), dict[tuple[str, str, int | None, int | None], int]()
    for storage, size, kind in zip(graph.storages, found.sizes, found.kinds, strict=True):
        born = storage.born
        path = owners.get(storage.id, "") if born is None else graph.call_path(graph.nodes[born].call)
        key = (path, kind, born, storage.died)
        sums[key] = sums.get(key, 0) + size
    for node, nbytes in _scratch(graph).items():
        key = (graph.call_path(graph.nodes[node].call), "temporaries", node, node)
        sums[key] = sums.get(key, 0) + nbytes
    return [Tensors(path, use, n, born, died) for (path, use, born, died), n in sums.items() if n]


def memory(graph: Graph, block: int = 1, device: int | None = None) -> Memory:
    """Compute the bytes that are alive at each moment of a Graph's run.

    Args:
        graph: recorded from a forward pass or a training step.
        block: the allocator rounds sizes up to a multiple of this: 512 for CUDA's, 1 for no rounding.
        device: for a model on several devices, the index of the device to include; None: the sum over all.
    """
    included = _included(graph, device)
    allocated = [
        -(-s.nbytes // block) * block if counts else 0 for s, counts in zip(graph.storages, included, strict=True)
    ]
    sizes = without_fused(graph, allocated)
    deaths = [storage.died for storage in graph.storages]
    scratch = _scratch(graph, device)
    timeline = _timeline(graph, sizes, deaths, scratch)
    forward_end = _forward_end(graph)
    kinds = [_use(storage, forward_end) for storage in graph.storages]
    by_use = dict.fromkeys(USES[:-1], 0)
    for kind, size in zip(kinds, sizes, strict=True):
        if kind in by_use:
            by_use[kind] += size
    peak = max(range(len(timeline)), key=timeline.__getitem__, default=None)
    phases: dict[Phase, int] = {}
    for i, node in enumerate(graph.nodes):
        phases.setdefault(node.phase, i)
    return Memory(
        by_use=by_use,
        peak=_peak(graph, sizes, kinds, peak, timeline, scratch),
        ideal_peak=max(_timeline(graph, sizes, _last_uses(graph), scratch), default=sum(sizes)),
        timeline=timeline,
        phases=phases,
        by_call=_by_call(graph, allocated, kinds, forward_end),
        sizes=tuple(sizes),
        kinds=tuple(kinds),
        unseen=_unseen(graph),
    )


def _unseen(graph: Graph) -> tuple[str, ...]:
    """Return the names of the ops whose temporaries are unknown, including all ops that no rule counts."""
    specs = {id(spec) for spec in graph.specs if not scratch_is_known(spec) or cost_of(spec) is None}
    return tuple(sorted({node.name for node in graph.nodes if id(node.spec) in specs})) if specs else ()


def _included(graph: Graph, device: int | None) -> list[bool]:
    """Return for each storage whether it is on the device; without a device, whether it counts at all."""
    if device is None or graph.placement is None:
        return [storage.use != "elsewhere" for storage in graph.storages]
    return [where == device for where in graph.placement.storages]


def _scratch(graph: Graph, device: int | None = None) -> dict[int, int]:
    """Return the temporary bytes of each node that has some, by node index; with `device`, of nodes that run there."""
    by_spec = {id(spec): scratch_of(spec) for spec in graph.specs}
    by_node = {i: nbytes for i, node in enumerate(graph.nodes) if (nbytes := by_spec.get(id(node.spec), 0))}
    by_node.update(fused_scratch(graph))
    if device is None or graph.placement is None:
        return by_node
    return {i: nbytes for i, nbytes in by_node.items() if _runs_on(graph, i) == device}


def _runs_on(graph: Graph, index: int) -> int:
    node = graph.nodes[index]
    placement = graph.placement
    return (
        placement.runs_on([graph.values[v].storage for v in node.outputs + node.inputs]) if placement is not None else 0
    )


def _timeline(graph: Graph, sizes: list[int], deaths: list[int | None], scratch: dict[int, int]) -> tuple[int, ...]:
    """Return the bytes alive while each node runs: of storages born at or before it that have not died before it."""
    changes = [0] * (len(graph.nodes) + 1)
    base = 0
    for storage, size, died in zip(graph.storages, sizes, deaths, strict=True):
        if storage.born is None:
            base += size
        else:
            changes[storage.born] += size
        if died is not None:
            changes[died + 1] -= size
    alive = list(accumulate(changes[:-1], initial=base))[1:]
    for node, nbytes in scratch.items():
        alive[node] += nbytes
    return tuple(alive)


def _forward_end(graph: Graph) -> int:
    """Return the index of the first node after forward."""
    return next((i for i, node in enumerate(graph.nodes) if node.phase != "forward"), len(graph.nodes))


def _use(storage: Storage, forward_end: int) -> str:
    """Return the use of a storage, one of `USES`."""
    if storage.use != "activation":
        return _USE_OF[storage.use]
    outlives = storage.died is None or storage.died >= forward_end
    return "activations" if storage.born is not None and storage.born < forward_end and outlives else "temporaries"


def _last_uses(graph: Graph) -> list[int | None]:
    """Return for each storage the last node that uses it, after which it could be freed; None if it never is."""
    last: dict[int, int] = {}
    storage_of = [value.storage for value in graph.values]
    for i, node in enumerate(graph.nodes):
        for value in node.inputs + node.outputs:
            last[storage_of[value]] = i
    if any(s.died is not None and last.get(s.id, -1) > s.died for s in graph.storages):
        _follow_resized(graph, storage_of, last)
    lasting = {storage_of[value] for value in graph.outputs}
    return [
        None if s.born is None or s.use != "activation" or s.id in lasting else last.get(s.id, s.born)
        for s in graph.storages
    ]


def _follow_resized(graph: Graph, storage_of: list[int], last: dict[int, int]) -> None:
    """Move uses of a freed storage to the storage that was later allocated in its place.

    FSDP frees and reallocates gathered parameters while autograd keeps views of them. The Graph has no link between the
    two storages, so a use counts for all storages of the same size that are alive at that node.
    """
    storages = graph.storages
    by_size: dict[int, list[Storage]] = {}
    for storage in storages:
        by_size.setdefault(storage.nbytes, []).append(storage)
    for i, node in enumerate(graph.nodes):
        for old in {storage_of[value] for value in node.inputs + node.outputs}:
            died = storages[old].died
            if died is not None and died < i:
                for new in by_size[storages[old].nbytes]:
                    if new.born is not None and new.born <= i and (new.died is None or new.died >= i):
                        last[new.id] = max(last.get(new.id, i), i)
    for storage in storages:
        if storage.died is not None and storage.id in last:
            last[storage.id] = min(last[storage.id], storage.died)


def _peak(
    graph: Graph, sizes: list[int], kinds: list[str], at: int | None, timeline: tuple[int, ...], scratch: dict[int, int]
) -> Peak:
    owners = _owners(graph)
    by_use = dict.fromkeys(USES, 0)
    holdings: dict[tuple[str, str], int] = {}
    for storage, size, kind in zip(graph.storages, sizes, kinds, strict=True):
        born, died = storage.born, storage.died
        if at is not None and ((born is not None and born > at) or (died is not None and died < at)):
            continue
        by_use[kind] += size
        path = owners.get(storage.id, "") if born is None else graph.call_path(graph.nodes[born].call)
        holdings[path, kind] = holdings.get((path, kind), 0) + size
    if at is not None and (extra := scratch.get(at, 0)):
        by_use["temporaries"] += extra
        own = (graph.call_path(graph.nodes[at].call), "temporaries")
        holdings[own] = holdings.get(own, 0) + extra
    holders = sorted((Holder(path, use, n) for (path, use), n in holdings.items() if n), key=lambda h: (-h.nbytes, h))
    if at is None:
        return Peak(sum(by_use.values()), None, "", "", "forward", by_use, tuple(holders))
    node = graph.nodes[at]
    return Peak(timeline[at], at, node.name, graph.call_path(node.call), node.phase, by_use, tuple(holders))


def _owners(graph: Graph) -> dict[int, str]:
    """Return the path of the module that owns each storage of parameters and buffers, by storage id."""
    owners: dict[int, str] = {}
    for scope in graph.scopes:
        for owned in scope.parameters + scope.buffers:
            owners.setdefault(graph.values[owned.value].storage, scope.path)
    return owners


def _by_call(graph: Graph, sizes: list[int], kinds: list[str], forward_end: int) -> dict[int, CallBytes]:
    sums: dict[int, list[int]] = {}
    for storage, size, kind in zip(graph.storages, sizes, kinds, strict=True):
        if storage.born is None or storage.born >= forward_end or storage.use != "activation":
            continue
        entry = sums.setdefault(graph.nodes[storage.born].call, [0, 0])
        entry[0] += size
        entry[1] += size if kind == "activations" else 0
    return {call: CallBytes(*entry) for call, entry in sums.items()}
