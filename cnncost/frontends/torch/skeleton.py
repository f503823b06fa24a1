"""A copy of a model without its weights, made in about a millisecond: what forward runs on.

Whatever forward does to its modules (caches, counters, `.data`, hooks, even losing a weight) it does to
the copy. The user's modules are only read, so that other threads may run them meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.running import has_data, twin

_ATOMS = frozenset({bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size, type})
_DICTS = frozenset({dict, OrderedDict})


class Skeleton:
    """Copies modules, once each: what is shared or tied stays so.

    Attributes:
        data: by identity of a copied tensor, the values of its original, where they may be read
            (small ones that are no parameters).
    """

    def __init__(self) -> None:
        self.data: dict[int, torch.Tensor] = {}
        self._copies: dict[int, Any] = {}
        self._originals: list[Any] = []  # alive, so that their identities stay their own

    def module(self, module: nn.Module) -> nn.Module:
        """The copy of a module and all that it holds.

        Scripted modules are not copied: they are out of Python's reach, and run with the weights as they are.
        """
        found: nn.Module | None = self._copies.get(id(module))
        if found is not None:
            return found
        if isinstance(module, torch.jit.ScriptModule):
            return module
        self._originals.append(module)
        copy = self._copies[id(module)] = object.__new__(type(module))
        attributes = copy.__dict__
        attributes.update(module.__dict__)
        for name, value in module.__dict__.items():
            kind = type(value)
            if kind in _ATOMS:
                continue
            # every module has a dozen dictionaries of hooks, nearly always empty
            attributes[name] = kind() if kind in _DICTS and not value else self._value(value, kind)
        return copy

    def _value(self, value: Any, kind: type) -> Any:
        """A copy of what a module holds: containers anew, modules and tensors by their copies, others as they are."""
        if kind in _ATOMS:
            return value
        if kind is nn.Parameter or isinstance(value, torch.Tensor):
            found = self._copies.get(id(value))
            return self._tensor(value) if found is None else found
        if kind is tuple:
            return value if _ATOMS.issuperset(map(type, value)) else tuple([self._value(v, type(v)) for v in value])
        if isinstance(value, dict):
            copy = value.copy()
            for key, item in value.items():
                if type(item) not in _ATOMS:
                    copy[key] = self._value(item, type(item))
            return copy
        if isinstance(value, nn.Module):
            return self.module(value)
        if kind is list or kind is set:
            return kind([self._value(v, type(v)) for v in value])
        return self._other(value, kind)

    def _other(self, value: Any, kind: type) -> Any:
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return kind(*[self._value(v, type(v)) for v in value])
        if kind is MethodType and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.module(value.__self__))
        if kind is partial:
            parts = [self._value(v, type(v)) for v in (value.func, value.args, value.keywords)]
            return partial(parts[0], *parts[1], **parts[2])
        return value

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor like it on `meta`; a parameter stays one."""
        bare = tensor if tensor.is_meta else twin(tensor)
        if type(tensor) is nn.Parameter or isinstance(tensor, nn.Parameter):
            copy: torch.Tensor = torch.Tensor._make_subclass(nn.Parameter, bare, tensor.requires_grad)
        else:
            # what forward left on a module (a computed weight, an activation) is no leaf: its copy has no history
            copy = bare.detach()
            if tensor.requires_grad and tensor.is_leaf:
                copy.requires_grad_(True)
            if has_data(tensor):
                self.data[id(copy)] = tensor
        self._copies[id(tensor)] = copy
        self._originals.append(tensor)
        return copy
