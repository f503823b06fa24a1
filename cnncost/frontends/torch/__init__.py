"""The torch front end: an `nn.Module` and inputs become a Graph.

`record` runs forward once on a copy of the modules without weights, on tensors without data, under a
`Recorder`. The user's modules are only read, and torch's global state is left as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import nn

from cnncost.errors import ForwardError, InputError
from cnncost.frontends.torch import autocast as autocasts
from cnncost.frontends.torch import autocast_regions as regions
from cnncost.frontends.torch import kept, memo
from cnncost.frontends.torch.compiler import CompilerWantedError, import_compiler, no_compiler_import
from cnncost.frontends.torch.diagnose import explain_failure
from cnncost.frontends.torch.guard import ONE_AT_A_TIME, quiet_torch, same_random_state, unseen_by
from cnncost.frontends.torch.inputs import Inputs, prepare
from cnncost.frontends.torch.modules import Tracker, check_initialised, walk
from cnncost.frontends.torch.reassigned import told
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.skeleton import HookWantedError, LazyParameterError, Skeleton
from cnncost.frontends.torch.training import Step, Training
from cnncost.frontends.torch.unwrap import unwrapped
from cnncost.garbage import no_collection
from cnncost.graph import Graph, verify

__all__ = ["Training", "memo", "record"]


def record(
    model: nn.Module,
    inputs: Any,
    *,
    grad: bool = False,
    train: bool | None = None,
    training: Training | None = None,
    autocast: Any = None,
    use_memo: bool = True,
) -> Graph:
    """Run a model once on tensors without data, and record what it does.

    Args:
        model: any module; its parameters may hold data or be on `meta`. It is not changed.
        inputs: tensors, shapes, text such as `"1x3x224x224"`, tuples of these, a dict of keyword
            arguments, nested as forward takes them.
        grad: run with autograd on, as training does; composite ops are then seen as their parts.
        train: run as in train mode (True) or eval mode (False), whatever the modules' own mode is, which
            stays; None: as they are.
        training: record a training step: forward with autograd on, loss, backward, and the optimizer's step.
        autocast: run forward and loss under `torch.autocast`: "bf16", "fp16", a dtype, or with the device whose lists
            of ops hold, "cuda:bf16"; a device alone is its default dtype. None: as the code around and forward itself
            have it.
        use_memo: look ops up in the process-wide memo.

    Raises:
        InputError: not a module, lazy parameters, a cyclic module tree, inputs or an autocast that can't be read.
        ForwardError: forward raised; the message names the module.
        DataDependentError: forward reads values that don't exist.
    """
    model = unwrapped(model)
    wanted = autocasts.parse(autocast) or autocasts.in_force()
    with ONE_AT_A_TIME, no_collection(), unseen_by(Recorder), torch.inference_mode(False), regions.switched_off():
        how = _How(
            grad or training is not None, train, use_memo, training, wanted, wanted is not None or id(model) in _CASTING
        )
        try:
            return _record_again(model, inputs, how)
        except LazyParameterError:
            check_initialised(walk(model))
            raise
        except ForwardError as error:
            if how.grad or "does not require grad" not in str(error):
                raise
        # forward differentiates
        return record(model, inputs, grad=True, train=train, autocast=wanted, use_memo=use_memo)


class _How(NamedTuple):
    grad: bool
    train: bool | None
    use_memo: bool
    training: Training | None = None
    autocast: autocasts.Autocast | None = None
    casts: bool = False
    """Autocast is on, now or later."""
    shared: bool = True
    """One table without hooks serves all modules."""


def _record_again(model: nn.Module, inputs: Any, how: _How) -> Graph:
    """Record, and once more where the first time shows what is needed for it."""
    try:
        return _record(model, prepare(inputs, model), how)
    except CompilerWantedError as wanted:
        import_compiler(wanted.part)
        return _record_again(model, inputs, how)
    except HookWantedError:
        return _record_again(model, inputs, how._replace(shared=False))
    except regions.AutocastWantedError:
        _CASTING[id(model)] = ref(model, partial(_forget_casting, id(model)))
        return _record_again(model, inputs, how._replace(casts=True))
    except regions.AutocastUnwantedError:
        _CASTING.pop(id(model), None)
        return _record_again(model, inputs, how._replace(casts=False))


def _forget_casting(identity: int, _: object) -> None:
    _CASTING.pop(identity, None)


_CASTING: dict[int, ref[nn.Module]] = {}
"""Models whose forward turned autocast on the last time, by identity: they are recorded with it at once."""


def _record(model: nn.Module, inputs: Inputs, how: _How) -> Graph:
    """Record on a skeleton that was kept, or else on a new one."""
    reusable = how.shared and not how.grad and not how.casts
    known = kept.take(model, how.train) if reusable else None
    if known is not None:
        graph = _run(known.model, known.open(how.use_memo), inputs, how, None)
    else:
        originals = walk(model)
        skeleton = Skeleton(how.shared)
        tree = [(path, skeleton.module(module)) for path, module in originals]
        modules = [module for _, module in originals]
        if how.train is not None:
            for original, (_, copy) in zip(modules, tree, strict=True):
                if copy is not original:  # scripted modules run as they are
                    copy.training = how.train
        named = how.autocast.device if how.autocast is not None else "cpu"
        casting = autocasts.Casting(keeps=how.grad, device=named) if how.casts else None
        tracker = Tracker(Recorder(how.use_memo, skeleton, data=skeleton.data.copy(), casting=casting))
        tracker.enter(tree)
        known = kept.prepare(modules, how.train, skeleton, tracker) if reusable else None
        step = Step(how.training, tree[0][1], skeleton, tracker) if how.training is not None else None
        graph = _run(tree[0][1], tracker, inputs, how, step)
        skeleton.let_go()
        if casting is not None and how.autocast is None and not casting.regions:
            raise regions.AutocastUnwantedError
    if known is None:
        return verify(graph)
    graph = known.settled(graph)
    kept.put(model, how.train, known)
    return graph


@contextmanager
def _surroundings(how: _How, casting: autocasts.Casting | None) -> Iterator[None]:
    """Torch as a recording needs it."""
    named = how.autocast.device if how.autocast is not None else "cpu"
    with (
        quiet_torch(how.grad, whole=casting is None),
        no_compiler_import(),
        regions.watched(named, casting),
    ):
        if casting is None:
            yield
            return
        with casting.installed():
            yield


def _run(model: nn.Module, tracker: Tracker, inputs: Inputs, how: _How, step: Step | None) -> Graph:
    recorder, ledger = tracker.recorder, tracker.recorder.ledger
    recorder.values_at_hand.update(inputs.data)
    given = tuple(
        [
            ledger.add_source(t, "input", inputs.data.get(id(t), None if t.is_meta else t)).value
            for t in inputs.tensors()
        ]
    )
    with same_random_state():
        try:
            with _surroundings(how, recorder.casting), tracker.tracking(), told(ledger.forget), recorder:
                with regions.switched_on(how.autocast):
                    result = model(*inputs.args, **inputs.kwargs)
                    outputs = tracker.values(result)
                    loss = step.loss(result) if step is not None else None
                if step is not None and loss is not None:
                    step.run(loss)
        except (Exception, SystemExit) as error:
            if isinstance(error, InputError):
                raise
            raise explain_failure(error, tracker, inputs) from error
    scopes, calls = tracker.finish()
    storages = ledger.storages()  # while the outputs are alive
    del result, loss
    return Graph(tuple(ledger.values), tuple(recorder.nodes), scopes, calls, storages, given, outputs,
                 examples=inputs.examples)  # fmt: skip
