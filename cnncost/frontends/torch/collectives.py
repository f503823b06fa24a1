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
    finished_work,
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

_NAMESPACES = ("c10d::", "_c10d_functional", "_dtensor::")
_WAITS = frozenset(
    {"c10d::barrier", "c10d::monitored_barrier_", "_c10d_functional::wait_tensor",
     "_c10d_functional::_wrap_tensor_autograd"}
)  # fmt: skip
"""Ops that only wait, or wrap a tensor so that its first use waits."""
_OUTPUT_ARGUMENTS = ("output_tensor", "output_tensors", "outputs", "output")
"""Names of the argument that a c10d op writes to; ops without one write to `tensors`."""
_READ_ONLY = frozenset({"c10d::send"})
"""Ops that write to no argument."""


def is_collective(op: Overload) -> bool:
    """True if an op communicates, or waits for one that does."""
    return op.schema_name.startswith(_NAMESPACES)


def is_functional(op: Overload) -> bool:
    """True if a collective returns new tensors."""
    return not op.schema_name.startswith("c10d::") and op.schema_name not in _WAITS


def record(recorder: Recording, op: Overload, args: Any, kwargs: Any, operands: TensorArgs) -> Any:
    """Record one of c10d's ops, or a wait, and return the result that it would return."""
    arguments = op.bind(args, kwargs)
    if op.schema_name in _WAITS:
        # functional waits return their tensor, and c10d's return a handle or nothing
        return args[0] if op.schema_name.startswith("_") else _result(op, arguments)
    written = {id(t) for t in tensors_in(_written_argument(op, arguments))}
    ledger = recorder.ledger
    results = tuple([ledger.write(t, entry, real=False) for t, entry in operands if id(t) in written])
    read = [entry for t, entry in operands if id(t) not in written or _is_in_place(arguments)]
    inputs, outputs = (tuple([entry.sig.type for entry in entries]) for entries in (read, results))
    spec = memos.intern(lower(OpCall(op, arguments, inputs, outputs, moves=True)))
    recorder.append(spec, tuple([e.value for e in read]), tuple([e.value for e in results]), op.node_name)
    return _result(op, arguments)


def _written_argument(op: Overload, arguments: dict[str, Any]) -> Any:
    """Return the argument that a c10d op writes to."""
    if op.schema_name in _READ_ONLY:
        return ()
    return next((arguments[name] for name in _OUTPUT_ARGUMENTS if name in arguments), arguments.get("tensors"))


def _is_in_place(arguments: dict[str, Any]) -> bool:
    return not any(name in arguments for name in _OUTPUT_ARGUMENTS)


def _result(op: Overload, arguments: dict[str, Any]) -> Any:
    """Return the result of a c10d op: the tensors that it writes to, and a handle of a finished collective."""
    kinds = [str(value.type) for value in schema_of(op.func).returns]
    values = [finished_work() if "Work" in kind else _written_argument(op, arguments) for kind in kinds]
    return tuple(values) if len(values) > 1 else values[0] if values else None


def enter_states(skeleton: Skeleton) -> None:
    """Register the copied modules in the table in which `fully_shard` looks up a module's state, by weak references."""
    if (states := states_by_module()) is None:
        return
    for module, reference in list(states.items()):
        copy = skeleton.copy_of(module)
        if copy is not None and copy is not module and (state := reference()) is not None:
            states[copy] = ref(skeleton.value(state))


def unrecorded_propagation() -> Iterator[Patch]:
    """Yield patches that hide the ops by which DTensor infers shapes: the model does not run them."""
    for owner, name in propagation_places():
        yield Patch(owner, name, _unrecorded(getattr(owner, name)), "DTensor runs ops on fake tensors to find shapes")


@contextmanager
def context_parallel_ended() -> Iterator[None]:
    """Restore on exit the functions that `context_parallel` replaces: older versions don't do so after an error.

    This isn't a `Patch`: `patches.suspended` would undo it during the imports that `context_parallel` itself makes.
    """
    before = [(owner, name, getattr(owner, name)) for owner, name in places_left_by_context_parallel()]
    try:
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


def _unrecorded(original: Any) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        with without_modes():
            return original(*args, **kwargs)

    return function
