"""The torch front end: an `nn.Module` and inputs become a Graph.

`record` runs forward once on tensors without data, under a `Recorder`, and leaves the model, its
tensors and torch's global state as they were.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch import memo
from cnncost.frontends.torch.diagnose import explain_failure
from cnncost.frontends.torch.guard import quiet_torch, same_random_state, unchanged
from cnncost.frontends.torch.inputs import Inputs, prepare
from cnncost.frontends.torch.modules import Tracker, check_initialised, walk
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.skeleton import skeleton
from cnncost.frontends.torch.unwrap import unwrapped
from cnncost.garbage import no_collection
from cnncost.graph import Graph, verify

__all__ = ["memo", "record"]


def record(model: nn.Module, inputs: Any, *, grad: bool = False, use_memo: bool = True) -> Graph:
    """Run a model once on tensors without data, and record what it does.

    Args:
        model: any module; its parameters may hold data or be on `meta`. It is not changed.
        inputs: tensors, shapes, text such as `"1x3x224x224"`, tuples of these, a dict of keyword
            arguments, nested as forward takes them.
        grad: run with autograd on, as training does; composite ops are then seen as their parts.
        use_memo: look ops up in the process-wide memo.

    Raises:
        InputError: not a module, lazy parameters, a cyclic module tree, inputs that can't be read.
        ForwardError: forward raised; the message names the module.
        DataDependentError: forward reads values that don't exist.
    """
    model = unwrapped(model)
    with no_collection():
        tree = list(walk(model))
        if grad:
            check_initialised(tree)
            tree = list(walk(skeleton(model)))
        return _record(tree, prepare(inputs, model), grad, use_memo)


def _record(tree: list[tuple[str, nn.Module]], inputs: Inputs, grad: bool, use_memo: bool) -> Graph:
    model = tree[0][1]
    recorder = Recorder(use_memo)
    tracker = Tracker(tree, recorder)
    ledger = recorder.ledger
    given = tuple(ledger.add_source(t, "input", real=False).value for t in inputs.tensors())
    for tensor in inputs.tensors():
        if (data := inputs.data.get(id(tensor))) is not None:
            ledger.attach(tensor, data.cpu())
    with unchanged([module for _, module in tree]), same_random_state():
        try:
            with tracker.tracking(), quiet_torch(grad), recorder:
                result = model(*inputs.args, **inputs.kwargs)
                outputs = tracker.values(result)
        except (Exception, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise explain_failure(error, tracker, inputs) from error
    scopes, calls = tracker.finish()
    storages = ledger.storages()
    graph = Graph(tuple(ledger.values), tuple(recorder.nodes), scopes, calls, storages, given, outputs)
    del result, recorder, tracker, ledger  # the books are as large as the Graph: one of them at a time
    return verify(graph)
