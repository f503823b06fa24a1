"""The part of a training step after a recorded forward: loss, backward, and the optimizer's step.

Ops outside forward are attributed to module calls. A backward op belongs to the call of the op that it differentiates,
which is found by the sequence numbers of autograd nodes, because these follow the order of forward. Accumulating a
parameter's gradient and updating the parameter belong to the first call of the module that owns it.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import DataDependentError, InputError
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.compat.autograd import ACCUMULATED_HOOKS, HOOKS, current_node, number_of
from cnncost.frontends.torch.compat.dispatch import TorchDispatchMode, without_modes
from cnncost.frontends.torch.compat.tensors import identity_of, storage_use_count, use_count
from cnncost.frontends.torch.compiler import without_import
from cnncost.frontends.torch.losses import Loss, loss_of
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.modules import Tracker
from cnncost.frontends.torch.optimizers import Optimize, state_tensors, step, step_failed, warm_up
from cnncost.frontends.torch.replicated import INSIDE, REPLICATED, Buckets, Replica
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.warming import STAND_IN
from cnncost.frontends.torch.wrappers import own_part


class Training(NamedTuple):
    """Options of a training step.

    Attributes:
        loss: a function of forward's output, a name (`cross_entropy`, `mse`, `bce`), or None: the loss that the output
            contains, else the sum of all outputs that require gradients.
        optimizer: a name (`sgd`, `adamw:lr=1e-3`), an optimizer class or instance, a function from parameters to an
            optimizer, or None: no optimizer step.
        set_to_none: whether gradients are None when forward begins; otherwise they are allocated as zeros.
    """

    loss: Loss = None
    optimizer: Optimize = None
    set_to_none: bool = True


class Step:
    """The part of a training step after forward."""

    def __init__(
        self, training: Training, model: nn.Module, skeleton: Skeleton, tracker: Tracker, replica: Replica | None = None
    ) -> None:
        self._training = training
        self._skeleton = skeleton
        self._tracker = tracker
        self._parameters = [p for p in _unique(model.parameters()) if p.requires_grad]
        self.optimizer: torch.optim.Optimizer | None = None
        tracker.trail = []  # the tracker fills it from now on
        self._leaves = self._hooked_leaves()
        ledger = tracker.recorder.ledger
        self._buckets = Buckets(replica, self._parameters, ledger) if replica is not None else None
        _unshared_counts()  # measured and cached here, because it can't be measured during a backward
        for parameter in self._parameters if not training.set_to_none else ():
            parameter.grad = torch.zeros_like(parameter)
            gradient = own_part(parameter.grad)
            ledger.add_source(gradient, "constant")
            ledger.mark(gradient, "gradient")
            ledger.share_device(gradient, own_part(parameter))

    def _hooked_leaves(self) -> list[torch.Tensor]:
        """Register the originals' hooks on the copies, and return the copied leaves that require gradients.

        Raises:
            InputError: a tensor has a post-accumulate-grad hook, which may step the user's optimizer, or an embedding
                has sparse gradients.
        """
        leaves = []
        for original, copy in self._skeleton.tensors():
            if getattr(original, ACCUMULATED_HOOKS, None):
                raise InputError(
                    f"training: a tensor of shape {tuple(original.shape)} has a post-accumulate-grad hook, which may "
                    "step the real model's optimizer; remove the hook for the analysis"
                )
            for hook in (getattr(original, HOOKS) or {}).values():
                copy.register_hook(self._skeleton.value(hook))
            if copy.requires_grad and copy.is_leaf:
                leaves.append(copy)
        for scope, module in self._skeleton.modules():
            if scope == REPLICATED and INSIDE not in (notes := self._tracker.recorder.notes):
                notes.append(INSIDE)
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
                raise InputError(
                    f"training: {scope} has sparse gradients (sparse=True), whose size depends on data; expected "
                    "sparse=False"
                )
        return leaves

    def loss(self, result: Any) -> torch.Tensor:
        """Compute the loss. The caller keeps a reference to it, as a training loop does.

        Raises:
            InputError: the loss does not require a gradient, or is not a scalar.
        """
        loss = loss_of(self._training.loss, result)
        if not loss.requires_grad:
            raise InputError(
                "training: the loss does not depend on any parameter that requires a gradient; expected a model with "
                f"trainable parameters ({len(self._parameters)} found) and a differentiable output"
            )
        return loss

    def run(self, loss: torch.Tensor) -> None:
        """Run backward and, if there is an optimizer, its step. To be called outside autocast, as torch recommends."""
        recorder = self._tracker.recorder
        owners = self._owners()
        recorder.phase, recorder.attributor = "backward", _Backward(self._tracker, owners)
        loss.backward()
        if self._buckets is not None:
            self._buckets.finish()
        self._mark_gradients(owners)
        if self._training.optimizer is not None:
            self._update(owners)
        recorder.attributor = None

    def _mark_gradients(self, owners: dict[int, int]) -> None:
        ledger = self._tracker.recorder.ledger
        for parameter in self._leaves:
            if parameter.grad is not None:
                gradient = own_part(parameter.grad)
                ledger.mark(gradient, "gradient")
                self._share_owner(owners, own_part(parameter), gradient)

    def _share_owner(self, owners: dict[int, int], parameter: torch.Tensor, other: torch.Tensor) -> None:
        """Attribute a parameter's gradient or state (`other`) to the parameter's module, and set its device."""
        ledger = self._tracker.recorder.ledger
        block, of_parameter = ledger.block_of(other), ledger.block_of(parameter)
        if block is not None and of_parameter is not None:
            owners[block.index] = owners.get(of_parameter.index, 0)
            block.device = of_parameter.device

    def _update(self, owners: dict[int, int]) -> None:
        """Run the optimizer's step. State from an earlier step is registered as allocated before the first node."""
        recorder = self._tracker.recorder
        self.optimizer, values = warm_up(self._training.optimizer, self._parameters, self._skeleton, recorder)
        for parameter, tensor in state_tensors(self.optimizer, self._parameters):
            recorder.ledger.add_source(tensor, "constant", values.get(id(tensor)))
            recorder.ledger.mark(tensor, "state")
            if parameter is not None:
                self._share_owner(owners, parameter, tensor)
        recorder.phase, recorder.attributor, recorder.read_as = "optimizer", _Update(owners), STAND_IN
        guessed_before, recorder.guesses = recorder.guesses, False
        try:
            step(self.optimizer)
            if recorder.guesses and not guessed_before:  # `warm_up` read no number, so it has not tried other stand-ins
                raise DataDependentError("only its second step reads a number")  # noqa: TRY301  # see below
        except Exception as error:
            raise step_failed(self.optimizer, error) from error

    def _owners(self) -> dict[int, int]:
        """Return the first call of the module that owns each parameter, by the parameter's storage."""
        ledger, tracker = self._tracker.recorder.ledger, self._tracker
        owners: dict[int, int] = {}
        for index, scope in enumerate(tracker.scopes):
            if scope.parameters:
                call = tracker.first_call(index)
                for owned in scope.parameters:
                    owners.setdefault(ledger.values[owned.value].storage, call)
        return owners


