"""One rank of a pipeline: what `torch.distributed.pipelining` runs in a step, recorded with its stages.

Torch's own step finds shapes by messages between ranks, which are not there. Here a module runs the schedule's
actions in its order, on the same stages. It holds buffers for all microbatches that are received, which torch keeps
from step to step; a forward's input and output until its backward; gradients and outputs for as long as the schedule's
sends refer to them.
Ref: torch/distributed/pipelining/{schedules,stage}.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat import pipelining
from cnncost.frontends.torch.compat.pipelining import Action
from cnncost.frontends.torch.compat.tensors import is_view


def order_of(schedule: Any) -> dict[int, list[Action]]:
    """The actions of each rank, in their order.

    GPipe runs all forwards, then all backwards. 1F1B runs as many forwards as there are stages from its own on, and
    then a backward and a forward in turn.

    Raises:
        InputError: not a schedule that is followed, or one without a loss.
    """
    kinds = pipelining.SINGLE
    if not isinstance(schedule, pipelining.ALL):
        raise InputError(
            "pipelined: expected a schedule of torch.distributed.pipelining, such as Schedule1F1B(stage, "
            f"n_microbatches=8, loss_fn=loss), got {type(schedule).__name__}"
        )
    if pipelining.loss_of(schedule) is None:
        raise InputError(
            f"pipelined: {type(schedule).__name__} has no loss_fn; expected one, for a step has a backward"
        )
    if not isinstance(schedule, kinds):
        return pipelining.listed(schedule)
    stages, m = pipelining.stages_of(schedule)[0].num_stages, pipelining.microbatches_of(schedule)
    found: dict[int, list[Action]] = {}
    for stage in range(stages):
        first = m if isinstance(schedule, kinds[0]) else min(m, stages - stage)
        actions = [Action("F", stage, i) for i in range(first)]
        for i in range(m):
            actions.append(Action("B", stage, i))
            if first + i < m:
                actions.append(Action("F", stage, first + i))
        found[stage] = actions
    return found


class Rank(nn.Module):
    """Runs a rank's actions; its buffers are those of what it receives.

    Args:
        schedule: the user's, which is only read.
        order: the actions of each rank.

    Raises:
        InputError: a stage that is wrapped for data parallelism, or whose tensors' shapes are unknown.
    """

    def __init__(self, schedule: Any, order: dict[int, list[Action]]) -> None:
        super().__init__()
        stages = pipelining.stages_of(schedule)
        for stage in stages:
            if type(stage.submod).__name__ == "DistributedDataParallel" or pipelining.is_sharded(stage.submod):
                raise InputError(
                    f"pipelined: stage {stage.stage_index} is wrapped for data parallelism "
                    f"({type(stage.submod).__name__}), which is not followed; expected the module itself"
                )
        self.stages = nn.ModuleDict({str(stage.stage_index): stage.submod for stage in stages})
        self.here = [stage.stage_index for stage in stages]
        self.last = stages[0].num_stages - 1
        self.count = pipelining.microbatches_of(schedule)
        self.loss_fn: Callable[..., Any] | None = pipelining.loss_of(schedule)
        self.scaled = pipelining.scales(schedule)
        self.rank = next(rank for rank, actions in order.items() if any(a.stage in self.here for a in actions))
        self.actions = order[self.rank]
        self.group = stages[0].group
        self.peers = {
            other: pipelining.peer(stage, other)
            for stage in stages for other in (stage.stage_index - 1, stage.stage_index + 1)
            if 0 <= other <= self.last and other not in self.here
        }  # fmt: skip
        self.warm = (
            min(self.count, self.last + 1 - self.here[0]) if isinstance(schedule, pipelining.SINGLE[1]) else None
        )
        """Forwards before the first backward in 1F1B, which lets go of messages during the step; None in others."""
        self.passed: dict[str, torch.Tensor] = {}
        """What a stage on this rank hands to another one here, which keeps it until it gets the next step's."""
        for stage in stages:
            self._receive_into(stage, "inputs", stage.stage_index - 1)
            self._receive_into(stage, "outputs", stage.stage_index + 1)

    def _receive_into(self, stage: Any, what: str, other: int) -> None:
        """Buffers for the activations, or for the gradients, of each microbatch."""
        if not 0 <= other <= self.last:
            return
        told = pipelining.shapes_of(stage, what)
        if told is None or len(told) != 1:
            raise InputError(
                f"pipelined: stage {stage.stage_index}: expected one tensor as PipelineStage(…, "
                f"{what[:-1]}_args=tensor), of one microbatch's shape, got {'none' if told is None else len(told)}"
            )
        like = torch.empty(told[0].shape, dtype=told[0].dtype, device="meta")
        if other in self.here:
            self.passed |= {f"{what}{stage.stage_index}_{i}": like for i in range(self.count)}
            return
        for i in range(self.count):
            self.register_buffer(f"{what}{stage.stage_index}_{i}", torch.empty_like(like), persistent=False)

    def forward(self, x: Any = None, target: Any = None, passed: Any = None) -> Any:
        """One step: the outputs of the last stage, and what is still referred to at its end."""
        state = _State(self, self._split("inputs", x), self._split("target", target), passed or {})
        for action in self.actions:
            state.run(action)
        if self.scaled:
            with torch.no_grad():
                for parameter in self.parameters():
                    if parameter.grad is not None:
                        parameter.grad.div_(self.count)
        return state.results, state.losses, state.sent, state.slots, state.passed

    def _split(self, name: str, whole: Any) -> Any:
        """Microbatches of a batch."""
        if whole is None:
            return [None] * self.count
        if len(whole) % self.count:
            raise InputError(
                f"pipelined: {name}: expected a batch that {self.count} microbatches divide, got {len(whole)} examples"
            )
        return whole.chunk(self.count)


