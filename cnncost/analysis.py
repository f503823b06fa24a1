"""The pipeline: source → front end → passes → Report.

The module is not named after its function: `import cnncost.analyze` would otherwise replace
the function `cnncost.analyze` with the module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any
from weakref import ref

from cnncost.classes import classes_hashable
from cnncost.errors import CnncostError, DataDependentError, InputError, UnknownOpError
from cnncost.garbage import gc_disabled
from cnncost.graph import Graph
from cnncost.ops.registry import epoch
from cnncost.passes.compute import compute, compute_phases
from cnncost.passes.parameters import parameters
from cnncost.recording import Recording
from cnncost.report.build import FurtherStatistics, build
from cnncost.report.model import Report
from cnncost.report.rows import Layer
from cnncost.report.schema import statistics
from cnncost.session import SESSION
from cnncost.sources.find import find
from cnncost.sources.keywords import input_names
from cnncost.sources.saved import report_of
from cnncost.sources.source import ModelSource

if TYPE_CHECKING:
    from torch import nn

    from cnncost.frontends.torch.model_states import ModelStates
    from cnncost.sources.resolve import Model, Resolved, Trace


_TRACES = ("static", "auto", "real")


@classes_hashable()
def analyze(
    model: Model, inputs: Any = None, *, model_args: dict[str, Any] | None = None,
    name: str | None = None, strict: bool = False, training: bool = False, loss: Any = None, optimizer: Any = None,
    set_to_none: bool = True, trace: Trace = "static", autocast: Any = None,
) -> Report:  # fmt: skip
    """Count the exact cost of a model in one run on tensors without data.

    Args:
        model: an `nn.Module` (neither it nor its weights are changed), a specification such as `"lenet5"`,
            `"net.py:Net"`, `"timm:convnext_tiny"`, `"torchvision:resnet50"`, `"hf:bert"`, `"program.pt2"` or
            `"net.onnx"`, a saved report, or a recorded Graph. A specification may name a method or a submodule to call
            instead of forward: `"net.py:Net#encode"`.
        inputs: the arguments of forward: tensors, shapes such as `(1, 3, 224, 224)` or `"1x3x224x224"` or
            `"1x128:int64"`, a tuple of these, a dict of keyword arguments, nested as forward expects them. Zoo models
            have default inputs.
        model_args: keyword arguments for a factory or class named by a specification; for an ONNX file, the sizes of
            its named axes.
        name: name of the model in the report.
        strict: raise if an op has no rule, instead of reporting lower bounds.
        training: also record a training step: forward with autograd on, loss, backward, optimizer. A module
            runs in its current mode, a model named by a specification in train mode.
        loss: a function of forward's return value, `"cross_entropy"`, `"mse"` or `"bce"`; by default the output's
            `loss` attribute or key, else the sum of all outputs.
        optimizer: a name such as `"adamw"` or `"sgd:momentum=0.9"`, a class of `torch.optim`, an optimizer, or a
            function from parameters to one; by default none. Its state is already allocated, as after a first step.
        set_to_none: gradients are None at the start of the step.
        trace: "static": on tensors without data. "real": run a copy's forward on the data given, or on random data,
            for models whose control flow depends on data, such as detectors; rows that depend on data are marked.
            "auto": static, or real if that fails for any reason; the Report's `notes` say why.
        autocast: run forward and loss under `torch.autocast`: `"bf16"`, `"fp16"`, a dtype, or with the device whose
            op lists apply, `"cuda:bf16"`; a device alone selects its default dtype. None: the autocast state of the
            caller and of forward itself.

    Returns:
        The Report: parameters, MACs and FLOPs as exact ints, for the batch size of the inputs.

    Raises:
        CnncostError: the model can't be found, built or run; the message says where and what to do. If forward
            failed, the error's `partial` is the Report of the ops before the failure, if any ran.
        UnknownOpError: `strict` is set and an op has no rule.
        DataDependentError: `strict` is set and random numbers decide which ops run; or forward reads values that a
            static run doesn't have.
        InputError: with `training`, nothing trainable affects the loss, or the optimizer is invalid or needs a closure.
    """
    _check_flags(strict=strict, set_to_none=set_to_none)
    _check(trace, training, has_step_arguments=loss is not None or optimizer is not None or not set_to_none)
    if isinstance(model, (str, PathLike)):
        model, model_args = find(model, model_args), None
    if isinstance(model, ModelSource) and model.saved:
        return _saved_report(model, no_settings=inputs is None and not training and autocast is None)
    if isinstance(model, Graph):
        _check_graph(no_settings=not training and autocast is None)
        with gc_disabled():
            return _cached_report(name or "graph", model, None, strict)
    from cnncost.sources.resolve import resolve  # imports torch

    with gc_disabled():
        resolved = resolve(model, inputs, model_args, autocast)
        step = (loss, optimizer, set_to_none) if training else None
        return reported(recorded(resolved, name, trace, step), strict)


def recorded(resolved: Resolved, name: str | None, trace: Trace, step: tuple[Any, Any, bool] | None) -> Recording:
    """Record a model's forward and, if one is given, a training step.

    Args:
        resolved: the model, ready to be recorded.
        name: as for `analyze`.
        trace: as for `analyze`.
        step: loss, optimizer and set_to_none of the training step; None: no step is recorded.

    Raises:
        CnncostError: forward failed; the error's `partial` is the Report of the ops before the failure, if any ran.
    """
    name = name or resolved.title
    with gc_disabled(), _partial(name):
        graph = resolved.record(trace)
        training = None if step is None else resolved.record_step(*step, trace)
        if training is not None and training.placement is None:  # its devices can't be told apart
            graph = replace(graph, placement=None)
    return Recording(name, graph, training, input_names(resolved.inputs, len(graph.inputs)))


def reported(recording: Recording, strict: bool = False) -> Report:
    """Return the Report of a recording. Raises UnknownOpError and DataDependentError as `analyze` does."""
    with gc_disabled():
        report = _cached_report(recording.name, recording.graph, recording.step, strict)
    if recording.input_names:
        report = replace(report, input_names=recording.input_names)
    if recording.cached:
        report = replace(report, made_with=report.made_with | {"from_cache": recording.cached})
    return report


def _check_flags(**flags: Any) -> None:
    """Reject flags that are not bools: the strings "no" and "False" would count as true."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise InputError(f"analyze: {name}: expected True or False, got {flag!r}"[:300])


