"""A copy of a model without its weights, made in about a millisecond: what forward runs on.

Whatever forward does to its modules (caches, counters, `.data`, hooks, even losing a weight) it does to
the copy. The user's modules are only read, so that other threads may run them meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache, partial
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.anew import HookWantedError
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.kinds import ATOMS, LAZY, slots
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.offload import with_own_casting, without_moving
from cnncost.frontends.torch.running import has_data, is_parameter, twin
from cnncost.frontends.torch.watch import Watch

_PLAIN_DISPATCH = torch.Tensor.__torch_dispatch__
_TENSORS = frozenset({"_parameters", "_buffers"})
HELD = ("_parameters", "_buffers", "_modules")
"""The tables of a module: what it holds under which name."""
_BARE = vars(nn.Module())
_STANDARD = tuple(_BARE)
"""What every module has, in the order in which `nn.Module` sets it; what a class adds comes after."""
STANDARD = frozenset(_STANDARD)
HOOKS = tuple([n for n, v in _BARE.items() if isinstance(v, (dict, set)) and n not in HELD])
hooks_of = itemgetter(*HOOKS)
"""The hook tables among a module's attributes."""


class LazyParameterError(Exception):
    """A model has lazy parameters; who knows the paths says which."""


@cache
def _traits(kind: type) -> tuple[bool, tuple[str, ...], bool]:
    """Of a module class: whether it is scripted, what it keeps outside its `__dict__`, whether it is an encoder."""
    return issubclass(kind, torch.jit.ScriptModule), slots(kind), issubclass(kind, nn.TransformerEncoder)