class _State:
    """What is alive within a step."""

    def __init__(self, rank: Rank, xs: Any, targets: Any, passed: dict[str, Any]) -> None:
        self.rank, self.xs, self.targets, self.passed = rank, xs, targets, passed
        self.results: list[Any] = []
        self.losses: dict[int, Any] = {}
        self.sent: list[Any] = []
        """What is sent, until the step ends."""
        self.slots: dict[str, Any] = {}
        """What 1F1B's last messages refer to, by direction, and the last that it sent while warming up."""
        self.forwarded: dict[tuple[int, int], Any] = {}
        self.split: dict[tuple[int, int], Any] = {}

    def run(self, action: Action) -> None:
        kind, stage, i = action
        if kind == "F":
            self.forward(stage, i)
        elif kind == "B":
            if self.rank.warm is not None and i > self.rank.count - self.rank.warm:
                self.slots.pop("warm", None)
            out, x, grad = self.ready(stage, i)
            torch.autograd.backward(out, grad)
            self.passed_back(stage, i, x)
        elif kind == "I":
            out, x, grad = self.ready(stage, i)
            groups = None
            if stage:
                outs, grads = [out], None if grad is None else [grad]
                _, groups = pipelining.backward_input(outs, grads, [x], self.rank.stages[str(stage)].parameters())
            self.split[stage, i] = (out, x, grad, groups)
            if stage:
                self.passed_back(stage, i, x)
        else:
            out, x, grad, groups = self.split.pop((stage, i))
            if groups is None:
                torch.autograd.backward(out, grad)
            else:
                pipelining.backward_weight(self.rank.stages[str(stage)].parameters(), groups)

    def forward(self, stage: int, i: int) -> None:
        rank = self.rank
        if stage == 0:
            x = self.xs[i]
        elif stage - 1 in rank.here:
            x = self.passed[f"inputs{stage}_{i}"]
        else:
            x = getattr(rank, f"inputs{stage}_{i}")
            dist.recv(x, src=rank.peers[stage - 1], group=rank.group)
        if stage:
            x.requires_grad_()
        out = rank.stages[str(stage)](x)
        if not isinstance(out, torch.Tensor):
            raise InputError(f"pipelined: stage {stage} returns {type(out).__name__}; expected one tensor")
        self.forwarded[stage, i] = (out, x)
        if stage == rank.last:
            self.results.append(out)
            if rank.loss_fn is not None:
                self.losses[i] = rank.loss_fn(out, self.targets[i])
        elif stage + 1 in rank.here:
            self.passed[f"inputs{stage + 1}_{i}"] = out.detach()
        else:
            self.send(out, stage + 1, "warm" if rank.warm is not None and i < rank.warm - 1 else "F")

    def ready(self, stage: int, i: int) -> tuple[Any, Any, Any]:
        """What backward begins from, the stage's input, and the gradient that comes in."""
        rank = self.rank
        out, x = self.forwarded.pop((stage, i))
        if stage == rank.last:
            return self.losses[i], x, None
        if stage + 1 in rank.here:
            grad = self.passed[f"outputs{stage}_{i}"]
        else:
            grad = getattr(rank, f"outputs{stage}_{i}")
            dist.recv(grad, src=rank.peers[stage + 1], group=rank.group)
        return out, x, grad

    def passed_back(self, stage: int, i: int, x: Any) -> None:
        """Send the input's gradient on."""
        if stage == 0:
            return
        grad, x.grad = x.grad, None
        if stage - 1 in self.rank.here:
            self.passed[f"outputs{stage - 1}_{i}"] = grad
        else:
            self.send(grad, stage - 1, "B")
        if stage == self.rank.last and not is_view(self.results[i]):
            self.results[i].detach_()

    def send(self, tensor: Any, stage: int, slot: str) -> None:
        """A message, to which the schedule refers until it waits for it: at the end of the step, or before the next."""
        dist.send(tensor.detach(), dst=self.rank.peers[stage], group=self.rank.group)
        if self.rank.warm is None:
            self.sent.append(tensor)
        else:
            self.slots[slot] = tensor
