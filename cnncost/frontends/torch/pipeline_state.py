"""Runs a pipeline rank's actions and keeps tensors alive as long as torch does, in one class per torch behavior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat import pipelining
from cnncost.frontends.torch.compat.facts import PIPELINE_FREES_INPUT_GRADIENTS
from cnncost.frontends.torch.compat.pipelining import Action
from cnncost.frontends.torch.compat.tensors import is_view


class Ranked(Protocol):
    """The rank whose actions run (`pipeline.Rank`). `stages` are its modules by stage index, `here` these indices."""

    stages: nn.ModuleDict
    here: list[int]
    last: int
    count: int
    warmup: int | None
    peers: dict[int, int]
    group: Any
    loss_fn: Callable[..., Any] | None
    like: dict[tuple[str, int], torch.Tensor]


class ActionRunner:
    """Runs actions as torch does up to 2.14, except with several stages per rank up to 2.9 (`TimeStepRunner`).

    Messages are received into buffers that the rank keeps from step to step. A forward's input and output stay alive
    until its backward; sent outputs and gradients, as long as the schedule's send requests refer to them.
    """

    def __init__(self, rank: Ranked, xs: Any, targets: Any, passed: dict[str, Any]) -> None:
        self.rank, self.xs, self.targets, self.passed = rank, xs, targets, passed
        self.results: list[Any] = []
        self.losses: dict[int, Any] = {}
        self.sent: list[Any] = []
        """Sent tensors that the schedule refers to until the step ends."""
        self.slots: dict[str, Any] = {}
        """Tensors that each stay alive until another one takes the slot. In 1F1B these are the tensors last sent: `F`
        (outputs), `B` (gradients) and `warmup` (outputs during warm-up). Subclasses have other slots."""
        self.forwarded: dict[tuple[int, int], Any] = {}
        """Output and input of each forward whose backward has not run yet, by stage and microbatch."""
        self.split: dict[tuple[int, int], Any] = {}
        """Backwards that still lack the weights' gradients: output, input, the output's gradient, parameter groups."""

    def run(self, action: Action) -> None:
        kind, stage, i = action
        if kind == "F":
            self.forward(stage, i)
        elif kind == "B":
            if self.rank.warmup is not None and i > self.rank.count - self.rank.warmup:
                self.slots.pop("warmup", None)  # the cool-down phase no longer refers to it
            out, x, grad = self.backward_operands(stage, i)
            torch.autograd.backward(out, grad)
            del out
            self.send_gradient(stage, i, x)
        elif kind == "I":  # gradient of the input only
            out, x, grad = self.backward_operands(stage, i)
            groups = None
            if stage:
                outs, grads = [out], None if grad is None else [grad]
                _, groups = pipelining.backward_input(outs, grads, [x], self.rank.stages[str(stage)].parameters())
            # `out` may be a gradient edge, which is not kept: its node would keep its saved tensors alive
            root = out if stage == 0 or isinstance(out, torch.Tensor) else None
            self.split[stage, i] = (root, x, grad, groups)
            if stage:
                self.send_gradient(stage, i, x)
        elif kind == "W":  # gradients of the weights, deferred by I
            out, x, grad, groups = self.split.pop((stage, i))
            if groups is None:
                torch.autograd.backward(out, grad)
            else:
                pipelining.backward_weight(self.rank.stages[str(stage)].parameters(), groups)
        else:
            self.communicate(action)

    def forward(self, stage: int, i: int) -> None:
        rank = self.rank
        x = self.xs[i] if stage == 0 else self.take("inputs", stage, i)
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
            self.hand_over("inputs", stage + 1, i, out.detach())
        else:
            self.send_forward(out, stage, i)

    def backward_operands(self, stage: int, i: int) -> tuple[Any, Any, Any]:
        """Return backward's root (output or loss), the stage's input, and the output's gradient (None for a loss)."""
        out, x = self.forwarded.pop((stage, i))
        if stage == self.rank.last:
            return self.losses[i], x, None
        return out, x, self.take("outputs", stage, i)

    def send_gradient(self, stage: int, i: int, x: Any) -> None:
        """Send the input's gradient to the previous stage, if there is one."""
        if stage == 0:
            return
        grad = x.grad
        if PIPELINE_FREES_INPUT_GRADIENTS:
            x.grad = None
        if stage - 1 in self.rank.here:
            self.hand_over("outputs", stage - 1, i, grad)
        else:
            self.send_back(grad, stage, i)
        # torch does this to free the autograd graph; views can't be detached in place
        if stage == self.rank.last and not is_view(self.results[i]):
            self.results[i].detach_()

    def take(self, what: str, stage: int, i: int) -> Any:
        """Receive a microbatch's activations (`inputs`) or gradients (`outputs`), from another rank or this one."""
        rank, other = self.rank, stage + (-1 if what == "inputs" else 1)
        if other in rank.here:
            return self.passed[f"{what}{stage}_{i}"]
        buffer = getattr(rank, f"{what}{stage}_{i}")
        dist.recv(buffer, src=rank.peers[other], group=rank.group)
        return buffer

    def hand_over(self, what: str, stage: int, i: int, tensor: Any) -> None:
        """Pass a tensor to another stage of this rank, which keeps it until the next step replaces it."""
        self.passed[f"{what}{stage}_{i}"] = tensor

    def send_forward(self, out: Any, stage: int, i: int) -> None:
        self.send(out, stage + 1, "warmup" if self.rank.warmup is not None and i < self.rank.warmup - 1 else "F")

    def send_back(self, grad: Any, stage: int, _: int) -> None:
        self.send(grad, stage - 1, "B")

    def send(self, tensor: Any, stage: int, slot: str) -> None:
        """Send a tensor. The schedule refers to it until it waits: at the end of the step, in 1F1B at the next send."""
        dist.send(tensor.detach(), dst=self.rank.peers[stage], group=self.rank.group)
        if self.rank.warmup is None:
            self.sent.append(tensor)
        else:
            self.slots[slot] = tensor

    def communicate(self, action: Action) -> None:
        """Handle a send or receive action. There are none here, because `forward` and `run` send and receive."""
        raise AssertionError(action)

    def still_held(self) -> Any:
        """Everything that is still referenced when the step ends."""
        return self.results, self.losses, self.sent, self.slots, self.passed


