"""What a network's modules return under autocast: predicted, and for real on a GPU (or the CPU).

    python tests/gpu/casts.py cuda [NETWORK …]

Prints each call whose dtypes or shapes differ; exit status 1 if there is one.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "benchmarks")]

import cnncost  # noqa: E402  # found by the line above
from tests.memory_report import NETWORKS, given  # noqa: E402

Returned = list[tuple[str, tuple[int, ...]]]
"""The dtype and shape of each tensor that a call returns."""
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [t for each in value for t in tensors(each)] if isinstance(value, (tuple, list)) else []


def observed(model: nn.Module, x: torch.Tensor, dtype: torch.dtype) -> dict[tuple[str, int], Returned]:
    """By module and number of the call, what it returned for real."""
    found: dict[tuple[str, int], Returned] = {}
    calls: Counter[str] = Counter()

    def listen(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, args: Any, out: Any) -> None:
            found[name, calls[name]] = [(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for t in tensors(out)]
            calls[name] += 1

        return module.register_forward_hook(hook)

    handles = [listen(name, module) for name, module in model.named_modules()]
    with torch.no_grad(), torch.autocast(x.device.type, dtype):
        model(x)
    for handle in handles:
        handle.remove()
    return found


def predicted(model: nn.Module, x: torch.Tensor, dtype: str) -> dict[tuple[str, int], Returned]:
    """The same, by a recording."""
    graph = cnncost.analyze(model, x, autocast=dtype if x.device.type == "cpu" else f"{x.device.type}:{dtype}").graph
    return {
        (graph.scopes[call.scope].path, call.index): [
            (graph.values[each].type.dtype, tuple(graph.values[each].type.shape)) for each in call.outputs
        ]
        for call in graph.calls
    }


def misfits(name: str, device: str, dtype: str) -> tuple[int, list[str]]:
    """How many calls there are, and a line for each that differs."""
    build, shape = NETWORKS[name]
    model, x = build().to(device).eval(), given(2, shape).to(device)
    real, found = observed(model, x, DTYPES[dtype]), predicted(model, x, dtype)
    lines = [
        f"{name}, {dtype}: {path or 'the model'}, call {index}: {found.get((path, index))}, for real {returned}"
        for (path, index), returned in real.items()
        if found.get((path, index)) != returned
    ]
    return len(real), lines


def main(device: str, *names: str) -> int:
    torch.manual_seed(0)
    compared, wrong = 0, 0
    for name in names or NETWORKS:
        for dtype in ("bf16",) if device == "cpu" else tuple(DTYPES):
            calls, lines = misfits(name, device, dtype)
            compared, wrong = compared + calls, wrong + len(lines)
            print(*lines, sep="\n", end="\n" if lines else "", flush=True)
    print(f"{compared} calls under autocast on {device}, {wrong} return what was not predicted")
    return 1 if wrong or not compared else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
