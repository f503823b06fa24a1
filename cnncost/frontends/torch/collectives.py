"""Record collectives without communicating: no other process is needed, and other ranks of a real group get nothing.

c10d's ops write to their arguments, although their schemas don't say so, and return a handle to wait for; functional
collectives return new tensors. The data of other ranks is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.distributed import (
    done,
    places_left_by_context_parallel,
    propagation_places,
    states_by_module,
)
from cnncost.frontends.torch.compat.ops import schema_of
from cnncost.frontends.torch.lowering import OpCall, lower
from cnncost.frontends.torch.overloads import Overload
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.protocols import Recording
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.types import tensors_in

_SPACES = ("c10d::", "_c10d_functional", "_dtensor::")
_WAITS = frozenset(
    {"c10d::barrier", "c10d::monitored_barrier_", "_c10d_functional::wait_tensor",
     "_c10d_functional::_wrap_tensor_autograd"}
)  # fmt: skip
"""Ops that only wait, or wrap a tensor so that its first use waits."""
_WRITTEN = ("output_tensor", "output_tensors", "outputs", "output")
_READ_ONLY = frozenset({"c10d::send"})


def is_collective(op: Overload) -> bool:
    """Whether an op communicates, or waits for one that does."""
    return op.schema_name.startswith(_SPACES)


def is_functional(op: Overload) -> bool:
    """Whether a collective returns new tensors."""
    return not op.schema_name.startswith("c10d::") and op.schema_name not in _WAITS


def record(recorder: Recording, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
    """Record one of c10d's ops, or a wait, and return what it would return."""
    arguments = op.bind(args, kwargs)
    if op.schema_name in _WAITS:
        return args[0] if op.schema_name.startswith("_") else _returned(op, arguments)
    written = {id(t) for t in tensors_in(_target(op, arguments))}
    ledger = recorder.ledger
    results = tuple([ledger.write(t, k, False) for t, k in operands if id(t) in written])
    read = [k for t, k in operands if id(t) not in written or _is_in_place(arguments)]
    call = OpCall(op, arguments, tuple([k.sig.type for k in read]), tuple([k.sig.type for k in results]), True)
    recorder.append(
        memos.intern(lower(call)), tuple([k.value for k in read]), tuple([k.value for k in results]), op.node_name
    )
    return _returned(op, arguments)


def _target(op: Overload, arguments: dict[str, Any]) -> Any:
    """The arguments that a c10d op writes to."""
    if op.schema_name in _READ_ONLY:
        return ()
    return next((arguments[name] for name in _WRITTEN if name in arguments), arguments.get("tensors"))


def _is_in_place(arguments: dict[str, Any]) -> bool:
    return not any(name in arguments for name in _WRITTEN)


def _returned(op: Overload, arguments: dict[str, Any]) -> Any:
    """The return value of a c10d op: the tensors that it has written to, and a handle of a finished collective."""
    values = [done() if "Work" in str(each.type) else _target(op, arguments) for each in schema_of(op.func).returns]
    return tuple(values) if len(values) > 1 else values[0] if values else None


def enter_states(skeleton: Skeleton) -> None:
    """Register the copied modules in the table where `fully_shard` looks up a module's state. It holds them weakly."""
    if (states := states_by_module()) is None:
        return
    for module, reference in list(states.items()):
        copy = skeleton.copy_of(module)
        if copy is not None and copy is not module and (state := reference()) is not None:
            states[copy] = ref(skeleton.value(state))


def unrecorded_propagation() -> Iterator[Patch]:
    """Patches that hide the ops by which DTensor infers shapes: the model does not run them."""
    for owner, name in propagation_places():
        yield Patch(owner, name, _unrecorded(getattr(owner, name)), "DTensor runs ops on fake tensors to find shapes")


@contextmanager
def context_parallel_ended() -> Iterator[None]:
    """Restore what `context_parallel` has replaced, which older versions don't do if an error ends it.

    Not by a `Patch`: `patches.suspended` restores those during the imports that `context_parallel` itself makes.
    """
    before = [(owner, name, getattr(owner, name)) for owner, name in places_left_by_context_parallel()]
    try:
        yield
    finally:
        for owner, name, was in before:
            setattr(owner, name, was)


def _unrecorded(original: Any) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        with without_modes():
            return original(*args, **kwargs)

    return function