def _check(trace: str, training: Any, *, has_step_arguments: bool) -> None:
    """Reject an unknown trace, a `training` that is not a bool, and arguments of a training step without it."""
    if not isinstance(training, bool):
        raise InputError(
            f"analyze: training: expected True or False, got {type(training).__name__}; the step's loss and optimizer "
            "are arguments of their own, as in analyze(model, inputs, training=True, loss='mse')"
        )
    if trace not in _TRACES:
        raise InputError(f"trace={trace!r}: expected {', '.join(map(repr, _TRACES[:-1]))} or {_TRACES[-1]!r}")
    if has_step_arguments and not training:
        raise InputError(
            "analyze: loss, optimizer and set_to_none belong to a training step; pass training=True with them"
        )


def _saved_report(source: ModelSource, *, no_settings: bool) -> Report:
    """Return the Report in a file. Raises unless `no_settings`: its run is over, so inputs and settings can't apply."""
    if not no_settings:
        raise InputError(
            f"{source.text}: a saved report describes the run that it was made from; "
            "give no inputs, no training, no autocast"
        )
    return report_of(source)


def _check_graph(*, no_settings: bool) -> None:
    """Raise unless `no_settings`: a recorded Graph's run is over, so settings can't apply."""
    if not no_settings:
        raise InputError("analyze: a Graph is a recorded run; training and autocast need the model itself")


@contextmanager
def _partial(name: str) -> Iterator[None]:
    """Set `partial`, the Report of the ops before the failure, on errors raised in this context."""
    try:
        yield
    except CnncostError as error:
        if error.recorded is not None:
            error.partial = _run_passes(name, error.recorded, None, False)
        raise


_REPORTS: dict[int, tuple[ref[Graph], object, Report]] = {}
"""Cached Reports: (the Graph, the `epoch` of rules, the Report) by `id(graph)`. A repetition returns the same Graph."""
SESSION.own_table("reports", _REPORTS)


def _cached_report(name: str, graph: Graph, step: Graph | None, strict: bool) -> Report:
    """Return the Report of a recorded run. Without a step and unknown ops, it is cached until a rule changes."""
    cached = _REPORTS.get(id(graph)) if step is None else None
    if cached is not None and cached[0]() is graph and cached[1] is epoch():
        return cached[2].copy_for(name, graph)
    report = _run_passes(name, graph, step, strict)
    if step is None and not report.unknown:
        key, table = id(graph), _REPORTS  # local names: at exit, globals may be gone before the Graph is
        # the cached Report must not refer to the Graph, which it would keep alive
        table[key] = (ref(graph, lambda _: table.pop(key, None)), epoch(), report.copy_for(name, None))
    return report


def _run_passes(name: str, graph: Graph, step: Graph | None, strict: bool) -> Report:
    """Run all passes over the recorded forward and training step, and return the Report."""
    computed = compute(graph)
    phases = compute_phases(step) if step is not None else {}
    unknown = [*computed.unknown, *(u for part in phases.values() for u in part.unknown)]
    for run, real in (("forward", graph.real), ("the training step", step.real if step is not None else None)):
        if strict and real is not None and real.chance:
            raise DataDependentError(
                f"{name}: random numbers decide which ops {run} runs: the figures are of {real.inputs}; expected "
                "a forward that runs the same ops each time, as after model.eval(), or strict left off",
                real.first_read,
            )
    if strict and unknown:
        raise UnknownOpError(_unknown_message(name, list({u.op: u for u in unknown}.values())))
    # statistics that the schema declares with the pass that computes them
    declared = statistics(Layer).items()
    further = FurtherStatistics(
        {column: each.given_by(graph) for column, each in declared if each.given_by is not None},
        {column: each.given_by_scope(graph) for column, each in declared if each.given_by_scope is not None},
    )
    return build(name, graph, parameters(graph), computed, step, phases, further)


def states_of(model: nn.Module) -> ModelStates:
    """Return an object that numbers those states of a model between which its cost may differ."""
    from cnncost.frontends.torch.model_states import ModelStates

    return ModelStates(model)


def _unknown_message(model: str, unknown: Any) -> str:
    places = ", ".join(f"{u.op} ({u.count}×, first in {u.first_path or 'the model'})" for u in unknown)
    remedy = f"add one with @cnncost.rule({unknown[0].kind!r})"
    if unknown[0].reason:
        remedy = f"correct the declaration, which the op contradicts ({unknown[0].reason})"
    return (
        f"{model}: {len(unknown)} op{'s' if len(unknown) > 1 else ''} without a rule: {places}; "
        f"{remedy}, or leave strict off to get lower bounds"
    )


__all__ = ["CnncostError", "analyze"]
