"""One training step: a loss, its backward, an optimizer's step, run after a forward that is being recorded.

What runs outside of forward goes on the account of the call that it is due to: an op of backward on that of the
op whose derivative it is (autograd numbers its nodes in the order of forward), a parameter's gradient and
its update on that of the module that owns it.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from cnncost.errors import DataDependentError, InputError
from cnncost.frontends.torch.blocks import Found
from cnncost.frontends.torch.losses import Loss, loss_of
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.modules import Tracker
from cnncost.frontends.torch.optimizers import Optimize, state_tensors, step, step_failed, warmed
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.warming import STAND_IN


class Training(NamedTuple):
    """How a step is made.

    Attributes:
        loss: a function of what forward returns, a name (`cross_entropy`, `mse`, `bce`), or None: the loss that the
            output itself carries, else the sum of all outputs that require a gradient.
        optimizer: a name (`sgd`, `adamw:lr=1e-3`), an optimizer class or instance, a function from parameters to an
            optimizer, or None: no step.
        set_to_none: gradients are None when forward begins; else they are there, as zeros.
    """

    loss: Loss = None
    optimizer: Optimize = None
    set_to_none: bool = True


class Step:
    """The part of a training step that follows forward."""

    def __init__(self, training: Training, model: nn.Module, skeleton: Skeleton, tracker: Tracker) -> None:
        self._training = training
        self._skeleton = skeleton
        self._tracker = tracker
        self._parameters = [p for p in _unique(model.parameters()) if p.requires_grad]
        self.optimizer: torch.optim.Optimizer | None = None
        tracker.trail = []
        self._leaves = self._with_hooks()
        _alone()  # here, for inside of a backward it can't be tried out
        for parameter in self._parameters if not training.set_to_none else ():
            parameter.grad = torch.zeros_like(parameter)
            tracker.recorder.ledger.add_source(parameter.grad, "constant")
            tracker.recorder.ledger.mark(parameter.grad, "gradient")

    def _with_hooks(self) -> list[torch.Tensor]:
        """The copies of all tensors that get gradients, with the hooks of their originals.

        Raises:
            InputError: hooks after accumulation, which step optimizers of the user's; sparse gradients.
        """
        leaves = []
        for original, copy in self._skeleton.tensors():
            if getattr(original, "_post_accumulate_grad_hooks", None):
                raise InputError(
                    f"training: a tensor of shape {tuple(original.shape)} has a hook that runs after its gradient is "
                    "accumulated, which may step the optimizer of the real model; remove it for the analysis"
                )
            for hook in (original._backward_hooks or {}).values():
                copy.register_hook(self._skeleton.value(hook))
            if copy.requires_grad and copy.is_leaf:
                leaves.append(copy)
        for scope, module in self._skeleton.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
                raise InputError(
                    f"training: {scope} has sparse gradients (sparse=True), as large as the data says; expected "
                    "sparse=False"
                )
        return leaves

    def loss(self, result: Any) -> torch.Tensor:
        """The loss, which a training loop holds on to.

        Raises:
            InputError: nothing in the output requires a gradient, or the loss is no number.
        """
        loss = loss_of(self._training.loss, result)
        if not loss.requires_grad:
            raise InputError(
                "training: the loss does not depend on any parameter that requires a gradient; expected a model with "
                f"trainable parameters ({len(self._parameters)} found) and an output that is differentiable"
            )
        return loss

    def run(self, loss: torch.Tensor) -> None:
        """Backward and optimizer step, outside of autocast as torch wants it."""
        recorder = self._tracker.recorder
        owners = self._owners()
        recorder.phase, recorder.director = "backward", _Backward(self._tracker, owners)
        loss.backward()
        self._book_gradients(owners)
        if self._training.optimizer is not None:
            self._update(owners)
        recorder.director = None

    def _book_gradients(self, owners: dict[int, int]) -> None:
        ledger = self._tracker.recorder.ledger
        for parameter in self._leaves:
            if parameter.grad is not None:
                ledger.mark(parameter.grad, "gradient")
                self._share_owner(owners, parameter, parameter.grad)

    def _share_owner(self, owners: dict[int, int], parameter: torch.Tensor, other: torch.Tensor) -> None:
        """What belongs to a parameter goes on the account of the call that owns it."""
        ledger = self._tracker.recorder.ledger
        block, owner = ledger.block_of(other), ledger.block_of(parameter)
        if block is not None and owner is not None:
            owners[block.index] = owners.get(owner.index, 0)

    def _update(self, owners: dict[int, int]) -> None:
        """The optimizer's step. The state that earlier steps left was there before the first node."""
        recorder = self._tracker.recorder
        self.optimizer, values = warmed(self._training.optimizer, self._parameters, self._skeleton, recorder)
        for parameter, tensor in state_tensors(self.optimizer, self._parameters):
            recorder.ledger.add_source(tensor, "constant", values.get(id(tensor)))
            recorder.ledger.mark(tensor, "state")
            if parameter is not None:
                self._share_owner(owners, parameter, tensor)
        recorder.phase, recorder.director, recorder.read_as = "optimizer", _Update(owners), STAND_IN
        knew, recorder.guesses = recorder.guesses, False
        try:
            step(self.optimizer)
            if recorder.guesses and not knew:  # the steps before read nothing that would have shown whether it matters
                raise DataDependentError("it reads numbers in later steps than the first")  # noqa: TRY301  # named below
        except Exception as error:
            raise step_failed(self.optimizer, error) from error

    def _owners(self) -> dict[int, int]:
        """The call that owns each parameter, by the parameter's storage."""
        ledger, tracker = self._tracker.recorder.ledger, self._tracker
        owners: dict[int, int] = {}
        for index, scope in enumerate(tracker.scopes):
            if scope.parameters:
                call = tracker.first_call(index)
                for owned in scope.parameters:
                    owners.setdefault(ledger.values[owned.value].storage, call)
        return owners