class TimeStepRunner(ActionRunner):
    """Runs time steps, as schedules with several stages per rank do up to torch 2.9.

    A sent tensor is freed when the next time step begins, and the last output once the next forward returns.
    """

    def run(self, action: Action) -> None:
        self.slots.pop("sent", None)
        super().run(action)

    def forward(self, stage: int, i: int) -> None:
        super().forward(stage, i)
        self.slots["output"] = self.forwarded[stage, i][0]

    def send(self, tensor: Any, stage: int, slot: str) -> None:  # noqa: ARG002  # only one slot
        dist.send(tensor.detach(), dst=self.rank.peers[stage], group=self.rank.group)
        self.slots["sent"] = tensor


class BufferPerReceiveRunner(ActionRunner):
    """Runs actions as torch does from 2.15 on.

    A buffer is allocated for each received message and freed after the computation that uses it. An output is freed
    once its send has completed, because its backward starts from a gradient edge instead.
    """

    def __init__(self, rank: Ranked, xs: Any, targets: Any, passed: dict[str, Any]) -> None:
        super().__init__(rank, xs, targets, passed)
        self.arrived: dict[tuple[str, int, int], Any] = {}
        """Tensors that were received or handed over, but not yet taken."""
        self.outgoing: dict[tuple[int, int], Any] = {}
        """Gradients that have not been sent yet."""
        self.pending: dict[tuple[str, int, int], Any] = {}
        """Sent tensors whose sends have not been waited for yet."""

    def take(self, what: str, stage: int, i: int) -> Any:
        return self.arrived.pop((what, stage, i))

    def hand_over(self, what: str, stage: int, i: int, tensor: Any) -> None:
        self.arrived[what, stage, i] = tensor

    def send_forward(self, out: Any, stage: int, i: int) -> None:
        """Do nothing: the output stays in `forwarded` until the schedule sends it."""

    def send_back(self, grad: Any, stage: int, i: int) -> None:
        self.outgoing[stage, i] = grad

    def communicate(self, action: Action) -> None:
        kind, stage, i = action
        if kind.startswith("RECV"):
            self.receive("inputs" if kind == "RECV_F" else "outputs", stage, i)
        elif kind == "SEND_F":
            self.hand_to_peer("F", stage, i, self.forwarded[stage, i][0], stage + 1)
        elif kind == "SEND_B":
            self.hand_to_peer("B", stage, i, self.outgoing.pop((stage, i)), stage - 1)
        else:
            self.pending.pop((kind[-1], stage, i))
            if kind == "WAIT_SEND_F" and (stage, i) in self.forwarded:
                out, x = self.forwarded[stage, i]
                if type(out) is torch.Tensor and out.requires_grad:  # torch's own condition; other outputs stay alive
                    self.forwarded[stage, i] = (torch.autograd.graph.get_gradient_edge(out), x)

    def receive(self, what: str, stage: int, i: int) -> None:
        rank = self.rank
        like = rank.like[what, stage]
        buffer = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)
        dist.recv(buffer, src=rank.peers[stage + (-1 if what == "inputs" else 1)], group=rank.group)
        self.arrived[what, stage, i] = buffer
        # 1F1B refers to the input that it received last, and in its cool-down phase also to the last gradient
        if rank.warmup is not None and (what == "inputs" or i > rank.count - rank.warmup):
            self.slots[what] = buffer

    def hand_to_peer(self, kind: str, stage: int, i: int, tensor: Any, other: int) -> None:
        dist.send(tensor.detach(), dst=self.rank.peers[other], group=self.rank.group)
        if kind == "B" and self.rank.warmup is not None:
            self.slots["B"] = tensor
        else:
            self.pending[kind, stage, i] = tensor
