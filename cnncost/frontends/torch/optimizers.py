"""Creates the optimizer of a training step for the copied parameters, and allocates its state."""

from __future__ import annotations

import ast
import copy as copying
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn

from cnncost.errors import CnncostError, InputError
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.distributed import is_split, split_like
from cnncost.frontends.torch.compat.optimizers import has_step_hooks
from cnncost.frontends.torch.diagnose import ON_VALUES
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.refusals import reads_values
from cnncost.frontends.torch.running import meta_like
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.warming import check_independent, separate_table, values_of
from cnncost.frontends.torch.wrappers import own_part
from cnncost.near import suggestion

Optimize: TypeAlias = (
    "str | type[torch.optim.Optimizer] | torch.optim.Optimizer | Callable[[Any], torch.optim.Optimizer] | None"
)

_SMALL = 1
"""State tensors with at most this many elements, such as a step count, keep their values."""


class Warmed(NamedTuple):
    """An optimizer that has run a step, and the known values of its state tensors, by the tensors' `id`."""

    optimizer: torch.optim.Optimizer
    values: dict[int, torch.Tensor]


def warm_up(optimizer: Optimize, parameters: list[nn.Parameter], skeleton: Skeleton, recorder: Recorder) -> Warmed:
    """Create an optimizer and run an unrecorded step, which allocates its state.

    Raises:
        InputError: the name or an argument is unknown, `optimizer` is neither an optimizer nor creates one for these
            parameters, it can't be copied, or its step requires a closure or sparse gradients, or fails.
    """
    warmed = _warmed(optimizer, parameters, skeleton, recorder)
    if has_step_hooks(warmed.optimizer):
        recorder.notes.append(
            "hooks around the optimizer's step are not run: figures of the training step are lower bounds of those "
            "with them"
        )
    return warmed


def _warmed(optimizer: Optimize, parameters: list[nn.Parameter], skeleton: Skeleton, recorder: Recorder) -> Warmed:
    try:
        with without_modes():  # some optimizers allocate their state in the constructor
            created = _create(optimizer, parameters, skeleton, recorder.on_values)
            _run_steps(created, lambda: step(created))
        return Warmed(created, {id(t): t for _, t in state_tensors(created, parameters) if not t.is_meta})
    except InputError:
        if recorder.on_values:
            raise
    # the step queries devices or reads values: a recorder can answer that, but is slower
    with separate_table(recorder) as ledger:
        created = _create(optimizer, parameters, skeleton, recorder.on_values)
        _run_steps(created, lambda: step(created))
        if recorder.guesses:
            _run_steps(created, lambda: check_independent(recorder, lambda: step(created)))
        states = [(id(tensor), values_of(ledger, tensor)) for _, tensor in state_tensors(created, parameters)]
    return Warmed(created, {key: values for key, values in states if values is not None})


def _run_steps(created: torch.optim.Optimizer, steps: Callable[[], None]) -> None:
    if isinstance(created, torch.optim.SparseAdam):
        raise InputError(
            "optimizer: SparseAdam takes only sparse gradients, whose size depends on data; expected an optimizer for "
            "dense gradients, such as 'adam'"
        )
    if inspect.signature(_raw_step(created)).parameters.get("closure", _OPTIONAL).default is inspect.Parameter.empty:
        raise InputError(
            f"optimizer: {type(created).__name__} evaluates the model in a closure, a varying number of times per "
            "step, so a step has no fixed cost; expected an optimizer whose step() needs no closure"
        )
    try:
        steps()
    except Exception as error:
        raise step_failed(created, error) from error


def step_failed(optimizer: torch.optim.Optimizer, error: Exception) -> InputError:
    """Return the error for a step that failed, with a remedy that fits the failure."""
    message = " ".join(str(error).split()) or "no message"
    if reads_values(error):
        expected = f"expected one whose ops do not depend on the values that it reads; or {ON_VALUES}"
    elif "capturable=True" in message:
        expected = "expected capturable=False, or a model on a GPU"
    else:
        expected = "expected one that works parameter by parameter (foreach=False, fused=False)"
    return InputError(
        f"optimizer: a step of {type(optimizer).__name__} failed in the analysis: {type(error).__name__}: {message}; "
        f"{expected}"
    )


def step(optimizer: torch.optim.Optimizer) -> None:
    """Run one step without hooks and profiling, whose code would import torch's compiler."""
    with torch.set_grad_enabled(bool(optimizer.defaults.get("differentiable", False))):
        _raw_step(optimizer)(optimizer)


def state_tensors(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]
) -> Iterator[tuple[torch.Tensor | None, torch.Tensor]]:
    """Yield the tensors that an optimizer keeps between steps, each with its parameter (None if it has none)."""
    visited = {id(parameter) for parameter in parameters}
    for parameter, state in optimizer.state.items():
        for tensor in _tensors(state, visited):
            yield own_part(parameter), own_part(tensor)
    for tensor in _tensors(optimizer, visited):
        yield None, own_part(tensor)


