"""Runs split models for real, in processes that gloo connects: what a rank holds, sends, and has out at most.

    python tests/split_models/ranks.py FILE [PROGRAM …]     writes a line of JSON for each program and rank

Imports nothing from cnncost.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch  # noqa: E402  # the path comes first
import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402
from by_rule import BY_RULE, BY_TRANSFORMERS  # noqa: E402
from oracles.allocations import _events, _is_composite, _peak, _without_workspaces, observing  # noqa: E402
from programs import PROGRAMS as OTHERS  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

PROGRAMS = {**OTHERS, **{name: program for name, (_, _, program) in (BY_RULE | BY_TRANSFORMERS).items()}}
_SPACES = ("c10d", "_c10d_functional", "_dtensor")
_TRANSPORT = ("c10d::", "gloo:")
MAIN = 1
"""The number of the thread that runs the model, backward included."""
_RUNS = 8
"""How often a peak is measured: on a busy machine a rank waits in most of them."""
_WAIT = ("wait_tensor", "_wrap_tensor_autograd", "barrier")


class Collectives(TorchDispatchMode):
    """Lists the collectives that run: name, and bytes of the largest of the tensors that they take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if types and any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented
        result = func(*args, **(kwargs or {}))
        space, _, name = str(func).partition(".")
        if space in _SPACES and not name.startswith(_WAIT):
            name = name.partition(".")[0].strip("_").replace("allreduce", "all_reduce")
            sizes = [t.numel() * t.element_size() for t in tensors((args, result))]
            self.seen.append((name, max(sizes)))
        return result


def tensors(nested: Any) -> list[torch.Tensor]:
    if isinstance(nested, torch.Tensor):
        return [nested]
    return [t for each in nested for t in tensors(each)] if isinstance(nested, (list, tuple)) else []


def storage(tensor: Any) -> Any:
    return local(tensor).untyped_storage()


def local(tensor: Any) -> torch.Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def peak(run: Any, before: Any, cycles: bool = False) -> int:
    """Most bytes of tensors at once, without what the communication library takes: the least of some runs.

    Gloo copies what it sends, within its own ops and in threads of its own, which may also hold a tensor for longer
    than the model does. `cycles`: garbage is collected at once.
    """
    found = []
    for observed_run in (nullcontext(), *(observing() for _ in range(_RUNS))):
        before()
        usual = gc.get_threshold()
        gc.set_threshold(*(1, 1, 1) if cycles else (0,))
        try:
            with observed_run:
                kept = run()
        finally:
            gc.set_threshold(*usual)
        del kept
        if not isinstance(observed_run, nullcontext):
            tree = observed_run.kineto_results.experimental_event_tree()
            found.append(int(_peak(_without_workspaces(sorted(events(tree))))))
    return min(found)


def events(nodes: Any, above: Any = None) -> Any:
    """As in the oracle for one process, but that c10d's copies are never tensors of the model."""
    for node in nodes:
        kernel = node.name.startswith("aten::") and not _is_composite(node.name, above == node.name)
        if node.start_tid != MAIN or node.name.startswith(_TRANSPORT):
            yield from _events([node], (0, sys.maxsize), above)
        elif kernel or hasattr(node.extra_fields, "alloc_size"):
            yield from _events([node], None, above)
        else:
            yield from events(node.children, node.name)


def observed(name: str, mesh: Any) -> dict[str, Any]:
    """What this rank does with a program's model."""
    torch.manual_seed(0)
    model, inputs = PROGRAMS[name].build(mesh)
    row: dict[str, Any] = {
        "parameters": sum(local(p).numel() for p in model.parameters()),
        "bytes": sum({s.data_ptr(): s.nbytes() for s in map(storage, model.parameters())}.values()),  # padding, too
    }

    def infer() -> Any:
        with torch.no_grad():
            return model(*inputs)

    def train() -> Any:
        out = model(*inputs)
        loss = (out if isinstance(out, torch.Tensor) else out[0]).sum()
        loss.backward()
        return out, loss

    def clear() -> None:
        model.zero_grad(set_to_none=True)
        for module in model.modules():
            if hasattr(module, "reshard"):
                module.reshard()

    model.eval()
    row["inference"] = peak(infer, clear, cycles=PROGRAMS[name].cycles)
    clear()
    with Collectives() as seen:
        infer()
    row["inference_collectives"] = sorted(Counter(map(str, seen.seen)).items())
    model.train()
    row["training"] = peak(train, clear)
    clear()
    with Collectives() as seen:
        train()
    row["training_collectives"] = sorted(Counter(map(str, seen.seen)).items())
    return row


def rank_of(rank: int, names: list[str], port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=prod(PROGRAMS[names[0]].mesh.values()))
    from torch.distributed.device_mesh import init_device_mesh

    meshes = {}
    with (Path(folder) / f"{rank}.jsonl").open("w") as file:
        for name in names:
            shape = PROGRAMS[name].mesh
            axes = tuple(shape.items())
            if axes not in meshes:
                meshes[axes] = init_device_mesh("cpu", tuple(shape.values()), mesh_dim_names=tuple(shape))
            file.write(json.dumps({"program": name, "rank": rank, **observed(name, meshes[axes])}) + "\n")
    dist.barrier()
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def rows(names: list[str]) -> list[dict[str, Any]]:
    """One for each program and rank; programs for as many ranks share their processes."""
    by_size: dict[int, list[str]] = {}
    for name in names:
        by_size.setdefault(prod(PROGRAMS[name].mesh.values()), []).append(name)
    return [row for size, together in by_size.items() for row in started(rank_of, together, size)]


def started(function: Any, names: list[str], size: int) -> list[dict[str, Any]]:
    """What as many processes wrote, rank by rank: `function` gets its rank, the names, a port, and a folder.

    They are forked: each would import torch and its parts again, which takes longer than most programs.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(function, (names, free_port(), folder), nprocs=size, start_method="fork")
        lines = [line for path in sorted(Path(folder).iterdir()) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.write_text("".join(json.dumps(row) + "\n" for row in rows(sys.argv[2:] or list(PROGRAMS))))
