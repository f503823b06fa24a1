"""The models of one library: analyzed, run for real under an independent counter, and looked at before and after.

The work of one process: `python library_work.py LIBRARY [MODEL …]` prints a line of JSON for each model, and before it
the name of the model that it is at. The parent ends it if that takes too long.
"""

from __future__ import annotations

import importlib
import io
import json
import random
import socket
import sys
import time
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # cnncost is that of PYTHONPATH


def main() -> None:
    out = sys.stdout
    _stay_offline()
    _quiet()
    library, *names = sys.argv[1:]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        cases = dict(importlib.import_module(f"library_cases.{library}").cases())
    if names == ["--list"]:
        out.write(json.dumps(list(cases)) + "\n")
        return
    for name in names or cases:
        out.write(json.dumps({"at": name}) + "\n")
        out.flush()
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            row = measured(cases[name])
        out.write(json.dumps({"library": library, "model": name, **row}, default=str) + "\n")
        out.flush()


def _stay_offline() -> None:
    """A model that fetches weights fails here."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no network in this run")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.create_connection = refuse


def _quiet() -> None:
    import logging

    import torch
    import torchvision_cpu

    torchvision_cpu.install()
    importlib.import_module("cnncost.analysis")  # with all that it needs: what an import leaves is no model's
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    torch.set_num_threads(1)


def seeded() -> None:
    import numpy as np
    import torch

    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # the generator that libraries draw from


def measured(build: Any) -> dict[str, Any]:
    """What was found of a model; its own failure to be built or run is no finding about the analysis."""
    begun = time.process_time()
    row: dict[str, Any] = {}
    try:
        seeded()
        case = build()
        if not case.training:
            case.model.eval()
    except Exception as error:  # noqa: BLE001  # whatever it is, the next model is tried
        return {"not_built": reason(error)}
    found, _ = analysis(case)
    row.update(found)
    try:
        row.update(really(case))
    except Exception as error:  # noqa: BLE001
        row["not_run"] = reason(error)
    row["again"], last = analysis(case, row.get("trace"))
    row["by_real"], _ = analysis(case, "real", last)
    row["why"] = case.why
    row["seconds"] = round(time.process_time() - begun, 2)
    return row


def reason(error: BaseException) -> str:
    """One line, with the place in the code where that is no message of the analyzer's own."""
    from cnncost.errors import CnncostError

    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, CnncostError) else f" ({Path(frame.filename).name}:{frame.lineno})"
    return f"{type(error).__name__}{where}: {' '.join(str(error).split())[:600]}"


def analysis(case: Any, trace: str | None = None, before: Any = None) -> tuple[dict[str, Any], Any]:
    """Static, and as the messages advise where that is refused; and what of the user's objects is not as it was.

    `before`: a snapshot of just now, if there is one. Returns what was found, and the snapshot after.
    """
    from oracles.snapshot import Snapshot, modules_of

    modules = modules_of(case.model, *case.args, *case.kwargs.values(), imported=trace is None)
    found: dict[str, Any] = {"refusals": {}}
    before = before or Snapshot(roots(case), modules)
    for way in [trace] if trace else ["static", "auto", "real"]:
        try:
            found.update(_analyzed(case, way), trace=way)
        except Exception as error:  # noqa: BLE001  # a refusal is a finding
            found["refusals"][way] = reason(error)
            continue
        break
    after = Snapshot(roots(case), before.modules)
    changes = before.changes(after)
    found.update(changed=changes[:12], changes=len(changes), objects=len(before.facts), cut=before.cut)
    return found, after


def roots(case: Any) -> dict[str, Any]:
    """What is the user's: the model, what it was given, and the states of chance and modes."""
    import numpy as np
    import torch

    return {
        "model": case.model, "args": case.args, "kwargs": case.kwargs,
        "torch's random numbers": torch.default_generator, "Python's random numbers": hash(random.getstate()),
        "numpy's random numbers": hash(np.random.get_state()[1].tobytes()),  # noqa: NPY002
        "grad mode": torch.is_grad_enabled(), "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
    }  # fmt: skip


def _analyzed(case: Any, trace: str) -> dict[str, Any]:
    import cnncost

    report = cnncost.analyze(case.model, case.inputs(), trace=trace)
    totals = report.totals
    by_kind: dict[str, int] = {}
    for op in report.ops:
        if op.macs:
            by_kind[op.kind] = by_kind.get(op.kind, 0) + op.macs
    return {
        "params": totals.params, "macs": totals.macs, "by_kind": by_kind, "unknown": dict(report.unknown),
        "run_on": report.run_on, "reads": report.reads,
    }  # fmt: skip


def really(case: Any) -> dict[str, Any]:
    """Parameters by identity, products by the independent counter, and what torch's own counter finds."""
    import torch
    from oracles.products import Products
    from torch.utils.flop_counter import FlopCounterMode

    seeded()
    with Products() as products:
        case.model(*case.args, **case.kwargs)
    params = {id(p): p.numel() for p in case.model.parameters() if not torch.nn.parameter.is_lazy(p)}
    found: dict[str, Any] = {
        "real_params": sum(params.values()), "real_macs": products.total, "real_by_op": dict(products.by_op),
        "read": products.read,
    }  # fmt: skip
    try:
        seeded()
        counter = FlopCounterMode(display=False)
        with counter:
            case.model(*case.args, **case.kwargs)
        found["torch_macs"] = counter.get_total_flops() // 2
    except Exception as error:  # noqa: BLE001  # its module tracker stumbles over some
        found["torch_macs"], found["torch_failure"] = None, reason(error)
    return found


if __name__ == "__main__":
    main()