class _NoHooks(OrderedDict[Any, Any]):
    """The hooks of a module that has none. One serves all modules, and so refuses to take any."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise HookWantedError


class _NoNames(set[Any]):
    """The non-persistent buffers of a module that has none, likewise."""

    def add(self, element: Any) -> None:  # noqa: ARG002  # a set's method
        raise HookWantedError


class Skeleton(Copier):
    """Copies modules, once each: what is shared or tied stays so.

    Args:
        watch: what must stay itself, and is put back afterwards.
        shared: hook tables are nearly always empty, and a dozen for each module: one empty table that
            raises HookWantedError when it is written to stands for all.

    Attributes:
        data: by identity of a copied tensor, the values of its original, where they may be read
            (small ones that are no parameters).
    """

    on_values = False
    """The copy has weights, and what moves them has work to do."""

    def __init__(self, shared: bool = True, watch: Watch | None = None) -> None:
        super().__init__(*(({}, None) if watch is None else (watch.ids, partial(watch.add, where="an object"))))
        self.watch = watch
        self.data: dict[int, torch.Tensor] = {}
        self._no_hooks = {n: _NoNames() if isinstance(_BARE[n], set) else _NoHooks() for n in HOOKS} if shared else None
        self._storages: dict[int, torch.UntypedStorage] = {}

    def module(self, module: nn.Module) -> nn.Module:
        """The copy of a module and all that it holds.

        Scripted modules are not copied: they are out of Python's reach, and run with the weights as they are.
        """
        found: nn.Module | None = self._copies.get(id(module))
        if found is not None:
            return found
        kind: Any = type(module)
        scripted, outside, encoder = _traits(kind)
        if scripted:
            return module
        self._originals.append(module)
        copy: nn.Module = object.__new__(kind)
        self._copies[id(module)] = copy
        attributes = module.__dict__.copy()
        if "_hf_hook" in attributes and not self.on_values:
            without_moving(attributes)
        object.__setattr__(copy, "__dict__", attributes)
        names = tuple(attributes)
        if self._no_hooks and names[: len(_STANDARD)] == _STANDARD and not any(hooks_of(attributes)):
            own = [*attributes.items()][len(_STANDARD) :] if len(names) > len(_STANDARD) else []
            attributes.update(self._no_hooks)
            attributes["_parameters"] = self._tensors(attributes["_parameters"])
            attributes["_buffers"] = self._tensors(attributes["_buffers"])
            attributes["_modules"] = self._children(attributes["_modules"])
        else:  # not the user's own `items`: another thread may add to them meanwhile
            own = list(attributes.items())
        for name, value in own:
            sort = type(value)
            if sort in ATOMS or (sort is tuple and ATOMS.issuperset(map(type, value))):
                continue
            if name in _TENSORS:
                attributes[name] = self._tensors(value)
            elif name == "_modules":
                attributes[name] = self._children(value)
            else:
                attributes[name] = self._value(value, sort)
        for name in outside:
            if hasattr(module, name):
                object.__setattr__(copy, name, self.value(getattr(module, name)))
        if "_compiled_call_impl" in attributes:  # what runs is what was compiled
            attributes["_compiled_call_impl"] = None
        if "_diffusers_hook" in attributes:
            with_own_casting(copy)
        if encoder:
            attributes["use_nested_tensor"] = False  # a way to skip padding in eval mode, by values that are not there
        return copy

    def _tensors(self, held: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor | None]:
        return {n: t if t is None else self._tensor(t) for n, t in held.items()} if held else {}

    def _children(self, held: dict[str, nn.Module | None]) -> dict[str, nn.Module | None]:
        return {n: m if m is None else self.module(m) for n, m in held.items()} if held else {}

    def tensors(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Each tensor that was copied, and its copy."""
        return [(t, self._copies[id(t)]) for t in self._originals if isinstance(t, torch.Tensor)]

    def modules(self) -> list[tuple[str, nn.Module]]:
        """The class of each module that was copied, and its copy."""
        return [(type(m).__name__, self._copies[id(m)]) for m in self._originals if isinstance(m, nn.Module)]

    def let_go(self) -> None:
        """Hold on to nothing of the user's any more. Which module or tensor has which copy is still known."""
        kinds = set(map(type, self._originals))
        lasting = {kind for kind in kinds if issubclass(kind, (nn.Module, torch.Tensor))}
        if lasting != kinds:
            self._copies = {id(o): self._copies[id(o)] for o in self._originals if type(o) in lasting}
        self._originals.clear()
        self.data.clear()
        self.functions.clear()
        self.watch, self._leave, self._stay = None, None, {}

    def _bare(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same geometry on `meta`. Views of one storage (flattened weights) stay so."""
        if tensor.layout is not torch.strided:
            return twin(tensor.detach())
        if is_meta(tensor) and type(data := tensor.data) is torch.Tensor:  # a wrapper's would be a wrapper
            return data  # it counts versions of its own, where `detach` would share the user's counter
        storage = tensor.untyped_storage()
        where = storage._cdata
        base = self._storages.get(where)
        if base is None:
            bare = twin(tensor)
            base = bare.untyped_storage()
            if storage.nbytes() == base.nbytes():
                self._storages[where] = base
                return bare
            base = torch.empty(storage.nbytes(), dtype=torch.uint8, device=META).untyped_storage()
            self._storages[where] = base
        empty = torch.empty(0, dtype=tensor.dtype, device=META)
        return empty.set_(base, tensor.storage_offset(), tensor.shape, tensor.stride())

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor like it on `meta`; a parameter stays one."""
        found: torch.Tensor | None = self._copies.get(id(tensor))
        if found is not None:
            return found
        if type(tensor) in LAZY:
            raise LazyParameterError
        copy = self._bare(tensor)  # what forward left on a module (an activation) is no leaf: its copy has no history
        parameter = is_parameter(tensor)
        if tensor.requires_grad and (parameter or tensor.is_leaf):
            copy.requires_grad = True
        kind = type(tensor)
        if parameter:
            copy.__class__ = nn.Parameter  # as lazy parameters become them: half the time of a new one
        if kind is not nn.Parameter and kind is not torch.Tensor and kind.__torch_dispatch__ == _PLAIN_DISPATCH:
            copy.__class__ = kind  # its methods, and what `isinstance` says of it
        if not parameter and has_data(tensor):
            self.data[id(copy)] = tensor
        self._copies[id(tensor)] = copy
        self._originals.append(tensor)
        if tensor.__dict__:
            copy.__dict__.update(tensor.__dict__)
        return copy
