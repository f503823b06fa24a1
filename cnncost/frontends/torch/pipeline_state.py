"""What a rank of a pipeline holds within a step, as its actions run: in each way that torch has had of holding it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat import pipelining
from cnncost.frontends.torch.compat.facts import PIPELINE_LETS_GO_OF_INPUT_GRADIENTS
from cnncost.frontends.torch.compat.pipelining import Action
from cnncost.frontends.torch.compat.tensors import is_view


class Ranked(Protocol):
    """The rank whose actions run: its modules by stage, its stages' indices, and the last one of the pipeline."""

    stages: nn.ModuleDict
    here: list[int]
    last: int
    count: int
    warm: int | None
    peers: dict[int, int]
    group: Any
    loss_fn: Callable[..., Any] | None
    like: dict[tuple[str, int], torch.Tensor]


class State:
    """What is alive within a step, up to torch 2.14; `Stepping` is an older way.

    Buffers for what is received are the rank's own, from step to step. A forward's input and output stay until its
    backward; gradients and outputs for as long as the schedule's sends refer to them.
    """

    def __init__(self, rank: Ranked, xs: Any, targets: Any, passed: dict[str, Any]) -> None:
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
            del out
            self.passed_back(stage, i, x)
        elif kind == "I":
            out, x, grad = self.ready(stage, i)
            groups = None
            if stage:
                outs, grads = [out], None if grad is None else [grad]
                _, groups = pipelining.backward_input(outs, grads, [x], self.rank.stages[str(stage)].parameters())
            rest = out if stage == 0 or isinstance(out, torch.Tensor) else None  # a node would hold what it has saved
            self.split[stage, i] = (rest, x, grad, groups)
            if stage:
                self.passed_back(stage, i, x)
        elif kind == "W":
            out, x, grad, groups = self.split.pop((stage, i))
            if groups is None:
                torch.autograd.backward(out, grad)
            else:
                pipelining.backward_weight(self.rank.stages[str(stage)].parameters(), groups)
        else:
            self.communicate(action)

    def forward(self, stage: int, i: int) -> None:
        rank = self.rank
        x = self.xs[i] if stage == 0 else self.taken("inputs", stage, i)
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

    def ready(self, stage: int, i: int) -> tuple[Any, Any, Any]:
        """What backward begins from, the stage's input, and the gradient that comes in."""
        out, x = self.forwarded.pop((stage, i))
        if stage == self.rank.last:
            return self.losses[i], x, None
        return out, x, self.taken("outputs", stage, i)

    def passed_back(self, stage: int, i: int, x: Any) -> None:
        """Send the input's gradient on."""
        if stage == 0:
            return
        grad = x.grad
        if PIPELINE_LETS_GO_OF_INPUT_GRADIENTS:
            x.grad = None
        if stage - 1 in self.rank.here:
            self.hand_over("outputs", stage - 1, i, grad)
        else:
            self.send_back(grad, stage, i)
        if stage == self.rank.last and not is_view(self.results[i]):
            self.results[i].detach_()

    def taken(self, what: str, stage: int, i: int) -> Any:
        """A microbatch's activations or gradients, from another rank or another stage of this one."""
        rank, other = self.rank, stage + (-1 if what == "inputs" else 1)
        if other in rank.here:
            return self.passed[f"{what}{stage}_{i}"]
        buffer = getattr(rank, f"{what}{stage}_{i}")
        dist.recv(buffer, src=rank.peers[other], group=rank.group)
        return buffer

    def hand_over(self, what: str, stage: int, i: int, tensor: Any) -> None:
        """Give a tensor to another stage of this rank, which keeps it until it gets the next step's."""
        self.passed[f"{what}{stage}_{i}"] = tensor

    def send_forward(self, out: Any, stage: int, i: int) -> None:
        self.send(out, stage + 1, "warm" if self.rank.warm is not None and i < self.rank.warm - 1 else "F")

    def send_back(self, grad: Any, stage: int, _: int) -> None:
        self.send(grad, stage - 1, "B")

    def send(self, tensor: Any, stage: int, slot: str) -> None:
        """A message, to which the schedule refers until it waits for it: at the end of the step, or before the next."""
        dist.send(tensor.detach(), dst=self.rank.peers[stage], group=self.rank.group)
        if self.rank.warm is None:
            self.sent.append(tensor)
        else:
            self.slots[slot] = tensor

    def communicate(self, action: Action) -> None:
        """Run an action that lists a message: here computing sends and receives by itself."""
        raise AssertionError(action)

    def left(self) -> Any:
        """What is still referred to when the step ends."""
        return self.results, self.losses, self.sent, self.slots, self.passed


class Stepping(State):
    """What is alive within a schedule's time steps, as those of several stages a rank had them up to torch 2.9.

    What is sent is let go of when the next time step begins, and the last output when the next one is there.
    """

    def run(self, action: Action) -> None:
        self.slots.pop("sent", None)
        super().run(action)

    def forward(self, stage: int, i: int) -> None:
        super().forward(stage, i)
        self.slots["output"] = self.forwarded[stage, i][0]

    def send(self, tensor: Any, stage: int, slot: str) -> None:  # noqa: ARG002  # there is one slot
        dist.send(tensor.detach(), dst=self.rank.peers[stage], group=self.rank.group)
        self.slots["sent"] = tensor


class Lending(State):
    """What is alive within a step since torch 2.15.

    A buffer is allocated for each message that is received, and belongs to the computation that takes it. An output is
    let go of once its send has been waited for: its backward begins from its node.
    """

    def __init__(self, rank: Ranked, xs: Any, targets: Any, passed: dict[str, Any]) -> None:
        super().__init__(rank, xs, targets, passed)
        self.arrived: dict[tuple[str, int, int], Any] = {}
        """What is received or handed over, and not yet taken."""
        self.outgoing: dict[tuple[int, int], Any] = {}
        """Gradients that are not yet sent."""
        self.pending: dict[tuple[str, int, int], Any] = {}
        """What is sent, until it is waited for."""

    def taken(self, what: str, stage: int, i: int) -> Any:
        return self.arrived.pop((what, stage, i))

    def hand_over(self, what: str, stage: int, i: int, tensor: Any) -> None:
        self.arrived[what, stage, i] = tensor

    def send_forward(self, out: Any, stage: int, i: int) -> None:
        """Nothing: the output stays with the forward until the schedule sends it."""

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
                if type(out) is torch.Tensor and out.requires_grad:  # as torch asks: other tensors stay
                    self.forwarded[stage, i] = (torch.autograd.graph.get_gradient_edge(out), x)

    def receive(self, what: str, stage: int, i: int) -> None:
        rank = self.rank
        like = rank.like[what, stage]
        buffer = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)
        dist.recv(buffer, src=rank.peers[stage + (-1 if what == "inputs" else 1)], group=rank.group)
        self.arrived[what, stage, i] = buffer
        # 1F1B's list of messages refers to the last input, and while it drains, to the last gradient, until the next
        if rank.warm is not None and (what == "inputs" or i > rank.count - rank.warm):
            self.slots[what] = buffer

    def hand_to_peer(self, kind: str, stage: int, i: int, tensor: Any, other: int) -> None:
        dist.send(tensor.detach(), dst=self.rank.peers[other], group=self.rank.group)
        if kind == "B" and self.rank.warm is not None:
            self.slots["B"] = tensor
        else:
            self.pending[kind, stage, i] = tensor