class _Backward:
    """Attributes the ops of backward to module calls."""

    def __init__(self, tracker: Tracker, owners: dict[int, int]) -> None:
        self._tracker = tracker
        self._owners = owners
        self._node: tuple[int, int] | None = None
        self._began = self._start = tracker.recorder.ledger.clock
        """The tensor table's clock at the start of the current autograd node (`_began`) and of backward (`_start`)."""

    def call(self, operands: TensorArgs) -> int:  # noqa: ARG002  # the protocol
        """Return the call of the op that is being differentiated, or of the module whose gradient is accumulated."""
        tracker = self._tracker
        node: Any = current_node()
        if node is None:  # outside of all nodes, where the loss's own gradient is created
            return tracker.recomputing or 0
        variable = getattr(node, "variable", None)
        number = number_of(node)
        if self._node != (identity := (number, id(variable))):
            self._node, self._began = identity, tracker.recorder.ledger.clock
        if tracker.recomputing is not None:
            return tracker.recomputing
        if variable is not None:
            block = tracker.recorder.ledger.block_of(own_part(variable))
            return self._owners.get(block.index, 0) if block is not None else 0
        trail = tracker.trail or []
        end = bisect_right(trail, number, key=itemgetter(0))
        return trail[end - 1][1] if end else 0

    def in_place(self, func: Any, args: tuple[Any, ...], operands: TensorArgs) -> Any:
        """Return the in-place op that autograd would run without a dispatch mode; None if it would run `func`.

        Unless a dispatch mode is active, autograd works in place when it sums the gradients of a value that is used
        several times, and when it scatters gradients into zeros (torch/csrc/autograd/input_buffer.cpp; index_backward
        in FunctionsManual.cpp). The operands distinguish such a sum from one in a derivative's formula: an earlier node
        created one of them, or the node passes two gradients to one value.
        """
        in_place_op = _IN_PLACE.get(func) if func not in _IN_FORMULAS else self._in_formula(func, operands)
        # in grad mode (with `create_graph`), autograd adds out of place
        if in_place_op is None or torch.is_grad_enabled() or self._node is None or operands[0][0] is not args[0]:
            return None
        born = [tracked.block.born for _, tracked in operands]
        if born[0] is None or born[0] < self._start:  # not created in backward
            return None
        if func is not _ADD:  # only into a tensor, such as zeros, that this node's formula created
            return in_place_op if born[0] >= self._began else None
        if _ADD in _formula() and all(b is not None and b >= self._began for b in born):
            return in_place_op
        if _reference_counts(args[0]) != _unshared_counts():  # other code refers to the tensor, too
            return None
        types = [tracked.sig.type for _, tracked in operands]
        if len(args) != 2 or len(types) != 2 or types[0] != types[1] or born[1] is None:
            return None
        both_new = born[0] >= self._began and born[1] >= self._began
        return None if born[1] < self._start or (both_new and not _passes_two_gradients()) else in_place_op

    def _in_formula(self, func: Any, operands: TensorArgs) -> Any:
        """Return the in-place op for `func`, which some formulas run in place; None if this node's formula does not."""
        in_place_op = _formula().get(func, _IN_PLACE.get(func))
        if func is _MUL and in_place_op is not None:  # `-x * grad` has no in-place op
            last = self._tracker.recorder.nodes[-1]
            if last.name == "aten.neg" and last.outputs == (operands[0][1].value,):
                return None
        return in_place_op


