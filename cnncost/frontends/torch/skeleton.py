"""Copies a model without its weights, in about a millisecond. Forward then runs on the copy.

Whatever forward does to its modules (caches, counters, `.data`, hooks, even deleting a weight) affects only the copy.
The user's modules are only read, so other threads may run them at the same time.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache, partial
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.distributed import FLAT, is_split, local_of, split_like
from cnncost.frontends.torch.compat.modules import BUFFERS, COMPILED, MODULES, PARAMETERS, is_scripted
from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.kinds import LAZY, LEAVES, slots
from cnncost.frontends.torch.meta import META, is_meta
from cnncost.frontends.torch.offload import with_own_casting, without_moving
from cnncost.frontends.torch.restarts import HooksNeededError
from cnncost.frontends.torch.running import has_data, is_parameter, meta_like
from cnncost.frontends.torch.scripted import copy_of_script
from cnncost.frontends.torch.watch import Watch

_PLAIN_DISPATCH = torch.Tensor.__torch_dispatch__
TENSOR_TABLES = (PARAMETERS, BUFFERS)
"""Keys, in a module's `__dict__`, of its tables of parameters and buffers."""
TABLES = (*TENSOR_TABLES, MODULES)
"""The same, and the key of the table of submodules."""
_BARE = vars(nn.Module())
_STANDARD = tuple(_BARE)
"""Names of the attributes that every module has, in the order in which `nn.Module` sets them; subclasses add theirs."""
STANDARD = frozenset(_STANDARD)
HOOKS = tuple([n for n, v in _BARE.items() if isinstance(v, (dict, set)) and n not in TABLES])
"""Names of the tables of hooks, and of the set of non-persistent buffers."""
hooks_of = itemgetter(*HOOKS)
"""Returns a module's `HOOKS` tables from its attributes."""


class LazyParameterError(Exception):
    """The model has lazy parameters. The caller reports which ones."""


@cache
def _traits(kind: type) -> tuple[bool, tuple[str, ...], bool]:
    """Return whether a module class is scripted, the names of its slots, and whether it is a TransformerEncoder.

    Raises:
        InputError: the class is FullyShardedDataParallel (FSDP1).
    """
    if (kind.__module__, kind.__name__) == FLAT:
        raise InputError(
            "FullyShardedDataParallel flattens its parameters, and a copy would share the flat ones with the model; "
            "expected the model before wrapping, or a model that is sharded with `fully_shard` (FSDP2)"
        )
    return is_scripted(kind), slots(kind), issubclass(kind, nn.TransformerEncoder)


