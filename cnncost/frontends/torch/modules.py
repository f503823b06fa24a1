"""The module tree and its calls, without a hook or attribute on any module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from cnncost.errors import InputError
from cnncost.frontends.torch.recorder import Recorder, has_data
from cnncost.graph import Call, Owned, Role, Scope


LAZY = frozenset({UninitializedParameter, UninitializedBuffer})


_owned: Callable[[tuple[object, ...]], Owned] = partial(tuple.__new__, Owned)


class Tracker:
    """Scopes and calls of one recording.

    While `tracking` lasts, `nn.Module.__call__` tells of each call made in this thread.
    """

    def __init__(self, tree: list[tuple[str, nn.Module]], recorder: Recorder) -> None:
        self.recorder = recorder
        self.scopes: list[Scope] = []
        self.failed_at: tuple[str, nn.Module, Any] | None = None
        """Path, module and arguments of the innermost call that raised."""
        self._index: dict[int, int] = {}
        self._counts: list[int] = []
        self._begun: list[tuple[int, int | None, int, tuple[int, ...]]] = []
        self._outputs: list[tuple[int, ...]] = []
        self._parent: int | None = None
        self._thread = get_ident()
        for path, module in tree:
            self._add(path, module)

    def _add(self, path: str, module: nn.Module) -> int:
        index = self._index[id(module)] = len(self.scopes)
        parameters = self._owned(path, module, "parameter") if module._parameters else ()
        buffers = self._owned(path, module, "buffer") if module._buffers else ()
        self.scopes.append(Scope(path, _class_name(module), parameters, buffers))
        self._counts.append(0)
        return index

    def _owned(self, path: str, module: nn.Module, role: Role) -> tuple[Owned, ...]:
        ledger, owned = self.recorder.ledger, []
        tensors: dict[str, Any] = module._parameters if role == "parameter" else module._buffers
        for name, tensor in tensors.items():
            if tensor is not None:
                if type(tensor) in LAZY:
                    raise InputError(
                        f"{path or 'the model'} ({type(module).__name__}): {name} is not initialised (a lazy module takes "
                        "its size from the first input); run the model once on real data, or give the size to its "
                        "constructor"
                    )
                known = ledger.known.get(id(tensor))  # all sources are alive: an identity is its own
                if known is None:
                    known = ledger.add_source(tensor, role, role == "buffer" and has_data(tensor))
                owned.append(_owned((name, known.value, tensor.requires_grad)))
        return tuple(owned)

    def finish(self) -> tuple[tuple[Scope, ...], tuple[Call, ...]]:
        """Scopes with their call counts, and the calls."""
        scopes = tuple(
            [Scope(*scope[:4], count) for scope, count in zip(self.scopes, self._counts, strict=True)]
        )
        calls = [Call(*begun, outputs) for begun, outputs in zip(self._begun, self._outputs, strict=True)]
        return scopes, tuple(calls)

    def path(self, call: int) -> str:
        """The module path of a call."""
        return self.scopes[self._begun[call][0]].path if self._begun else ""

    @contextmanager
    def tracking(self) -> Iterator[None]:
        """While it lasts, module calls are recorded. Other threads' calls pass through."""
        original = nn.Module.__call__
        nn.Module.__call__ = self._wrapped(original)  # type: ignore[method-assign]  # put back below
        try:
            yield
        finally:
            nn.Module.__call__ = original  # type: ignore[method-assign]  # as it was

    def _wrapped(self, original: Callable[..., Any]) -> Callable[..., Any]:
        thread, recorder = self._thread, self.recorder

        def __call__(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807  # takes nn.Module's place
            if get_ident() != thread:
                return original(module, *args, **kwargs)
            outer, call = self._parent, self._enter(module, args, kwargs)
            try:
                # `_call_impl` passes a module's own compiled form by: what it runs is what it was compiled from
                result = module._call_impl(*args, **kwargs)
            except BaseException:
                if self.failed_at is None:
                    self.failed_at = (self.path(call), module, args)
                raise
            finally:
                self._parent = outer
                recorder.call = outer or 0
            self._outputs[call] = self.values(result)
            return result

        return __call__

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> int:
        scope = self._index.get(id(module))
        if scope is None:
            scope = self._add_unregistered(module)
        call, count = len(self._begun), self._counts[scope]
        inputs = self.values(args if len(args) != 1 else args[0])
        if kwargs:
            inputs += self.values(kwargs)
        self._begun.append((scope, self._parent, count, inputs))
        self._outputs.append(())
        self._counts[scope] = count + 1
        self._parent = self.recorder.call = call
        return call

    def _add_unregistered(self, module: nn.Module) -> int:
        """A module that is in no attribute of the model, such as `nn.ReLU()(x)` in forward."""
        parent = self.path(self._parent) if self._parent is not None else ""
        base = f"{parent}.<{type(module).__name__}>" if parent else f"<{type(module).__name__}>"
        taken = sum(scope.path == base or scope.path.startswith(base + ":") for scope in self.scopes)
        return self._add(base if not taken else f"{base}:{taken + 1}", module)

    def values(self, result: Any) -> tuple[int, ...]:
        """The value ids of the tensors in a nest of containers."""
        if type(result) is torch.Tensor or isinstance(result, torch.Tensor):
            known = self.recorder.ledger.known.get(id(result))
            if known is None or known.ref() is not result:
                known = self.recorder.meet(result)
            return (known.value,)
        if isinstance(result, (list, tuple)):
            return tuple([value for item in result for value in self.values(item)])
        if isinstance(result, dict):
            return tuple(value for item in result.values() for value in self.values(item))
        return ()


def walk(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module once under its first path, parents before children. Raises InputError on a cycle."""
    seen: set[int] = set()
    stack: list[tuple[str, nn.Module, tuple[int, ...]]] = [("", model, ())]
    while stack:
        path, module, above = stack.pop()
        if id(module) in above:
            raise InputError(
                f"module {path!r} ({type(module).__name__}) contains itself; "
                "expected a tree of modules: hold the back reference in a list or a weakref, not in an attribute"
            )
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        prefix = path + "." if path else ""
        children = [(prefix + name, child) for name, child in module._modules.items() if child is not None]
        if children:
            above = (*above, id(module))
            stack.extend((name, child, above) for name, child in reversed(children))


def _class_name(module: nn.Module) -> str:
    """The class; of a scripted module the one it was scripted from."""
    original = getattr(module, "original_name", None) if isinstance(module, torch.jit.ScriptModule) else None
    return str(original or type(module).__name__)
