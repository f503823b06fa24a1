"""Callables other than modules that can be analyzed: bound methods, and functions that call modules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from cnncost.frontends.torch.kinds import ATOMS, is_system_module
from cnncost.frontends.torch.unwrap import refuse_pipelines, unwrapped


class Functions(nn.Module):
    """Root module when a function is analyzed: its children are the modules that the function refers to."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def as_call(model: Any) -> tuple[nn.Module, Callable[..., Any] | None]:
    """Return the module to analyze, and the callable to run instead of its forward (None: its forward).

    Raises:
        InputError: the model is neither a module nor a callable that refers to one.
    """
    if isinstance(model, nn.Module):
        return unwrapped(model), None
    refuse_pipelines(model)
    call = getattr(type(model), "__call__", None)  # noqa: B004  # the method itself is needed
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
    """Return the name in reports: a module's class, `Net.encode` for a method, or a function's name."""
    if isinstance(model, partial):
        return name_of(model.func)
    if isinstance(model, MethodType):
        return f"{type(model.__self__).__name__}.{model.__name__}"
    return model.__name__ if isinstance(model, FunctionType) else type(model).__name__


def _modules_of(value: Any) -> dict[str, nn.Module]:
    """Return the modules that a function or a method's owner refers to, named by the first reference to each."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    pending: deque[tuple[str, Any, int]] = deque([("", value, 0)])
    while pending:
        name, item, depth = pending.popleft()
        if type(item) in ATOMS or isinstance(item, torch.Tensor) or id(item) in seen or depth > _MAX_DEPTH:
            continue
        seen.add(id(item))
        if isinstance(item, nn.Module):
            name = name.replace(".", "_") or "module"  # names of submodules can't have dots
            while name in found:
                name += "_"
            found[name] = item
            continue
        prefix = "" if isinstance(item, _CALLABLES) or not name else f"{name}_"
        pending.extend((f"{prefix}{inner}", part, depth + 1) for inner, part in _parts(item))
    return found


_CALLABLES = (FunctionType, MethodType, partial)
_MAX_DEPTH = 5
"""Maximum depth of functions, containers and objects within one another."""
_MAX_LENGTH = 1000
"""Maximum length of containers that are searched."""


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and objects that a function, a container or an object of a user's class refers to."""
    if isinstance(value, partial):
        yield from ((f"arg{i}", item) for i, item in enumerate((value.func, *value.args)))
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        owner = value.__self__
        # a module that owns a method is yielded itself
        yield from [("", owner)] if isinstance(owner, nn.Module) else _parts(owner)
        yield from _parts(value.__func__)
    elif isinstance(value, FunctionType):
        yield from _variables(value)
    elif isinstance(value, dict):
        yield from ((str(key), item) for key, item in (value.items() if len(value) <= _MAX_LENGTH else ()))
    elif isinstance(value, (list, tuple, set)):
        yield from ((str(i), item) for i, item in enumerate(value if len(value) <= _MAX_LENGTH else ()))
    elif not isinstance(value, (type, ModuleType)) and not is_system_module(type(value).__module__):
        yield from list(getattr(value, "__dict__", {}).items())


def _variables(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the closure variables, globals and default arguments of a function, by name."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    if is_system_module(function.__module__):  # such as a function that `torch.func.vmap` returns
        return
    for name in _names(function.__code__):
        if not isinstance(value := function.__globals__.get(name), (type, ModuleType)):
            yield name, value
    for i, item in enumerate(function.__defaults__ or ()):
        yield f"default{i}", item
    yield from (function.__kwdefaults__ or {}).items()


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names of globals and attributes in a function's code and in that of functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
