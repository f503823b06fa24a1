"""The torch front end: an `nn.Module` and inputs become a Graph.

`record` runs forward once on a copy of the modules without weights, on tensors without data, under a
`Recorder`. The user's modules are only read, and torch's global state is left as it was.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import nn

from cnncost.frontends.torch import version  # first: it rejects a torch too old for the modules below
from cnncost.session import SESSION

# isort: split
from cnncost.classes import classes_hashable
from cnncost.errors import DataDependentError, ForwardError
from cnncost.frontends.torch import autocast as autocasts
from cnncost.frontends.torch import autocast_regions as regions
from cnncost.frontends.torch import leftovers, memo
from cnncost.frontends.torch.attempt import Attempt, first_attempt
from cnncost.frontends.torch.autocast_setting import parse
from cnncost.frontends.torch.callables import as_call
from cnncost.frontends.torch.compat.dispatch import dispatch_modes
from cnncost.frontends.torch.guard import hidden_from
from cnncost.frontends.torch.inputs import prepare
from cnncost.frontends.torch.modules import check_initialized, walk
from cnncost.frontends.torch.offload import notes_on_ties
from cnncost.frontends.torch.options import RecordOptions, choose_options
from cnncost.frontends.torch.patches import ONE_AT_A_TIME
from cnncost.frontends.torch.placement import spread_by_hooks
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.recording import record_once
from cnncost.frontends.torch.replicated import replica_of
from cnncost.frontends.torch.restarts import RestartError
from cnncost.frontends.torch.skeleton import LazyParameterError
from cnncost.frontends.torch.training import Training
from cnncost.garbage import gc_disabled
from cnncost.graph import Graph

__all__ = ["RecordOptions", "Training", "memo", "record", "version"]


@classes_hashable()
def record(
    model: Any,
    inputs: Any,
    options: RecordOptions | None = None,
    *,
    grad: bool = False,
    train: bool | None = None,
    training: Training | None = None,
    autocast: Any = None,
    use_memo: bool = True,
    device: torch.device | str | None = None,
    returned: Callable[[Any], None] | None = None,
) -> Graph:
    """Run a model once on tensors without data, and record what it does.

    Args:
        model: any module, a bound method of one, or a function that calls modules; parameters may hold data or be on
            `meta`. It is not changed.
        inputs: tensors, shapes, text such as `"1x3x224x224"`, tuples of these, a dict of keyword
            arguments, nested as forward takes them.
        options: what to record, and how; given instead of the individual options below, which are its fields.
        grad: run with autograd on, as training does.
        train: whether all modules are in train mode; None: each in its own mode.
        training: record a training step.
        autocast: run forward and the loss under `torch.autocast`: a dtype, a device, or both, such as `"cuda:bf16"`.
        use_memo: look ops up in the process-wide memo.
        device: the device that tensors report.
        returned: called with a copy of what forward returned, as inputs of another recording (a cache, for example).
            Its tensors are on `meta`, except small ones with known values.

    Raises:
        InputError: the model is not a module, or has lazy parameters or a cyclic module tree; inputs or autocast can't
            be interpreted; `options` are given together with individual options.
        ForwardError: forward raised; the message names the module. Or it left tensors without data in an object that
            can't be restored.
        DataDependentError: forward reads unknown values.
    """
    options = choose_options(options, RecordOptions(grad, train, training, autocast, use_memo, device))
    root, called = as_call(model)
    requested = parse(options.autocast) or autocasts.in_force()
    attempt = replace(first_attempt(options, requested, called), returned=returned, replica=replica_of(model))
    known = _known_changes(root)
    grad_needed = bool(known.get("grad")) and attempt.caller_grad  # under no_grad, forward may do without autograd
    attempt = replace(attempt, casts=attempt.casts or bool(known.get("casts")), grad=attempt.grad or grad_needed)
    created: list[ref[torch.Tensor]] = []  # all tensors of the recording, to find those that outlive it
    nested = any(isinstance(mode, Recorder) for mode in dispatch_modes())
    with ONE_AT_A_TIME, gc_disabled(), hidden_from(Recorder), torch.inference_mode(False), regions.switched_off():
        if not nested:
            SESSION.trim()
        try:
            graph = copy_context().run(
                _record_with_restarts, root, inputs, attempt, created
            )  # context variables that forward sets are dropped with the copy
            return _with_notes_on_hooks(graph, root)
        except LazyParameterError:
            check_initialized(walk(root))
            raise
        finally:
            if not nested:  # the tensor table of an outer recording holds tensors as well
                leftovers.clear(created, type(root).__name__, sys.exception())


def _with_notes_on_hooks(graph: Graph, model: nn.Module) -> Graph:
    """Add notes on effects of accelerate's hooks that the Graph doesn't show."""
    notes = notes_on_ties(model)
    if graph.placement is None and (devices := spread_by_hooks(model)):
        notes += (f"hooks spread the model over {devices}; memory is given as if all of it were on one device",)
    return replace(graph, notes=(*graph.notes, *notes)) if notes else graph


def _record_with_restarts(
    model: nn.Module, inputs: Any, attempt: Attempt, created: list[ref[torch.Tensor]]
) -> Graph:  # fmt: skip
    """Record; if the attempt shows that other options are needed, record again with those."""
    again = partial(_record_with_restarts, model, inputs, created=created)
    try:
        return record_once(model, inputs, attempt, created)
    except RestartError as restart:
        restart.prepare()
        if restart.remembered:
            _remember(model, restart.changes)
        return again(attempt=attempt.after(restart.changes))
    except DataDependentError:  # forward may have read a floating-point input: retry with its values, if known
        if attempt.floats or not prepare(inputs, model, floats=True).floats:
            raise
        return again(attempt=replace(attempt, floats=True))
    except ForwardError as error:
        if attempt.spread and spread_by_hooks(model):  # these devices lack rules, or can't be used on this machine
            return again(attempt=replace(attempt, spread=False))
        if (attempt.grad and not attempt.turned_off) or "does not require grad" not in str(error):
            raise
        return again(attempt=replace(attempt, grad=True, turned_off=False))  # forward itself uses autograd


def _remember(model: nn.Module, changes: Mapping[str, Any]) -> None:
    key = id(model)
    _CHANGES[key] = (ref(model, lambda _: _CHANGES.pop(key, None)), {**_known_changes(model), **changes})


def _known_changes(model: nn.Module) -> dict[str, Any]:
    """Return the fields of `Attempt` that earlier recordings of a model have shown to be needed."""
    entry = _CHANGES.get(id(model))
    return entry[1] if entry is not None and entry[0]() is model else {}


_CHANGES: dict[int, tuple[ref[nn.Module], dict[str, Any]]] = {}
"""By a model's id: a reference to it, and the fields of `Attempt` that its next recording starts with, because its
forward turned autocast on or asked for something that only autograd provides."""
SESSION.own_table("ways of recording", _CHANGES)