_ADD = torch.ops.aten.add.Tensor
_IN_PLACE = {
    _ADD: torch.ops.aten.add_.Tensor,
    torch.ops.aten.index_put.default: torch.ops.aten.index_put_.default,
    torch.ops.aten.scatter_add.default: torch.ops.aten.scatter_add_.default,
    torch.ops.aten.index_add.default: torch.ops.aten.index_add_.default,
    torch.ops.aten.scatter.src: torch.ops.aten.scatter_.src,
    torch.ops.aten.put.default: torch.ops.aten.put_.default,
}
"""Ops that autograd runs in place if no dispatch mode is active."""

_MUL = torch.ops.aten.mul.Tensor
_MASKED = {torch.ops.aten.masked_fill.Scalar: torch.ops.aten.masked_fill_.Scalar}
_BOUND_FORMULAS: dict[str, dict[Any, Any]] = (
    {f"{name}Backward{n}": _MASKED for name in ("Clamp", "ClampMin", "ClampMax") for n in (0, 1)}
    | {f"{name}Backward0": _MASKED for name in ("Maximum", "Minimum", "Fmax", "Fmin")}
    if facts.BOUNDS_SHARE_GRADIENTS
    else {
        "ClampBackward0": {
            torch.ops.aten.logical_and.default: torch.ops.aten.logical_and_.default,
            torch.ops.aten.logical_or.default: torch.ops.aten.logical_or_.default,
        }
    }
)
"""Entries of `_FORMULAS` for clamp, maximum and minimum."""
_FORMULAS: dict[str, dict[Any, Any]] = {
    "BinaryCrossEntropyBackward0": {_MUL: torch.ops.aten.mul_.Tensor},
    "BinaryCrossEntropyWithLogitsBackward0": {
        _MUL: torch.ops.aten.mul_.Tensor, torch.ops.aten.sub.Tensor: torch.ops.aten.sub_.Tensor,
    },
    **_BOUND_FORMULAS,
    "AminmaxBackward0": {_ADD: torch.ops.aten.add_.Tensor},
    "MaskedSelectBackward0": {torch.ops.aten.masked_scatter.default: torch.ops.aten.masked_scatter_.default},
    "TraceBackward0": {torch.ops.aten.index_fill.int_Tensor: torch.ops.aten.index_fill_.int_Tensor},
    "ScatterReduceBackward0": {torch.ops.aten.scatter_add.default: None},
    "IndexReduceBackward0": {torch.ops.aten.index_add.default: None},
}  # fmt: skip
"""By autograd node, the in-place ops that its formula runs on tensors that it created; None: it runs the op itself."""

