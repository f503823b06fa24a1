"""Track the module tree and its calls without adding a hook or attribute to any module."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import partial
from operator import itemgetter
from threading import get_ident
from typing import Any
from weakref import ref

import torch
from torch import nn

from cnncost.errors import ForwardError, InputError
from cnncost.frontends.torch import literals
from cnncost.frontends.torch.compat.autograd import is_inside_transform, next_number
from cnncost.frontends.torch.compat.modules import CFUNCTIONS, children_of, is_scripted, tables_of
from cnncost.frontends.torch.custom import CustomCalls
from cnncost.frontends.torch.encoders import may_fuse, noting_fused
from cnncost.frontends.torch.fused_lstm import RECURRENT, fused_recurrent
from cnncost.frontends.torch.guard import Draws
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.kinds import LAZY, values_held
from cnncost.frontends.torch.module_calls import call_patch, current_call
from cnncost.frontends.torch.packed import packed_tensors
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.watch import Watch
from cnncost.frontends.torch.wrappers import parts_of
from cnncost.graph import Call, Failure, Scope

_WHY_CALLS = "each call of a module is recorded"
_WHY_RECURRENT = "on meta torch runs a reference, which creates and saves other tensors than a CPU's code"
_TENSOR = torch.Tensor
_COUNT_OF = itemgetter(Scope._fields.index("calls"))


class Tracker:
    """Scopes and calls of one recording. Its patches make `nn.Module.__call__` report each call in this thread."""

    def __init__(
        self,
        recorder: Recorder,
        scopes: Iterable[Scope] = (),  # this argument and the next two are from a cached skeleton
        index: dict[int, int] | None = None,
        last: tuple[Scope, ...] = (),
    ) -> None:
        self.recorder = recorder
        self._tracked = recorder.ledger.tracked
        self.scopes = list(scopes)
        self.failed_at: tuple[str, nn.Module, Any] | None = None
        """Path, module and arguments of the innermost call that raised the last error."""
        self._error: tuple[BaseException | None, int] = None, 0
        """That error, and the index of that call."""
        self._raised: list[int] = []
        """Calls that raised, innermost first. Forward may have caught some of the exceptions."""
        self.index = index.copy() if index else {}
        """Index of each module's scope, by `id`."""
        self._last = last
        """The same scopes with the last recording's counts, reused if the counts are equal."""
        self._counts = [0] * len(self.scopes)
        self._begun: list[tuple[int, int | None, int, tuple[int, ...]]] = []
        """The fields of each `Call` that has begun, except its outputs, which `_outputs` has."""
        self._outputs: list[tuple[int, ...]] = []
        self._parent: int | None = None
        self._created: list[ref[nn.Module]] = []
        """Modules created in forward. When one dies, its id is forgotten, because another may get it."""
        self._thread = get_ident()
        self.trail: list[tuple[int, int]] | None = None
        """In training: at each start and end of a call, autograd's next sequence number and the call that runs then."""
        self._call_of: Callable[[type], Callable[..., Any]]
        """Returns the function that calls a module of a class; set by `patches`."""
        self.draws: Draws | None = None
        """Set to find the module that draws from Python's or numpy's generators; `drawn_in` becomes its path."""
        self.drawn_in: str | None = None
        self.watch: Watch | None = None
        self.recomputing: int | None = None
        """The call that a checkpoint recomputes in backward."""
        self.elsewhere: str | None = None
        """Path of a module that ran in another thread, where its ops are not recorded; None if there was none."""

    def enter(self, tree: list[tuple[str, nn.Module]]) -> None:
        """Register the modules of a tree with their parameters and buffers."""
        for path, module in tree:
            self._add(path, module)

    def _add(self, path: str, module: nn.Module, owns: bool = True) -> int:
        index = self.index[id(module)] = len(self.scopes)
        kind = type(module)
        if not is_scripted(kind):
            (own_parameters, own_buffers), name = tables_of(module), kind.__name__
        else:
            own_parameters, own_buffers = _all_tensors(module)
            name = str(getattr(module, "original_name", kind.__name__))
        if packed := packed_tensors(module):
            own_parameters = {**own_parameters, **packed}
        ledger, values = self.recorder.ledger, self.recorder.values_at_hand
        parameters = ledger.add_owned(own_parameters, "parameter", values) if owns and own_parameters else ()
        buffers = ledger.add_owned(own_buffers, "buffer", values) if owns and own_buffers else ()
        self.scopes.append(Scope(path, name, parameters, buffers, 0))
        self._counts.append(0)
        return index

    def finish(self) -> tuple[tuple[Scope, ...], tuple[Call, ...]]:
        """Return the scopes with their call counts, and the calls."""
        if not self._begun:  # the root's class has a `__call__` of its own
            self._begun.append((0, None, 0, ()))
            self._outputs.append(())
            self._counts[0] += 1
        scopes = self._last
        if len(scopes) != len(self.scopes) or [*map(_COUNT_OF, scopes)] != self._counts:
            scopes = tuple([Scope(*s[:4], count) for s, count in zip(self.scopes, self._counts, strict=True)])
        return scopes, tuple([Call(*call, made) for call, made in zip(self._begun, self._outputs, strict=True)])

    def path(self, call: int) -> str:
        """Return the module path of a call."""
        return self.scopes[self._begun[call][0]].path if self._begun else ""

    def inputs_of(self, call: int) -> tuple[int, ...]:
        """Return the ids of a call's input values."""
        return self._begun[call][3] if self._begun else ()

    def patches(self) -> list[Patch]:
        """Return patches that record calls, keep the values of literal tensors, and run recurrent layers as CPUs do."""
        custom = CustomCalls(self.recorder, self.recorder.on_values)
        original = current_call()
        ruled, fused = custom.module_call(original), noting_fused(original, self.recorder, self._thread)
        self._call_of = lambda kind: ruled if custom.has_rule(kind) else fused if may_fuse(kind) else original
        patches = [
            call_patch(self._recorded_call(original), _WHY_CALLS),
            *literals.patches(self.recorder, self._thread),
        ]
        if self.trail is not None or self.recorder.casting is not None:  # memory depends on the ops inside
            for name in RECURRENT:
                layer = fused_recurrent(name, getattr(CFUNCTIONS, name), self._thread, self.recorder.on_cpu)
                patches.append(Patch(CFUNCTIONS, name, layer, _WHY_RECURRENT))
        return patches + custom.functions()

    def _recorded_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        thread, recorder, index, counts = self._thread, self.recorder, self.index, self._counts
        begun, outputs, values, trail, call_of = self._begun, self._outputs, self.values, self.trail, self._call_of
        copy_of = recorder.skeleton.copy_of if recorder.skeleton is not None else lambda _: None

        def _call_impl(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            scope = index.get(id(module))
            if get_ident() != thread:
                self.elsewhere = self.elsewhere if scope is None else self.scopes[scope].path
                return original(module, *args, **kwargs)
            if scope is None and (copy := copy_of(module)) is not None:
                module, scope = copy, index.get(id(copy))  # code called the original module instead of its copy
            if scope is None:
                scope = self._add_unregistered(module)
            if recorder.phase != "forward":
                return self._recompute(module, scope, args, kwargs)
            outer, call, count = self._parent, len(begun), counts[scope]
            if outer is None and call:
                outer = 0  # a module in the loss function: the call tree has only one root
            inputs = values(args[0] if len(args) == 1 else args)
            begun.append((scope, outer, count, inputs + values(kwargs) if kwargs else inputs))
            outputs.append(())
            counts[scope] = count + 1
            self._parent = recorder.call = call
            if trail is not None:
                trail.append((next_number(), call))
            try:
                result = call_of(type(module))(module, *args, **kwargs)  # no further frames: deep models recurse
                if outer is None and type(result) is not torch.Tensor:
                    result = _exhaust(result)
                outputs[call] = values(result)
            except BaseException as error:
                if self._error[0] is not error:  # the innermost call that raised it gets here first
                    self._error, self.failed_at = (error, call), (self.path(call), module, args)
                self._raised.append(call)
                raise
            finally:
                self._parent = outer
                recorder.call = outer or 0
                if trail is not None:
                    trail.append((next_number(), outer or 0))
                if self.draws is not None and self.drawn_in is None and self.draws.drawn_from():
                    self.drawn_in = self.path(call)
            return result

        return _call_impl

    def _recompute(self, module: nn.Module, scope: int, args: Any, kwargs: Any) -> Any:
        """Run a call that a checkpoint recomputes in backward; its ops are attributed to the module's first call."""
        outer, trail = self.recomputing, self.trail if self.trail is not None else []
        self.recomputing = call = self.first_call(scope)
        trail.append((next_number(), call))
        try:
            return self._call_of(type(module))(module, *args, **kwargs)
        finally:
            self.recomputing = outer
            trail.append((next_number(), outer or 0))

    def call_root(self, model: nn.Module, called: Callable[..., Any] | None, inputs: Inputs) -> Any:
        """Call the model, or a copy of `called`: one of its methods, or a function that uses it."""
        if called is None:
            result = model(*inputs.args, **inputs.kwargs)
            if self.elsewhere is not None:
                raise ForwardError("")  # `explain_failure` says why
            return result
        skeleton = self.recorder.skeleton
        function = called if skeleton is None else skeleton.value(called)
        self._begun.append((self.index[id(model)], None, 0, self.values(inputs.args) + self.values(inputs.kwargs)))
        self._outputs.append(())
        self._counts[self.index[id(model)]] += 1
        self._parent = self.recorder.call = 0
        if self.trail is not None:
            self.trail.append((next_number(), 0))
        result = _exhaust(function(*inputs.args, **inputs.kwargs))
        if self.elsewhere is not None:
            raise ForwardError("")  # as above
        self._parent = None
        self._outputs[0] = self.values(result)
        return result

    def failure(self) -> Failure:
        """Return the call in which forward failed, and all calls that raised."""
        return Failure(self._error[1], tuple(sorted({0, *self._raised})))

    def release(self) -> None:
        """Drop all references to tensors after a failed forward."""
        self.failed_at, self._error = None, (None, 0)
        self.recorder.release()

    def moved_generators(self) -> list[str]:
        """Return descriptions of the random generators that forward drew from, in the model and outside of it."""
        skeleton, watch = self.recorder.skeleton, self.watch
        own = ["a generator of the model's own"] if skeleton is not None and skeleton.has_drawn() else []
        return own + (["a generator outside of the model"] if watch is not None and watch.has_drawn() else [])

    def first_call(self, scope: int) -> int:
        """Return the first call of a scope; the model's own if there was none."""
        return next((i for i, (called, *_) in enumerate(self._begun) if called == scope), 0)

    def _add_unregistered(self, module: nn.Module) -> int:
        """Register a module that forward creates (`nn.ReLU()(x)`); its tensors are not counted as the model's."""
        self._created.append(ref(module, partial(self.index.pop, id(module))))  # the reference is pop's default
        parent = self.path(self._parent) if self._parent is not None else ""
        base = f"{parent}.<{type(module).__name__}>" if parent else f"<{type(module).__name__}>"
        taken = sum(scope.path == base or scope.path.startswith(base + ":") for scope in self.scopes)
        return self._add(base if not taken else f"{base}:{taken + 1}", module, owns=False)

    def values(self, result: Any) -> tuple[int, ...]:
        """Return the value ids of the tensors in nested containers."""
        if type(result) is _TENSOR or isinstance(result, _TENSOR):
            if parts := parts_of(result):
                return self.values(parts)
            tracked = self._tracked.get(id(result))
            if tracked is None or tracked.ref() is not result:
                if is_inside_transform(result):
                    return ()  # inside vmap or grad: the recorder sees the wrapped tensor, not the wrapper
                tracked = self.recorder.register_external(result)
            elif tracked.version != tracked.block.version:  # written to through a view, and not read since
                tracked = self.recorder.catch_up(result, tracked)
            return (tracked.value,)
        if isinstance(result, (list, tuple, set, frozenset)):
            return tuple([value for item in result for value in self.values(item)])
        if isinstance(result, Mapping):
            return self.values(values_held(result))
        if is_dataclass(result) and not isinstance(result, type):
            return self.values(vars(result)) if hasattr(result, "__dict__") else ()
        return ()


def _exhaust(result: Any) -> Any:
    """Exhaust an iterator that forward returned, so that its ops run; reject coroutines."""
    if isinstance(result, Coroutine):
        result.close()
        raise TypeError("forward returns a coroutine, which does nothing until it is awaited")
    return list(result) if isinstance(result, Iterator) else result


def walk(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return each module once, by its first path, parents first; scripted ones are leaves. Cycles raise InputError."""
    tree: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    stack: list[tuple[str, nn.Module, tuple[int, ...]]] = [("", model, ())]
    while stack:
        path, module, ancestors = stack.pop()
        identity = id(module)
        if identity in seen:
            if identity in ancestors:
                raise InputError(
                    f"module {path!r} ({type(module).__name__}) contains itself; "
                    "expected a tree of modules: hold the back reference in a list or a weakref, not in an attribute"
                )
            continue
        seen.add(identity)
        tree.append((path, module))
        children = children_of(module)
        if not children or is_scripted(type(module)):  # calls of a scripted module's children can't be seen
            continue
        prefix, ancestors = path + "." if path else "", (*ancestors, identity)
        stack.extend([(prefix + name, child, ancestors) for name, child in children.items() if child is not None][::-1])
    return tree


def _all_tensors(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and buffers of a scripted module and its descendants: it is treated as a leaf."""
    return dict(module.named_parameters()), dict(module.named_buffers())


def check_initialized(tree: list[tuple[str, nn.Module]]) -> None:
    """Raise InputError for lazy parameters, whose sizes are not known yet."""
    for path, module in tree:
        for name, tensor in [item for table in tables_of(module) for item in table.items()]:
            if type(tensor) in LAZY:
                raise InputError(
                    f"{path or 'the model'} ({type(module).__name__}): {name} is not initialized (a lazy module takes "
                    "its size from the first input); run the model once on real data, or give the size to its "
                    "constructor"
                )
