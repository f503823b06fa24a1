"""`cnncost.record`: the Graph of any model that `analyze` takes."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any

from cnncost.errors import InputError
from cnncost.graph import Graph
from cnncost.sources.find import find
from cnncost.sources.source import ModelSource

if TYPE_CHECKING:
    from cnncost.frontends.torch import RecordOptions, Training
    from cnncost.sources.resolve import Model


def record(
    model: Model | Callable[..., Any],
    inputs: Any = None,
    options: RecordOptions | None = None,
    *,
    grad: bool = False,
    train: bool | None = None,
    training: Training | None = None,
    autocast: Any = None,
    use_memo: bool = True,
    device: Any = None,
    returned: Callable[[Any], None] | None = None,
    model_args: dict[str, Any] | None = None,
) -> Graph:
    """Run a model once on tensors without data and return its Graph.

    Args:
        model: as for `analyze`: a module, a bound method of one, a function that calls modules, an exported program, a
            specification such as `"lenet5"` or `"net.py:Net"`, or a path. It is not changed.
        inputs: as for `analyze`: tensors, NumPy arrays, shapes, text such as `"1x3x224x224"`, tuples of these, a dict
            of keyword arguments; None for a model with default inputs.
        options: replaces `grad`, `train`, `training`, `autocast`, `use_memo` and `device`, which are its fields.
        grad: run with autograd on, as training does.
        train: run in train mode or eval mode; None: a module in its current mode, a specification in eval mode, or
            in train mode for a training step.
        training: record a training step.
        autocast: run forward and loss under `torch.autocast`.
        use_memo: reuse results of ops recorded earlier in this process.
        device: the device that tensors report.
        returned: called with a copy of forward's return value, for example a cache to pass to another recording. Its
            tensors are on `meta`, except small ones with known values.
        model_args: keyword arguments for a factory or class named by a specification.

    Raises:
        InputError: the model is a saved report, a Graph, or not a model; inputs or autocast can't be read; `options`
            is given together with one of its fields.
        SourceError: the specification names nothing that exists, or something that can't be built.
        ForwardError: forward raised; the message names the module.
        DataDependentError: forward reads a tensor's values, which don't exist.
    """
    from cnncost.frontends.torch import record as record_module
    from cnncost.frontends.torch.options import RecordOptions, choose_options
    from cnncost.sources.arrays import with_tensors

    chosen_options = choose_options(options, RecordOptions(grad, train, training, autocast, use_memo, device))
    if isinstance(model, Graph):
        raise InputError("record: a Graph is already recorded; give the model")
    if not _is_source(model):
        if model_args:
            raise InputError(
                "record: model_args are for a specification such as 'net.py:Net'; this model is already built"
            )
        return record_module(model, with_tensors(inputs), chosen_options, returned=returned)
    from cnncost.sources.resolve import Resolved, resolve

    if not isinstance(model, Resolved):
        model, model_args = find(model, model_args), None
        if model.saved:
            raise InputError(f"{model.text}: a saved report has no model to record; give the model itself")
    return resolve(model, inputs, model_args).record_by(chosen_options, returned)


def _is_source(model: Any) -> bool:
    """Return whether a model has to be found, loaded or unpacked before it can run.

    Classes are compared by name, because importing `ExportedProgram` is slow.
    """
    if isinstance(model, (str, PathLike, ModelSource)):
        return True
    return any(kind.__name__ in {"ExportedProgram", "Resolved"} for kind in type(model).__mro__)
