"""Callables other than modules that can be analyzed: bound methods, and functions that call modules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.kinds import ATOMS, of_system
from cnncost.frontends.torch.unwrap import unwrapped


class Functions(nn.Module):
    """Root module when a function is analyzed: its children are the modules that the function refers to."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def as_call(model: Any) -> tuple[nn.Module, Callable[..., Any] | None]:
    """The module to analyze, and the callable to run instead of its forward (None: its forward).

    Raises:
        InputError: neither a module nor a callable that refers to one.
    """
    if isinstance(model, nn.Module):
        return unwrapped(model), None
    call = getattr(type(model), "__call__", None)  # noqa: B004  # not whether it is callable, but its class's method
    if isinstance(call, FunctionType):
        bound = MethodType(call, model)
        return as_call(bound) if _modules_of(bound) else (unwrapped(model), None)
    if not isinstance(model, (MethodType, FunctionType, partial)):
        return unwrapped(model), None
    if isinstance(model, MethodType) and isinstance(model.__self__, nn.Module):
        root = unwrapped(model.__self__)
        return root, None if model.__func__ is getattr(type(root), "forward", None) else model
    modules = _modules_of(model)
    if not modules:
        return unwrapped(model), None  # raises an error that says what was expected
    return Functions(modules), model


def name_of(model: Any) -> str:
    """Name in reports: a module's class, `Net.encode` for a method, a function's name."""
    if isinstance(model, partial):
        return name_of(model.func)
    if isinstance(model, MethodType):
        return f"{type(model.__self__).__name__}.{model.__name__}"
    return model.__name__ if isinstance(model, FunctionType) else type(model).__name__


def _modules_of(value: Any) -> dict[str, nn.Module]:
    """Modules that a function or a method's owner refers to, by variable or attribute; each once, by its first name."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    pending: deque[tuple[str, Any, int]] = deque([("", value, 0)])
    while pending:
        name, held, depth = pending.popleft()
        if type(held) in ATOMS or isinstance(held, torch.Tensor) or id(held) in seen or depth > _DEEPEST:
            continue
        seen.add(id(held))
        if isinstance(held, nn.Module):
            name = name.replace(".", "_") or "module"  # names of submodules can't have dots
            while name in found:
                name += "_"
            found[name] = held
            continue
        within = "" if isinstance(held, _CALLABLES) or not name else f"{name}_"
        pending.extend((f"{within}{inner}", item, depth + 1) for inner, item in _parts(held))
    return found


_CALLABLES = (FunctionType, MethodType, partial)
_DEEPEST = 5
"""Maximum depth of functions, containers and objects within one another."""
_LONGEST = 1000
"""Maximum length of containers that are searched."""


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a function, a container or an object of a user's class refers to, by name."""
    if isinstance(value, partial):
        yield from ((f"arg{i}", item) for i, item in enumerate((value.func, *value.args)))
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        owner = value.__self__
        yield from [("", owner)] if isinstance(owner, (nn.Module, type)) else _parts(owner)
        yield from _parts(value.__func__)
    elif isinstance(value, FunctionType):
        yield from _variables(value)
    elif isinstance(value, dict):
        yield from ((str(key), item) for key, item in (value.items() if len(value) <= _LONGEST else ()))
    elif isinstance(value, (list, tuple, set)):
        yield from ((str(i), item) for i, item in enumerate(value if len(value) <= _LONGEST else ()))
    elif not isinstance(value, (type, ModuleType)) and not of_system(type(value).__module__):
        yield from list(getattr(value, "__dict__", {}).items())


def _variables(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    if of_system(function.__module__):  # such as what `torch.func.vmap` returns
        return
    for name in _names(function.__code__):
        if not isinstance(found := function.__globals__.get(name), (type, ModuleType)):
            yield name, found
    for i, item in enumerate(function.__defaults__ or ()):
        yield f"default{i}", item
    yield from (function.__kwdefaults__ or {}).items()


def _names(code: CodeType) -> Iterator[str]:
    """Names of globals and attributes in a function's code and in that of functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
