"""Callables other than modules that can be analyzed: bound methods, and functions that call modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from torch import nn

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
    if isinstance(model, nn.Module) or not isinstance(model, (MethodType, FunctionType, partial)):
        return unwrapped(model), None
    if isinstance(model, MethodType) and isinstance(model.__self__, nn.Module):
        root = unwrapped(model.__self__)
        return root, None if model.__func__ is getattr(type(root), "forward", None) else model
    modules = dict(_named(_modules_of(model)))
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


def _named(found: Iterator[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module once, under its first name, with dots replaced: names of submodules can't have them."""
    seen: set[int] = set()
    for name, module in found:
        if id(module) not in seen:
            seen.add(id(module))
            yield name.replace(".", "_"), module


def _modules_of(value: Any) -> Iterator[tuple[str, nn.Module]]:
    """Modules in a function's closure, defaults and globals, or in the attributes of a method's owner."""
    if isinstance(value, partial):
        for i, item in enumerate((value.func, *value.args)):
            yield from _held(f"arg{i}", item)
        for name, item in value.keywords.items():
            yield from _held(name, item)
        return
    if isinstance(value, MethodType):
        for name, item in vars(value.__self__).items() if hasattr(value.__self__, "__dict__") else ():
            yield from _held(name, item)
        return
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        yield from _held(name, content)
    for name in _names(value.__code__):
        if isinstance(found := value.__globals__.get(name), nn.Module):
            yield name, found
    for i, item in enumerate(value.__defaults__ or ()):
        yield from _held(f"default{i}", item)


def _names(code: CodeType) -> Iterator[str]:
    """Names of globals and attributes in a function's code and in that of functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _held(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Modules that an object holds: itself, in a function, or in containers nested up to three deep."""
    if isinstance(value, nn.Module):
        yield name, value
    elif isinstance(value, (FunctionType, partial)) or (isinstance(value, MethodType) and depth < 3):
        if depth < 3:
            owner = getattr(value, "__self__", None)
            if isinstance(owner, nn.Module):
                yield name, owner
            else:
                yield from _modules_of(value)
    elif isinstance(value, dict) and depth < 3:
        for key, item in value.items():
            yield from _held(f"{name}_{key}", item, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 3:
        for i, item in enumerate(value):
            yield from _held(f"{name}_{i}", item, depth + 1)