_IN_FORMULAS = frozenset(func for ops in _FORMULAS.values() for func in ops)


def _formula() -> dict[Any, Any]:
    """Return the current node's entry in `_FORMULAS`; empty if there is none."""
    node: Any = current_node()
    return _FORMULAS.get(node.name(), {}) if node is not None else {}


def _passes_two_gradients() -> bool:
    """True if the current node passes two gradients to one value, as that of `x * x` does."""
    node: Any = current_node()
    targets = [(id(target), index) for target, index in node.next_functions if target is not None]
    return len(set(targets)) < len(targets)


def _reference_counts(tensor: torch.Tensor) -> tuple[int, int]:
    """Return the reference counts of a tensor and of its storage."""
    return use_count(tensor), storage_use_count(identity_of(tensor.untyped_storage()))


@cache
def _unshared_counts() -> tuple[int, int]:
    """Return the reference counts of a gradient to which only autograd refers, as seen by a dispatch mode."""
    seen: list[tuple[int, int]] = []

    class Observer(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:  # as in `RecorderState`
            return False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.add.Tensor and not torch.is_grad_enabled():
                seen.append(_reference_counts(args[0]))
            return func(*args, **(kwargs or {}))

    def backward() -> tuple[int, int]:
        seen.clear()
        x = torch.ones(2, device=META, requires_grad=True).exp()
        y = (x.sin() * x.cos()).sum()
        with Observer():  # type: ignore[no-untyped-call]  # torch's class is untyped
            y.backward()
        return seen[0]

    with without_modes(), torch.enable_grad():
        return without_import(backward)


class _Update:
    """Attributes an optimizer's ops to the module that owns the updated parameter.

    Ops that have only temporaries as operands are attributed like the previous op.
    """

    def __init__(self, owners: dict[int, int]) -> None:
        self._owners = owners
        self._last = 0

    def call(self, operands: TensorArgs) -> int:
        self._last = next(
            (self._owners[k.block.index] for _, k in operands if k.block.index in self._owners), self._last
        )
        return self._last

    def in_place(self, func: Any, args: tuple[Any, ...], operands: TensorArgs) -> None:
        """Return None: an optimizer's code calls in-place ops explicitly."""


def _unique(parameters: Any) -> list[nn.Parameter]:
    return list({id(p): p for p in parameters}.values())