class _Backward:
    """Directs the ops of backward."""

    def __init__(self, tracker: Tracker, owners: dict[int, int]) -> None:
        self._tracker = tracker
        self._owners = owners
        self._node: tuple[int, int] | None = None
        self._began = self._start = tracker.recorder.ledger.clock
        """The ops at which the node that is evaluated began, and backward did."""

    def call(self, found: Found) -> int:  # noqa: ARG002  # the protocol
        """That of the op whose derivative it is."""
        tracker = self._tracker
        node: Any = torch._C._current_autograd_node()
        if node is None:
            return tracker.recomputing or 0
        variable = getattr(node, "variable", None)
        number = node._sequence_nr()
        if self._node != (identity := (number, id(variable))):
            self._node, self._began = identity, tracker.recorder.ledger.clock
        if tracker.recomputing is not None:
            return tracker.recomputing
        if variable is not None:
            block = tracker.recorder.ledger.block_of(variable)
            return self._owners.get(block.index, 0) if block is not None else 0
        trail = tracker.trail or []
        place = bisect_right(trail, number, key=itemgetter(0))
        return trail[place - 1][1] if place else 0

    def in_place(self, func: Any, args: tuple[Any, ...], found: Found) -> Any:
        """Sums of gradients that reach a value over several paths, and gradients put among zeros.

        Autograd does these in place, but not while a dispatch mode is on (torch/csrc/autograd/input_buffer.cpp, and
        index_backward in FunctionsManual.cpp). Its sums are told from those of a derivative's formula by an operand
        that an earlier node has made, or by a node that hands two gradients to one value.
        """
        better = _IN_PLACE.get(func) or _of_this_node(func)
        if better is None or torch.is_grad_enabled() or self._node is None or found[0][0] is not args[0]:
            return None
        born = [known.block.born for _, known in found]
        if born[0] is None or born[0] < self._start:
            return None
        if func is not _ADD:  # the zeros, or another tensor, that this very formula has made
            return better if born[0] >= self._began else None
        if _holders(args[0]) != _alone():
            return None
        if len(args) != 2 or len(found) != 2 or found[0][1].sig.type != found[1][1].sig.type or born[1] is None:
            return None
        here = born[0] >= self._began and born[1] >= self._began
        return None if born[1] < self._start or (here and not _hands_on_twice()) else better


_ADD = torch.ops.aten.add.Tensor
_IN_PLACE = {
    _ADD: torch.ops.aten.add_.Tensor,
    torch.ops.aten.index_put.default: torch.ops.aten.index_put_.default,
    torch.ops.aten.scatter_add.default: torch.ops.aten.scatter_add_.default,
    torch.ops.aten.index_add.default: torch.ops.aten.index_add_.default,
    torch.ops.aten.scatter.src: torch.ops.aten.scatter_.src,
    torch.ops.aten.put.default: torch.ops.aten.put_.default,
}
"""What autograd does in place where nobody watches."""


_FORMULAS = {
    "BinaryCrossEntropyWithLogitsBackward0": {
        torch.ops.aten.sub.Tensor: torch.ops.aten.sub_.Tensor,
        torch.ops.aten.mul.Tensor: torch.ops.aten.mul_.Tensor,
    },
}
"""By autograd's node: what its formula does in place, to tensors of its own."""


def _of_this_node(func: Any) -> Any:
    if func is not torch.ops.aten.sub.Tensor and func is not torch.ops.aten.mul.Tensor:
        return None
    node: Any = torch._C._current_autograd_node()
    return _FORMULAS.get(node.name(), {}).get(func) if node is not None else None


def _hands_on_twice() -> bool:
    """Whether the node that is evaluated gives two gradients to one value, as that of `x * x` does."""
    node: Any = torch._C._current_autograd_node()
    targets = [(id(target), place) for target, place in node.next_functions if target is not None]
    return len(set(targets)) < len(targets)


def _holders(tensor: torch.Tensor) -> tuple[int, int]:
    """References to a tensor and to its storage."""
    count: int = tensor._use_count()  # type: ignore[attr-defined]  # missing from torch's stubs
    return count, torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


@cache
def _alone() -> tuple[int, int]:
    """The references to a gradient that only autograd holds, as a dispatch mode sees them: tried out."""
    seen: list[tuple[int, int]] = []

    class Look(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.add.Tensor and not torch.is_grad_enabled():
                seen.append(_holders(args[0]))
            return func(*args, **(kwargs or {}))

    with _disable_current_modes(), torch.enable_grad():
        x = torch.ones(2, device=META, requires_grad=True).exp()
        y = (x.sin() * x.cos()).sum()
        with Look():  # type: ignore[no-untyped-call]  # torch's class has no types
            y.backward()
    return seen[0]


class _Update:
    """Directs an optimizer's ops: to the call whose module owns the parameter that is updated.

    An op on temporaries alone goes with the one before.
    """

    def __init__(self, owners: dict[int, int]) -> None:
        self._owners = owners
        self._last = 0

    def call(self, found: Found) -> int:
        self._last = next((self._owners[k.block.index] for _, k in found if k.block.index in self._owners), self._last)
        return self._last

    def in_place(self, func: Any, args: tuple[Any, ...], found: Found) -> None:
        """Nothing is: an optimizer says itself what it does in place."""


def _unique(parameters: Any) -> list[nn.Parameter]:
    return list({id(p): p for p in parameters}.values())