def _tensors(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Yield all tensors in nested containers and optimizers, each once."""
    if id(value) in seen:
        return
    if isinstance(value, torch.Tensor):
        seen.add(id(value))
        yield value
    elif isinstance(value, (dict, list, tuple, set, torch.optim.Optimizer)):
        seen.add(id(value))
        container = value.__dict__ if isinstance(value, torch.optim.Optimizer) else value
        for item in (*container.keys(), *container.values()) if isinstance(container, dict) else container:
            yield from _tensors(item, seen)


_OPTIONAL = inspect.Parameter("closure", inspect.Parameter.KEYWORD_ONLY, default=None)
"""Used for a `step` without a `closure` parameter."""


def _raw_step(optimizer: torch.optim.Optimizer) -> Callable[..., Any]:
    """Return the class's `step` without torch's wrappers for hooks and profiling."""
    raw: Callable[..., Any] = inspect.unwrap(type(optimizer).step)
    return raw


def _create(
    optimizer: Any, parameters: list[nn.Parameter], skeleton: Skeleton, on_values: bool
) -> torch.optim.Optimizer:  # fmt: skip
    if isinstance(optimizer, torch.optim.Optimizer):
        with without_modes():
            return _copied(optimizer, skeleton, on_values)
    if not parameters:
        raise InputError("optimizer: the model has no parameter that requires a gradient; there is nothing to optimize")
    arguments: dict[str, Any] = {}
    if isinstance(optimizer, str):
        optimizer, arguments = parse_optimizer(optimizer)
    if not callable(optimizer):
        raise InputError(
            "optimizer: expected a name such as 'adamw', an optimizer class, an optimizer, or a function from "
            f"parameters to one, got {type(optimizer).__name__}"
        )
    try:
        built = optimizer(parameters, **arguments)
    except CnncostError:
        raise
    except Exception as error:
        raise InputError(f"optimizer: its constructor failed: {type(error).__name__}: {error}") from error
    if not isinstance(built, torch.optim.Optimizer):
        raise InputError(f"optimizer: expected a torch.optim.Optimizer, got {type(built).__name__}")
    allowed = {id(parameter) for parameter in parameters}
    if any(id(parameter) not in allowed for group in built.param_groups for parameter in group["params"]):
        raise InputError(
            "optimizer: the function returned an optimizer over other parameters than it was given; to use an existing "
            "optimizer, pass the optimizer itself"
        )
    return built


def _classes() -> dict[str, type[torch.optim.Optimizer]]:
    names = vars(torch.optim).values()
    return {
        c.__name__.lower(): c
        for c in names
        if isinstance(c, type) and issubclass(c, torch.optim.Optimizer) and c is not torch.optim.Optimizer
    }


def parse_optimizer(text: str) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Parse `adamw` or `sgd:lr=0.1,momentum=0.9`. The name `momentum` means SGD, by default with momentum 0.9.

    Raises:
        InputError: torch.optim has no such optimizer, or an argument is not NAME=VALUE with a literal value.
    """
    name, _, rest = text.partition(":")
    classes, defaults = _classes(), {}
    if name.lower() == "momentum":
        name, defaults = "sgd", {"momentum": 0.9}
    kind = classes.get(name.lower())
    if kind is None:
        near = suggestion(name.lower(), classes)
        raise InputError(f"optimizer: torch.optim has no {name!r}: expected one of {', '.join(sorted(classes))}{near}")
    try:
        call: Any = ast.parse(f"f({rest})", mode="eval").body
        plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords} if plain else None
    except (ValueError, SyntaxError):
        arguments = None
    if arguments is None:
        raise InputError(f"optimizer: {rest!r} in {text!r}: expected NAME=VALUE, as in sgd:lr=0.1,momentum=0.9")
    return kind, {**defaults, **arguments}


def _copied(optimizer: torch.optim.Optimizer, skeleton: Skeleton, on_values: bool) -> torch.optim.Optimizer:
    """Return a copy of the user's optimizer that updates the copied parameters and has its own copy of the state."""
    memo: dict[int, Any] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            copy = skeleton.copy_of(parameter)
            if copy is None:
                raise InputError(
                    f"optimizer: it has a parameter of shape {tuple(parameter.shape)} that is not one of the model's; "
                    "expected an optimizer of this model's own parameters"
                )
            memo[id(parameter)] = copy
    for tensor in _tensors(optimizer, set()):
        if id(tensor) not in memo:
            copy = skeleton.copy_of(tensor)
            if copy is not None:
                memo[id(tensor)] = copy
            elif is_split(tensor):
                memo[id(tensor)] = split_like(tensor, meta_like(own_part(tensor)))
            elif tensor.numel() > _SMALL and not on_values:
                memo[id(tensor)] = meta_like(tensor)
    try:
        copied: torch.optim.Optimizer = copying.copy(optimizer)
        copied.__dict__ = {  # hooks are not copied: they don't run, and may refer to anything
            name: value if "hooks" in name else copying.deepcopy(value, memo)
            for name, value in optimizer.__dict__.items()
        }
    except Exception as error:
        raise InputError(
            f"optimizer: this {type(optimizer).__name__} can't be copied ({type(error).__name__}: {error}); expected "
            "one that can be copied, or a function from parameters to an optimizer"
        ) from error
    return copied
