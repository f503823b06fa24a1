"""Pipelines' schedules in real processes, which gloo connects: what each rank holds and sends in a step.

    python tests/split_models/pipelines.py FILE [CASE …]     writes a line of JSON for each case and rank

Imports nothing from cnncost.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import torch  # noqa: E402  # the path comes first
import torch.distributed as dist  # noqa: E402
from torch import nn  # noqa: E402
from torch.distributed.pipelining import PipelineStage, schedules  # noqa: E402
from versions.facts import PIPELINES_WARM_UP_OVER_GLOO  # noqa: E402

ROWS, WIDE, HIDDEN = 64, 96, 192
"""Rows of a microbatch, and the widths of a stage's two layers."""


class Case(NamedTuple):
    """A schedule, its ranks, stages a rank, and microbatches."""

    schedule: str
    ranks: int
    chunks: int
    microbatches: int

    def stages(self, rank: int) -> list[int]:
        if self.schedule == "ScheduleZBVZeroBubble":  # forth and back
            return [rank, 2 * self.ranks - 1 - rank]
        return [rank + self.ranks * i for i in range(self.chunks)]


CASES = {
    "gpipe": Case("ScheduleGPipe", 2, 1, 4),
    "1f1b": Case("Schedule1F1B", 2, 1, 4),
    "interleaved": Case("ScheduleInterleaved1F1B", 2, 2, 4),
    "breadth first": Case("ScheduleLoopedBFS", 2, 2, 4),
    "zero bubble": Case("ScheduleInterleavedZeroBubble", 2, 2, 4),
    "zero bubble V": Case("ScheduleZBVZeroBubble", 2, 2, 4),
    "gpipe on 4": Case("ScheduleGPipe", 4, 1, 6),
    "1f1b on 4": Case("Schedule1F1B", 4, 1, 6),
    "interleaved on 4": Case("ScheduleInterleaved1F1B", 4, 2, 8),
    "zero bubble on 4": Case("ScheduleInterleavedZeroBubble", 4, 2, 8),
}


def squares(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((output - target) ** 2).mean()


def built(case: Case, rank: int, group: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """This rank's schedule, and what its step takes."""
    total, sample = case.ranks * case.chunks, torch.empty(ROWS, WIDE, requires_grad=True)
    stages = [
        PipelineStage(
            nn.Sequential(nn.Linear(WIDE, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDE)), index, total,
            torch.device("cpu"), input_args=sample, output_args=sample, group=group,
        )
        for index in case.stages(rank)
    ]  # fmt: skip
    kind: Any = getattr(schedules, case.schedule)
    schedule = kind(stages[0] if case.chunks == 1 else stages, case.microbatches, loss_fn=squares)
    batch, here = torch.randn(ROWS * case.microbatches, WIDE), case.stages(rank)
    return schedule, {name: batch.clone() for name, at in (("x", 0), ("target", total - 1)) if at in here}


def observed(case: Case, rank: int, group: Any) -> dict[str, Any]:
    from ranks import Collectives, peak

    schedule, given = built(case, rank, group)
    stages = getattr(schedule, "_stages", None) or [schedule._stage]
    if not PIPELINES_WARM_UP_OVER_GLOO:
        for stage in stages:
            stage._get_init_p2p_neighbors_ops = list  # no greeting
    parameters = [p for stage in stages for p in stage.submod.parameters()]

    def train() -> Any:
        return schedule.step(*([given["x"]] if "x" in given else []), target=given.get("target"))

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None
        for stage in stages:
            stage.clear_runtime_states()
        dist.barrier()

    train()
    clear()
    found = peak(train, clear)
    clear()
    with Collectives() as seen:
        train()
    clear()
    return {"training": found, "parameters": sum(p.numel() for p in parameters),
            "messages": sorted(Counter(map(str, seen.seen)).items())}  # fmt: skip


def rank_of(rank: int, names: list[str], port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=CASES[names[0]].ranks)
    with (Path(folder) / f"{rank}.jsonl").open("w") as file:
        for name in names:
            file.write(json.dumps({"case": name, "rank": rank, **observed(CASES[name], rank, dist.group.WORLD)}) + "\n")
    dist.barrier()
    dist.destroy_process_group()


def rows(names: list[str]) -> list[dict[str, Any]]:
    from ranks import started

    found: list[dict[str, Any]] = []
    for size in sorted({CASES[name].ranks for name in names}):
        together = [name for name in names if CASES[name].ranks == size]
        found += started(rank_of, together, size)
    return found


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.write_text("".join(json.dumps(row) + "\n" for row in rows(sys.argv[2:] or list(CASES))))
