"""Peak memory of a real run, from the allocation and release events of torch's profiler.

On a GPU these are the caching allocator's, which rounds each block up to 512 bytes. Imports nothing from cnncost.
Memory allocated before the run (weights, inputs) has no event: the caller adds it.
"""

import gc
from contextlib import nullcontext
from functools import cache
from typing import NamedTuple

import torch
from torch._C._profiler import _EventType
from torch.autograd.profiler import profile


class Peaks(NamedTuple):
    """Most bytes alive at once, without those allocated before the run.

    `tensors` excludes workspaces: blocks that a kernel allocates and frees while it runs.
    """

    everything: int
    tensors: int


class Event(NamedTuple):
    """An allocation of `nbytes` (negative: a release) at a time in ns, inside a kernel that ran from begin to end."""

    time: int
    nbytes: int
    address: int
    kernel: tuple[int, int] | None


def observing():
    """Like torch.profiler's, which makes a list of all events in Python, too: four fifths of the time."""
    return profile(profile_memory=True, use_kineto=True)


def peaks(run, before=None, device="cpu"):
    """Peaks of the second of two runs, each preceded by `before`; in the first run, libraries initialize.

    Only memory on `device`, `cpu` or `cuda`, counts.

    Garbage collection is disabled, so that reference cycles keep their memory until the end of the run.
    """
    for observed in (nullcontext(), observing()):
        state = before() if before is not None else None
        gc.disable()
        try:
            with observed as prof:
                kept = run() if before is None else run(state)
        finally:
            gc.enable()
        del kept
    events = sorted(_events(prof.kineto_results.experimental_event_tree(), None, device=device))
    return Peaks(_peak(events), _peak(_without_workspaces(events)))


def training_peak(model, x, around=nullcontext):
    """Peak bytes of tensors in a training step, weights and inputs included; forward runs within `around()`."""

    def step(_):
        with around():
            out = model(x)
            loss = out.sum()
        loss.backward()
        return out, loss

    def clear():
        for parameter in model.parameters():
            parameter.grad = None

    return sum(t.nbytes for t in (*model.parameters(), *model.buffers(), x)) + peaks(step, clear).tensors


def _events(nodes, kernel, above=None, device="cpu"):
    found = []
    _gather(nodes, kernel, above, device, found)
    return found


def _gather(nodes, kernel, above, device, found):
    for node in nodes:
        if node.tag == _EventType.Allocation:
            fields = node.extra_fields
            if fields.device.type == device:
                found.append(Event(node.start_time_ns, fields.alloc_size, fields.ptr, kernel))
            continue
        name, inside = node.name, kernel
        if kernel is None and name.startswith("aten::") and not _wraps(node, above == name):
            inside = (node.start_time_ns, node.end_time_ns)
        _gather(node.children, inside, name, device, found)


def _wraps(node, again):
    """Whether an op's kernel is one that it calls: what it allocates itself are ordinary tensors.

    So it is of composite ops, and of those that are called anew below their casts by autocast, the formulas of
    forward-mode derivatives, or copies of lazy conjugates.
    """
    copied = any(
        child.name in {"aten::resolve_conj", "aten::resolve_neg"} and child.children for child in node.children
    )
    anew = node.name not in _CALLS_AN_OVERLOAD and any(child.name == node.name for child in node.children)
    return copied or anew or _is_composite(node.name, again)


_CALLS_AN_OVERLOAD = frozenset(f"aten::{name}" for name in ("sum", "max", "min", "median", "nanmedian"))
"""Kernels that convert their operand and call another overload of the same name."""


@cache
def _is_composite(name, again):
    """Whether an op is composite: it calls other ops, and their results are ordinary tensors.

    Some names, such as `upsample_nearest2d`, belong both to a kernel and to the composite op that calls it; `again`
    says that the op was called by one of the same name, and so is the kernel. Overloads that take axes by name, which
    torch has up to 2.12, are composite whatever the op is: nobody calls them here.
    """
    packet = getattr(torch.ops.aten, name.removeprefix("aten::"), None)
    if packet is None:
        return False
    overloads = [each for each in packet.overloads() if not each.endswith("out") and "name" not in each.lower()]
    names = [getattr(packet, overload)._name for overload in overloads]
    found = {
        torch._C._dispatch_has_kernel_for_dispatch_key(n, "CompositeImplicitAutograd")
        for n in names
        if torch._C._dispatch_has_kernel(n)
    }
    return True in found and not (False in found and again)


def _without_workspaces(events):
    """Remove blocks that are allocated and released within one kernel."""
    dropped, open_ = set(), {}
    for i, event in enumerate(events):
        if event.nbytes > 0:
            open_[event.address] = i
        elif (start := open_.pop(event.address, None)) is not None:
            kernel = events[start].kernel
            if kernel is not None and event.time <= kernel[1]:
                dropped |= {start, i}
    return [event for i, event in enumerate(events) if i not in dropped]


def _peak(events):
    alive = most = 0
    born = set()
    for event in events:
        if event.nbytes > 0:
            born.add(event.address)
        elif event.address not in born:
            continue  # allocated before the run: the caller counts it
        alive += event.nbytes
        most = max(most, alive)
    return most