class _NoHooks(OrderedDict[Any, Any]):
    """Empty hook table that all modules share. Writing to it raises HooksNeededError."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise HooksNeededError


class _NoNames(set[Any]):
    """Empty set of names of non-persistent buffers, which is shared in the same way."""

    def add(self, element: Any) -> None:  # noqa: ARG002  # a set's method
        raise HooksNeededError


class Skeleton(Copier):
    """Copies modules and tensors, each once, so that shared modules and tied weights remain shared.

    Args:
        watch: objects that must not be copied and are restored afterwards.
        shared: whether all modules share empty hook tables, which raise HooksNeededError when written to. Hook tables
            are nearly always empty, and each module has a dozen.
        several: whether the modules are on several devices, between which accelerate's hooks move their inputs.

    Attributes:
        data: originals on whose values ops may run (small tensors that are not parameters), by the copies' id.
    """

    on_values = False
    """Whether the copy has weights. Hooks that move weights then have to run."""

    def __init__(self, shared: bool = True, watch: Watch | None = None, several: bool = False) -> None:
        super().__init__(*(({}, None) if watch is None else (watch.ids, partial(watch.add, where="an object"))))
        self.watch = watch
        self._hooks_move = self.on_values or several
        self.data: dict[int, torch.Tensor] = {}
        self._no_hooks = {n: _NoNames() if isinstance(_BARE[n], set) else _NoHooks() for n in HOOKS} if shared else None
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._of_weights: set[int] = set()
        """Identities of the storages that hold the local parts of DTensors."""

    def module(self, module: nn.Module) -> nn.Module:
        """Return a copy of a module and everything in it."""
        known_copy: nn.Module | None = self._copies.get(id(module))
        if known_copy is not None:
            return known_copy
        kind: Any = type(module)
        scripted, slot_names, encoder = _traits(kind)
        self._originals.append(module)
        if scripted:
            script = self._copies[id(module)] = copy_of_script(module, self.value)
            return script
        copy: nn.Module = object.__new__(kind)
        self._copies[id(module)] = copy
        attributes = module.__dict__.copy()
        if "_hf_hook" in attributes and not self._hooks_move:
            without_moving(attributes)
        object.__setattr__(copy, "__dict__", attributes)
        names = tuple(attributes)
        # fast path: standard attributes come first and all hook tables are empty
        if self._no_hooks and names[: len(_STANDARD)] == _STANDARD and not any(hooks_of(attributes)):
            own = [*attributes.items()][len(_STANDARD) :] if len(names) > len(_STANDARD) else []
            attributes.update(self._no_hooks)
            attributes[PARAMETERS] = self._tensors(attributes[PARAMETERS])
            attributes[BUFFERS] = self._tensors(attributes[BUFFERS])
            attributes[MODULES] = self._children(attributes[MODULES])
        else:  # iterate over the copy: another thread may add to the original
            own = list(attributes.items())
        for name, value in own:
            value_type = type(value)
            if value_type in LEAVES or (value_type is tuple and LEAVES.issuperset(map(type, value))):
                continue
            if name in TENSOR_TABLES:
                attributes[name] = self._tensors(value)
            elif name == MODULES:
                attributes[name] = self._children(value)
            else:
                attributes[name] = self._value(value, value_type)
        for name in slot_names:
            if hasattr(module, name):
                object.__setattr__(copy, name, self.value(getattr(module, name)))
        if COMPILED in attributes:  # run the original code instead of the compiled one
            attributes[COMPILED] = None
        if "_diffusers_hook" in attributes:
            with_own_casting(copy)
        if encoder:
            attributes["use_nested_tensor"] = False  # in eval mode it would read the mask's values to skip padding
        return copy

    def _tensors(self, named: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor | None]:
        return {n: t if t is None else self._tensor(t) for n, t in named.items()} if named else {}

    def _children(self, named: dict[str, nn.Module | None]) -> dict[str, nn.Module | None]:
        return {n: m if m is None else self.module(m) for n, m in named.items()} if named else {}

    def values(self) -> dict[int, torch.Tensor]:
        """Return `data` without tensors that share memory with DTensors, because values of weights are not read."""
        if not self._of_weights:
            return self.data.copy()
        strided = {k: t for k, t in self.data.items() if t.layout is torch.strided}
        return {k: t for k, t in strided.items() if identity_of(t.untyped_storage()) not in self._of_weights}

    def tensors(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return pairs of a tensor and its copy."""
        return [(t, self._copies[id(t)]) for t in self._originals if isinstance(t, torch.Tensor)]

    def modules(self) -> list[tuple[str, nn.Module]]:
        """Return pairs of a module's class name and its copy."""
        return [(type(m).__name__, self._copies[id(m)]) for m in self._originals if isinstance(m, nn.Module)]

    def release(self) -> None:
        """Drop references to the user's objects. `copy_of` still finds the copies of modules and tensors, by id."""
        kinds = set(map(type, self._originals))
        lasting = {kind for kind in kinds if issubclass(kind, (nn.Module, torch.Tensor))}
        if lasting != kinds:
            self._copies = {id(o): self._copies[id(o)] for o in self._originals if type(o) in lasting}
        self._originals.clear()
        self.data.clear()
        self.code.clear()
        self.watch, self._on_shared, self._kept = None, None, {}

    def _split(self, tensor: torch.Tensor) -> torch.Tensor:
        """Copy a DTensor: the copy wraps a copy of this rank's local tensor."""
        part = local_of(tensor)
        self._of_weights.add(identity_of(part.untyped_storage()))
        with torch.no_grad():
            copy = split_like(tensor, self._tensor(part))
        copy.requires_grad_(tensor.requires_grad and (is_parameter(tensor) or tensor.is_leaf))
        copy.__dict__.update(tensor.__dict__)  # for a parameter, this includes the mark that it is one
        self._copies[id(tensor)] = copy
        self._originals.append(tensor)
        return copy

    def _bare(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a meta tensor of the same geometry. Views of one storage (flattened weights) still share a storage."""
        if tensor.layout is not torch.strided:
            return meta_like(tensor.detach())
        if is_meta(tensor) and type(data := tensor.data) is torch.Tensor:  # not for a wrapper subclass
            return data  # `.data` has its own version counter; `detach` would share the user's
        storage = tensor.untyped_storage()
        key = identity_of(storage)
        base = self._storages.get(key)
        if base is None:
            bare = meta_like(tensor)
            base = bare.untyped_storage()
            if storage.nbytes() == base.nbytes():
                self._storages[key] = base
                return bare
            base = torch.empty(storage.nbytes(), dtype=torch.uint8, device=META).untyped_storage()
            self._storages[key] = base
        empty = torch.empty(0, dtype=tensor.dtype, device=META)
        return empty.set_(base, tensor.storage_offset(), tensor.shape, tensor.stride())

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor's copy on `meta`; a parameter's copy is a parameter."""
        known_copy: torch.Tensor | None = self._copies.get(id(tensor))
        if known_copy is not None:
            return known_copy
        if type(tensor) in LAZY:
            raise LazyParameterError
        if is_split(tensor):
            return self._split(tensor)
        copy = self._bare(tensor)  # no autograd history, even if forward left an activation on a module
        parameter = is_parameter(tensor)
        if tensor.requires_grad and (parameter or tensor.is_leaf):
            copy.requires_grad = True
        kind = type(tensor)
        if parameter:
            copy.__class__ = nn.Parameter  # as torch does for lazy parameters; twice as fast as creating one
        if kind is not nn.Parameter and kind is not torch.Tensor and kind.__torch_dispatch__ == _PLAIN_DISPATCH:
            copy.__class__ = kind  # keeps its methods and `isinstance` results
        if not parameter and has_data(tensor):
            self.data[id(copy)] = tensor
        self._copies[id(tensor)] = copy
        self._originals.append(tensor)
        if tensor.__dict__:
            copy.__dict__.update(tensor.__dict__)
        return copy
