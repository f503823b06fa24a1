"""The torch front end: an `nn.Module` and inputs become a Graph.

`record` runs forward once on a copy of the modules without weights, on tensors without data, under a
`Recorder`. The user's modules are only read, and torch's global state is left as it was.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import ForwardError, InputError
from cnncost.frontends.torch import memo
from cnncost.frontends.torch.compiler import CompilerWantedError, import_compiler, no_compiler_import
from cnncost.frontends.torch.diagnose import explain_failure
from cnncost.frontends.torch.guard import quiet_torch, same_random_state
from cnncost.frontends.torch.inputs import Inputs, prepare
from cnncost.frontends.torch.modules import Tracker, check_initialised, walk
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.skeleton import LazyParameterError, Skeleton
from cnncost.frontends.torch.unwrap import unwrapped
from cnncost.garbage import no_collection
from cnncost.graph import Graph, verify

__all__ = ["memo", "record"]


def record(
    model: nn.Module, inputs: Any, *, grad: bool = False, train: bool | None = None, use_memo: bool = True
) -> Graph:
    """Run a model once on tensors without data, and record what it does.

    Args:
        model: any module; its parameters may hold data or be on `meta`. It is not changed.
        inputs: tensors, shapes, text such as `"1x3x224x224"`, tuples of these, a dict of keyword
            arguments, nested as forward takes them.
        grad: run with autograd on, as training does; composite ops are then seen as their parts.
        train: run as in train mode (True) or eval mode (False), whatever the modules' own mode is, which
            stays; None: as they are.
        use_memo: look ops up in the process-wide memo.

    Raises:
        InputError: not a module, lazy parameters, a cyclic module tree, inputs that can't be read.
        ForwardError: forward raised; the message names the module.
        DataDependentError: forward reads values that don't exist.
    """
    model = unwrapped(model)
    with _ONE_AT_A_TIME, no_collection(), torch.inference_mode(False):
        tree = list(walk(model))
        how = _How(grad, train, use_memo)
        try:
            try:
                return _record(tree, prepare(inputs, model), how)
            except CompilerWantedError:
                import_compiler()
            return _record(tree, prepare(inputs, model), how)
        except LazyParameterError:
            check_initialised(tree)
            raise
        except ForwardError as error:
            if grad or "does not require grad" not in str(error):
                raise
        return record(model, inputs, grad=True, train=train, use_memo=use_memo)  # forward differentiates


_ONE_AT_A_TIME = RLock()
"""Recording replaces `nn.Module.__call__` for its time, and so can't run twice at once."""


class _How(NamedTuple):
    grad: bool
    train: bool | None
    use_memo: bool


def _record(originals: list[tuple[str, nn.Module]], inputs: Inputs, how: _How) -> Graph:
    skeleton = Skeleton()
    tree = [(path, skeleton.module(module)) for path, module in originals]
    if how.train is not None:
        for (_, original), (_, copy) in zip(originals, tree, strict=True):
            if copy is not original:  # scripted modules run as they are
                copy.training = how.train
    skeleton.data.update(inputs.data)
    model = tree[0][1]
    recorder = Recorder(how.use_memo, skeleton)
    tracker = Tracker(tree, recorder)
    ledger = recorder.ledger
    given = tuple(
        [
            ledger.add_source(t, "input", inputs.data.get(id(t), None if t.is_meta else t)).value
            for t in inputs.tensors()
        ]
    )
    with same_random_state():
        try:
            with quiet_torch(how.grad), no_compiler_import(), tracker.tracking(), recorder:
                result = model(*inputs.args, **inputs.kwargs)
                outputs = tracker.values(result)
        except (Exception, SystemExit) as error:
            if isinstance(error, InputError):
                raise
            raise explain_failure(error, tracker, inputs) from error
    scopes, calls = tracker.finish()
    storages = ledger.storages()  # while the outputs are alive
    graph = Graph(tuple(ledger.values), tuple(recorder.nodes), scopes, calls, storages, given, outputs,
                  examples=inputs.examples)  # fmt: skip
    del result, recorder, tracker, ledger  # the books are as large as the Graph: one of them at a time
    return verify(graph)
