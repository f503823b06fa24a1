"""One rank of a pipeline: runs a step of `torch.distributed.pipelining` in a form that can be recorded.

Torch's own step can't be recorded because its stages infer shapes from messages between ranks, and there are no other
ranks. Here a module runs the schedule's actions in order, on the same stages; `pipeline_state.py` keeps tensors alive
as long as torch's step does. Ref: torch/distributed/pipelining/{schedules,stage}.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat import pipelining
from cnncost.frontends.torch.compat.facts import PIPELINE_ALLOCATES_BUFFERS_PER_RECEIVE
from cnncost.frontends.torch.compat.pipelining import Action
from cnncost.frontends.torch.pipeline_state import ActionRunner, BufferPerReceiveRunner, TimeStepRunner


def order_of(schedule: Any) -> dict[int, list[Action]]:
    """Return the actions of each rank, in execution order.

    GPipe runs all forwards, then all backwards. In 1F1B, a stage with n stages after it runs n + 1 forwards (or all, if
    there are fewer microbatches), then alternates backwards and forwards.

    Raises:
        InputError: the schedule is not supported, or has no loss.
    """
    if not isinstance(schedule, pipelining.ALL):
        raise InputError(
            "pipelined: expected a schedule of torch.distributed.pipelining, such as Schedule1F1B(stage, "
            f"n_microbatches=8, loss_fn=loss), got {type(schedule).__name__}"
        )
    if pipelining.loss_of(schedule) is None:
        raise InputError(
            f"pipelined: {type(schedule).__name__} has no loss_fn; expected one, because a step runs backward"
        )
    if not isinstance(schedule, pipelining.SINGLE):
        return pipelining.listed(schedule)
    stages, m = pipelining.stages_of(schedule)[0].num_stages, pipelining.microbatches_of(schedule)
    order: dict[int, list[Action]] = {}
    for stage in range(stages):
        warmup = m if isinstance(schedule, pipelining.GPIPE) else min(m, stages - stage)
        actions = [Action("F", stage, i) for i in range(warmup)]
        for i in range(m):
            actions.append(Action("B", stage, i))
            if warmup + i < m:
                actions.append(Action("F", stage, warmup + i))
        order[stage] = actions
    return order


def _with_messages(schedule: Any, actions: list[Action], last: int) -> list[Action]:
    """Insert the sends and receives of torch's GPipe or 1F1B into the actions of a rank with one stage.

    GPipe waits for its sends of activations after all forwards, 1F1B before its next send or backward. `last` is the
    index of the pipeline's last stage.
    """
    stage = actions[0].stage
    found: list[Action] = []
    sent: list[int] = []
    one_f_one_b = isinstance(schedule, pipelining.ONE_F_ONE_B)
    for action in actions:
        kind, _, i = action
        if kind == "B":
            waits = [Action("WAIT_SEND_F", stage, each) for each in sent]
            receives = [Action("RECV_B", stage, i)] if stage < last else []
            found += receives + waits if one_f_one_b else waits + receives
            sent.clear()
        elif stage:
            found.append(Action("RECV_F", stage, i))
        found.append(action)
        if kind == "B" and stage:
            found.append(Action("SEND_B", stage, i))
        elif kind == "F" and stage < last:
            if one_f_one_b:
                found += [Action("WAIT_SEND_F", stage, each) for each in sent]
                sent.clear()
            found.append(Action("SEND_F", stage, i))
            sent.append(i)
    return found


class Rank(nn.Module):
    """A module whose forward runs a rank's actions. Up to torch 2.14, its buffers hold received tensors.

    Args:
        schedule: the user's schedule, which is only read.
        order: the actions of each rank.

    Raises:
        InputError: a stage is wrapped for data parallelism, the shapes that it receives are unknown, or (in torch 2.9)
            it sends messages to another stage on its own rank.
    """

    def __init__(self, schedule: Any, order: dict[int, list[Action]]) -> None:
        super().__init__()
        stages = pipelining.stages_of(schedule)
        for stage in stages:
            if type(stage.submod).__name__ == "DistributedDataParallel" or pipelining.is_sharded(stage.submod):
                raise InputError(
                    f"pipelined: stage {stage.stage_index} is wrapped for data parallelism "
                    f"({type(stage.submod).__name__}), which is not supported; expected the module itself"
                )
        self.stages = nn.ModuleDict({str(stage.stage_index): stage.submod for stage in stages})
        self.here = [stage.stage_index for stage in stages]
        self.runner = self._runner(schedule)
        self.last = stages[0].num_stages - 1
        self.count = pipelining.microbatches_of(schedule)
        self.loss_fn: Callable[..., Any] | None = pipelining.loss_of(schedule)
        self.scaled = pipelining.scales(schedule)
        self.rank = next(rank for rank, actions in order.items() if any(a.stage in self.here for a in actions))
        self.actions = self._actions(schedule, order[self.rank])
        self.group = stages[0].group
        self.peers = {
            other: pipelining.peer(stage, other)
            for stage in stages for other in (stage.stage_index - 1, stage.stage_index + 1)
            if 0 <= other <= self.last and other not in self.here
        }  # fmt: skip
        self.warmup = (
            min(self.count, self.last + 1 - self.here[0]) if isinstance(schedule, pipelining.ONE_F_ONE_B) else None
        )
        """In 1F1B, which frees sent tensors within a step: number of forwards before the first backward; else None."""
        self.passed: dict[str, torch.Tensor] = {}
        """Tensors passed between stages of this rank, each kept until the next step replaces it."""
        self.like: dict[tuple[str, int], torch.Tensor] = {}
        """A meta tensor like those that each stage receives as `inputs` or `outputs` (gradients), by stage."""
        for stage in stages:
            self._receive_into(stage, "inputs", stage.stage_index - 1)
            self._receive_into(stage, "outputs", stage.stage_index + 1)

    def _runner(self, schedule: Any) -> type[ActionRunner]:
        """The class that keeps tensors alive as the schedule's step does in the installed version of torch.

        Raises:
            InputError: a rank of a torch 2.9 schedule has two consecutive stages.
        """
        if not pipelining.runs_in_time_steps(schedule):
            return BufferPerReceiveRunner if PIPELINE_ALLOCATES_BUFFERS_PER_RECEIVE else ActionRunner
        if any(stage + 1 in self.here for stage in self.here):
            raise InputError(
                f"pipelined: {type(schedule).__name__} puts two consecutive stages on one rank, which in torch 2.9 "
                "sends messages to itself; expected torch 2.10 or later, where such a rank passes tensors on directly"
            )
        return TimeStepRunner

    def _actions(self, schedule: Any, computed: list[Action]) -> list[Action]:
        """The actions of this rank; with sends and receives if torch allocates a buffer per received message."""
        if not PIPELINE_ALLOCATES_BUFFERS_PER_RECEIVE:
            return computed
        if isinstance(schedule, pipelining.SINGLE):
            return _with_messages(schedule, computed, self.last)
        return pipelining.listed_with_messages(schedule)[self.rank]

    def _receive_into(self, stage: Any, what: str, other: int) -> None:
        """Set the shape and dtype of what a stage receives from another: activations (`inputs`), gradients (`outputs`).

        Up to torch 2.14, also register the buffers that receive them.

        Raises:
            InputError: the stage was not given the shape of exactly one tensor.
        """
        if not 0 <= other <= self.last:
            return
        metas = pipelining.shapes_of(stage, what)
        if metas is None or len(metas) != 1:
            raise InputError(
                f"pipelined: stage {stage.stage_index}: expected PipelineStage(…, {what[:-1]}_args=tensor) with one "
                f"tensor of a microbatch's shape, got {'none' if metas is None else len(metas)}"
            )
        like = torch.empty(metas[0].shape, dtype=metas[0].dtype, device="meta")
        self.like[what, stage.stage_index] = like
        if PIPELINE_ALLOCATES_BUFFERS_PER_RECEIVE:
            return
        if other in self.here:
            self.passed |= {f"{what}{stage.stage_index}_{i}": like for i in range(self.count)}
            return
        for i in range(self.count):
            self.register_buffer(f"{what}{stage.stage_index}_{i}", torch.empty_like(like), persistent=False)

    def forward(self, x: Any = None, target: Any = None, passed: Any = None) -> Any:
        """Run one step, and return everything that is still referenced at its end, such as the last outputs.

        `passed` is `self.passed` in the form of inputs of the analysis: these tensors exist before the step begins.
        """
        runner = self.runner(self, self._split("inputs", x), self._split("target", target), passed or {})
        for action in self.actions:
            runner.run(action)
        if self.scaled:
            with torch.no_grad():
                for parameter in self.parameters():
                    if parameter.grad is not None:
                        parameter.grad.div_(self.count)
        return runner.still_held()

    def _split(self, name: str, whole: Any) -> Any:
        """Split the batch `whole` into microbatches; if there is none, return None for each."""
        if whole is None:
            return [None] * self.count
        if len(whole) % self.count:
            raise InputError(
                f"pipelined: {name}: expected a batch divisible into {self.count} microbatches, got {len(whole)}"
            )
        return whole.chunk(self.count)
