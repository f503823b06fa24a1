"""One model: built and analyzed, and built and counted by torch alone; every difference explained.

The work of one process. All times are its CPU seconds.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from entries import Entry


def prepare() -> None:
    """Import what is slow to import, so that no model's time has it in."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    _torchvision_ready()
    from cnncost.verify import torch_counter

    torch_counter.warm_up()
    with torch.device("meta"):  # torch's kernels in Python are imported when they are first run
        torch.nn.init.normal_(torch.empty(1))
    torch_counter.perf_counter = time.process_time  # this machine has other work; one thread does all of this
    for name in ("timm", "torchvision", "transformers"):
        importlib.import_module(name)


def quiet() -> None:
    """Prepare a process that measures, whose models' warnings nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    prepare()


def _torchvision_ready() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    importlib.import_module("torchvision_cpu").install()


def measured(entry: Entry, counted: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The row of a model, and what torch alone does (again, if it is given); a failure is a row, too."""
    row: dict[str, Any] = entry._asdict()
    try:
        return _measured(entry, row, counted)
    except Exception as error:  # noqa: BLE001  # whatever it is, the sweep goes on
        from cnncost.errors import CnncostError

        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if isinstance(error, CnncostError) else f" ({Path(frame.filename).name}:{frame.lineno})"
        row["error"] = f"{type(error).__name__}{where}: {' '.join(str(error).split())[:400]}"
        return row, counted


def _measured(
    entry: Entry, row: dict[str, Any], counted: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    from cnncost.garbage import gc_disabled
    from cnncost.passes.compute import compute
    from cnncost.passes.parameters import parameters
    from cnncost.report.build import build
    from cnncost.sources.resolve import resolve
    from cnncost.verify.copies import unfused

    if entry.zoo == "transformers":  # it imports a model's code when that is first built, which is no part of building
        _plainly_built(entry)
    begun = time.process_time()
    with gc_disabled():  # as `analyze` does it
        resolved = resolve(entry.model, None, entry.arguments)
        built = time.process_time()
        with unfused():  # as the counter has to see it; the counts are the same
            graph = resolved.record("auto")
        report = build(entry.model, graph, parameters(graph), compute(graph))
    gc.collect(0)  # what was held off is due, and a part of the time
    done = time.process_time()
    totals = report.totals
    row.update(
        input="; ".join(f"{'x'.join(map(str, shape))}:{dtype}" for shape, dtype in report.inputs),
        params_found=totals.params, macs=totals.macs, flops=totals.flops, ops=totals.ops,
        unknown=" ".join(f"{op}×{n}" for op, n in report.unknown.items()),
        trace="real" if graph.real is not None else "static",
        build_seconds=round(built - begun, 4), seconds=round(done - built, 4),
    )  # fmt: skip
    row["activated_params"] = activated(graph)
    if counted is None or counted["input"] != row["input"]:
        counted = {"input": row["input"], **_plainly_built(entry)}
    else:
        row["kept"] = True
    row.update(plain_seconds=round(counted["plain_seconds"], 4), plain_failure=counted["plain_failure"])
    if row["trace"] == "real":
        return row, counted
    if "failure" not in counted:
        counted.update(_counted(resolved))
    row.update(_compared(counted, graph))
    return row, counted


def _plainly_built(entry: Entry) -> dict[str, Any]:
    """How long it takes to build the model as a user of torch's counter would, or why that fails."""
    import torch

    from cnncost.sources.find import find
    from cnncost.sources.offline import offline
    from cnncost.verify.reasons import reason

    factory, failure = find(entry.model).factory, ""
    model = None  # it goes after its time was taken, as ours does
    with offline(entry.model):
        begun = time.process_time()
        try:
            with torch.device("meta"):
                model = factory(**entry.arguments)
        except Exception as error:  # noqa: BLE001  # some read values that there are not; the failure is the finding
            failure = reason(error)
        seconds = time.process_time() - begun
    del model
    return {"plain_seconds": seconds, "plain_failure": failure}


def activated(graph: Any) -> int:
    """Parameters that an input meets: of experts as many as its rows are routed to, else all that are read.

    A grouped product of T rows, k of which come from each token, reads k of the E matrices for each token.
    """
    owned = {o.value: graph.values[o.value].type.numel for s in graph.scopes for o in s.parameters}
    storages = {graph.values[v].storage: v for v in owned}
    experts: dict[int, float] = {}
    for node in graph.nodes:
        if node.spec.kind != "grouped_matmul" or len(node.spec.inputs[1].shape) != 3:
            continue
        weight = storages.get(graph.values[node.inputs[1]].storage)
        if weight is not None:
            experts[weight] = node.spec["rows"] / node.spec.inputs[1].shape[0]
    tokens = graph.values[graph.inputs[0]].type.numel if experts and graph.inputs else 1
    total = 0.0
    for value, numel in owned.items():
        total += numel * min(1.0, experts[value] / tokens) if value in experts else numel
    return round(total)


def _counted(resolved: Any) -> dict[str, Any]:
    """What torch's counter finds and how long it takes, as plain data: cnncost's analysis has no part in it."""
    from cnncost.frontends.torch.inputs import prepare as prepared
    from cnncost.frontends.torch.unwrap import unwrapped
    from cnncost.verify import torch_counter
    from cnncost.verify.copies import Arguments
    from cnncost.verify.reasons import reason

    module = unwrapped(resolved.model)
    arguments = Arguments(prepared(resolved.inputs, module))
    begun = time.process_time()
    try:
        found = torch_counter.counted(module, arguments)
    except Exception as error:  # noqa: BLE001  # its failure is the finding
        return {"failure": reason(error), "seconds": time.process_time() - begun}
    return {**found._asdict(), "failure": "", "seconds": _plainly_counted(module, arguments, found.seconds)}


def _plainly_counted(module: Any, arguments: Any, otherwise: float) -> float:
    """How long the counter takes with nothing around it, without autograd; `otherwise` where it fails so."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    args, kwargs = arguments.nested(arguments.flat)
    module.eval()
    begun = time.process_time()
    try:
        with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False):
            module(*args, **kwargs)
    except Exception:  # noqa: BLE001  # it needs values, or its module tracker stumbles: what was done about it counts
        return otherwise
    return min(time.process_time() - begun, otherwise)


def _compared(counted: dict[str, Any], graph: Any) -> dict[str, Any]:
    """The counter's MACs beside ours: what it leaves out by op kind, and what nothing explains."""
    from cnncost.verify import torch_counter

    seconds = round(counted["seconds"], 4)
    if counted["failure"]:
        return {"counter_failure": counted["failure"], "counter_seconds": seconds}
    fields = {name: counted[name] for name in torch_counter.Counted._fields}
    peer = torch_counter.explained(torch_counter.Counted(**fields), graph)
    left_out = _macs_by_kind(graph)
    for row in peer.explanations:
        left_out[row.op] = left_out.get(row.op, 0) - row.theirs // 2
    differences = {op: macs for op, macs in left_out.items() if macs}
    return {
        "counter_macs": (peer.total or 0) // 2,
        "counter_difference": " ".join(f"{op}:{macs}" for op, macs in sorted(differences.items())),
        "unexplained": " ".join(f"{op}:{amount}" for op, amount in peer.unexplained),
        "counter_untracked": counted["untracked"],
        "counter_seconds": seconds,
    }


def _macs_by_kind(graph: Any) -> dict[str, int]:
    from cnncost.verify.nodes import macs

    found: dict[str, int] = {}
    for node in graph.nodes:
        found[node.spec.kind] = found.get(node.spec.kind, 0) + macs(node)
    return found
