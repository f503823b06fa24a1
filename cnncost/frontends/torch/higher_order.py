"""Higher-order ops, which take functions: branches, loops, and attention with user-defined scores.

Torch dispatches them to the recorder whole. A branch or a loop runs as in eager torch: its condition is read, so its
value has to be known. Torch's derivatives of them are traced by its compiler, and what a function captures (a module's
weights) it finds there, too. With autograd on, they are therefore run above autograd, as what they compute.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, Never

import torch

from cnncost.errors import InputError
from cnncost.frontends.torch import flexible_attention
from cnncost.frontends.torch.compat.autograd import is_inside_transform
from cnncost.frontends.torch.compat.higher_order import HigherOrderOperator, tensors_of, tree_map
from cnncost.frontends.torch.flexible_attention import flex_attention, flex_attention_backward
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.protocols import Recording


def is_higher_order(func: Any) -> bool:
    """True if an op takes functions; such an op is not an `OpOverload`."""
    return isinstance(func, HigherOrderOperator)


def run(recorder: Recording, func: Any, args: Any, kwargs: Any) -> Any:
    """Run the eager equivalent of a higher-order op under the recorder.

    Raises:
        NotImplementedError: the op is unknown. `diagnose` recognizes the message, which is like torch's own.
        DataDependentError: its condition depends on unknown values.
    """
    equivalent = _EQUIVALENTS.get(func.name())
    if equivalent is None:
        raise NotImplementedError(f"HigherOrderOperator {func.name()}")
    if equivalent in _FLEXIBLE:
        return equivalent(recorder, func, *args, **kwargs)
    kwargs.pop("mutated_arg_indices", None)  # since 2.14, the arguments that it writes to: only a compiler needs them
    with recorder:
        return equivalent(*args, **kwargs)


def _cond(predicate: Any, if_true: Callable[..., Any], if_false: Callable[..., Any], operands: Any = ()) -> Any:
    """Run the branch selected by the predicate."""
    return (if_true if bool(predicate) else if_false)(*operands)


def _while_loop(cond_fn: Callable[..., Any], body: Callable[..., Any], carry: Any, additional: Any = ()) -> Any:
    """Run the body while the condition holds."""
    while bool(cond_fn(*carry, *additional)):
        carry = body(*carry, *additional)
    return tuple(carry)


def _scan(combine: Callable[..., Any], carry: Any, xs: Any, additional: Any = ()) -> Any:
    """Scan over the first axis of `xs`; the function returns the new carry, then a slice of each output."""
    carry, slices = list(carry), []
    for t in range(xs[0].shape[0]):
        results = combine(*carry, *(x[t] for x in xs), *additional)
        carry, outputs = list(results[: len(carry)]), results[len(carry) :]
        slices.append(outputs)
    return [*carry, *(torch.stack(steps) for steps in zip(*slices, strict=True))]


def _stacked_loop(cond_fn: Callable[..., Any], body: Callable[..., Any], carry: Any, additional: Any = ()) -> Any:
    """Run the body while the condition holds; return its stacked results, or the initial values if it never ran."""
    iterations = []
    while bool(cond_fn(*carry, *additional)):
        carry = body(*carry, *additional)
        iterations.append(carry)
    return tuple(torch.stack(steps) for steps in zip(*iterations or [carry], strict=True))


def _map(function: Callable[..., Any], xs: Any, additional: Any = ()) -> Any:
    """Apply the function to each slice along the first axis of `xs`; its results are stacked."""
    results = [function(*(x[t] for x in xs), *additional) for t in range(xs[0].shape[0])]
    return tree_map(lambda *leaves: torch.stack(leaves) if isinstance(leaves[0], torch.Tensor) else None, *results)


_EQUIVALENTS: dict[str, Callable[..., Any]] = {
    "cond": _cond, "while_loop": _while_loop, "while_loop_stack_output": _stacked_loop, "scan": _scan,
    "map_impl": _map, "flex_attention": flex_attention, "flex_attention_backward": flex_attention_backward,
}  # fmt: skip
_FLEXIBLE = (flex_attention, flex_attention_backward)
"""Functions that record the op themselves: they are called with the recorder and the op."""


def patches(notes: list[str]) -> list[Patch]:
    """Return patches of a recording in this thread, by which gradients pass through higher-order ops or are refused.

    Args:
        notes: receives a note if a training step's peak is not exact.
    """
    original, thread = HigherOrderOperator.__call__, get_ident()

    def call(op: Any, /, *args: Any, **kwargs: Any) -> Any:
        name = op.name()
        differentiated = name in _LOOPS or name == "cond"
        if not differentiated or get_ident() != thread or not torch.is_grad_enabled():
            return original(op, *args, **kwargs)
        if any(map(is_inside_transform, tensors_of((args, kwargs)))):
            return original(op, *args, **kwargs)
        kwargs.pop("mutated_arg_indices", None)
        if name == "cond":
            return _watched(_branch(*args, **kwargs), partial(_note, notes))
        return _watched(_EQUIVALENTS[name](*args, **kwargs), partial(_refuse, name))

    return [*flexible_attention.patches(), Patch(HigherOrderOperator, "__call__", call, "derivatives are traced")]


_LOOPS = frozenset({"map_impl", "scan", "while_loop", "while_loop_stack_output"})
"""Ops whose derivatives are not followed: what torch keeps for them, or computes again, is different for each."""


def _branch(*args: Any, **kwargs: Any) -> Any:
    """Run a branch of `cond`, whose derivative computes all of it once more, from its operands."""
    from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

    with set_checkpoint_early_stop(False):
        return checkpoint(_cond, *args, **kwargs, use_reentrant=False, preserve_rng_state=False)


def _watched(result: Any, on_gradient: Callable[[torch.Tensor], None]) -> Any:
    """Return the result of an op; `on_gradient` is called with each gradient that comes to it in backward."""
    for tensor in tensors_of(result):
        if tensor.grad_fn is not None:
            tensor.register_hook(on_gradient)
    return result


def _note(notes: list[str], _: torch.Tensor) -> None:
    text = "torch's cond computes its branch again in backward, which is counted; the peak of training is approximate"
    if text not in notes:
        notes.append(text)


def _refuse(name: str, _: torch.Tensor) -> Never:
    raise InputError(
        f"training: a gradient passes through torch's {name.removesuffix('_impl')}, whose derivative can't be "
        "followed; write it as a loop in Python for the analysis, or detach what it returns"
    )
