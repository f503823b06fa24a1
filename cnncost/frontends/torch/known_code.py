"""Functions and classes of Python and torch whose results depend only on their arguments and torch's settings.

All others are unknown: a model whose code uses one can't be skipped as a repetition (`repeats.py`) and runs each time.
"""

from __future__ import annotations

import copy
import sys
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
import torch.utils.checkpoint

from cnncost.frontends.torch.compat.ops import is_op
from cnncost.frontends.torch.compat.packages import DECORATORS, IN_C
from cnncost.frontends.torch.kinds import is_system_module

BY_NAME = frozenset(
    {
        "__getattr__", "__getattribute__", "get_buffer", "get_parameter", "get_submodule", "getattr", "hasattr",
        "setattr",
    }
)  # fmt: skip
"""Functions that find attributes by computed names, to read or to set them. Code with one of them can't be skipped,
even if the function is in `_BUILT_IN`."""
OWN_CLASS = frozenset({"__class__", "__new__", "__init__"})
"""Attributes by which an object's code can create another object of its class."""
UNTRACEABLE = frozenset(
    {
        "__annotate__", "__annotations__", "__builtins__", "__closure__", "__code__", "__constants__",
        "__dataclass_fields__", "__dict__", "__globals__", "__hash__", "__jit_ignored_attributes__",
        "__jit_unused_properties__", "__reduce__", "__reduce_ex__", "__self__", "__subclasses__", "__type_params__",
        "__wrapped__", "_version", "ag_frame", "cell_contents", "cr_frame", "decode", "encode", "f_back", "f_globals",
        "format", "format_map", "gi_frame", "tb_frame", "to_bytes", "tobytes",
    }
)  # fmt: skip
"""Attributes through which code can depend on more than its names show: frames, globals, closures and classes;
attributes named in a format string; codecs that a program has registered, and the bytes that they decode; and numbers
that may differ between runs (hashes, a tensor's version)."""

_BUILT_IN = frozenset(
    {
        "abs", "all", "any", "chr", "divmod", "format", "getattr", "hasattr", "isinstance", "issubclass", "iter",
        "len", "max", "min", "next", "ord", "pow", "repr", "round", "setattr", "sorted", "sum",
    }
)  # fmt: skip
"""Known built-in functions. `id`, `hash`, `vars` and `open`, for example, are not known."""
_C_MODULES = frozenset({"math", "cmath", "_operator", "_functools", "itertools", "_warnings"})
"""C modules whose functions are all known. (`_warnings`: a skipped forward doesn't repeat its warnings.)"""
_TORCH_MODULES = frozenset({"torch.nn.functional", "torch.functional", "torch.nn.modules.utils", "torch.nn.init"})
"""Python modules of torch whose functions are all known."""
_FUNCTION_NAMES: tuple[tuple[Any, str], ...] = (
    (torch, "_assert is_tensor"), (torch.jit, "annotate is_scripting is_tracing"),
    (torch.compiler, "is_compiling is_exporting"), (torch.utils.checkpoint, "checkpoint checkpoint_sequential"),
    (torch.nn.functional, "*"), (copy, "copy deepcopy"),
)  # fmt: skip
"""Known functions: a module, and the names under which it has them (`*`: all). Their globals may be those of a module
that is not in `_TORCH_MODULES`: `boolean_dispatch`, of another module, makes some of `torch.nn.functional`."""
_FUNCTIONS: frozenset[Any] = frozenset(
    value
    for owner, names in _FUNCTION_NAMES
    for name, value in vars(owner).items()
    if isinstance(value, FunctionType) and (names == "*" or name in names.split())
)
_SETTINGS = frozenset(
    {
        "_log_api_usage_once", "get_autocast_cpu_dtype", "get_autocast_dtype", "get_autocast_gpu_dtype",
        "get_default_dtype", "is_autocast_cpu_enabled", "is_autocast_enabled", "is_grad_enabled",
        "is_inference_mode_enabled",
    }
)  # fmt: skip
"""Functions of torch in C that return a setting, or nothing."""
_OF_PYTHON = frozenset(
    {"builtins", "abc", "collections", "dataclasses", "enum", "functools", "itertools", "numbers", "typing"}
)
"""Modules whose classes only store their arguments."""
_STATELESS_MODES: frozenset[Any] = frozenset({torch.no_grad, torch.enable_grad})
"""Grad modes that take no argument."""
_MODES = _STATELESS_MODES | {torch.inference_mode, torch.set_grad_enabled}
_CLASSES: frozenset[Any] = _MODES | {torch.Tensor, *torch.Tensor.__mro__, torch.autocast, torch.amp.autocast}
"""Known classes of torch: tensors, and modes and regions that code enters and leaves."""
_ALIASES = {"collections.abc": "_collections_abc"}
"""Modules whose name in `sys.modules` differs from the name that they give themselves."""
_HEAP = 1 << 9
"""Flag of classes created at run time, as by a `class` statement (`Py_TPFLAGS_HEAPTYPE`)."""
_TORCH_CLASSES = ("torch.nn.modules.", "torch.nn.parameter.", f"{DECORATORS}.")
"""Prefixes of torch's modules whose classes are known. A dot is appended to a module's name before the comparison."""


def _namespace(function: FunctionType) -> str:
    """Return the name of the module whose globals a function uses: a decorator may have changed its `__module__`."""
    return str(function.__globals__.get("__name__"))


def is_system_function(function: FunctionType) -> bool:
    """Return True if a function is Python's, torch's or numpy's own: its globals are those of one of their modules."""
    name = _namespace(function)
    if not is_system_module(name) and name != "typing_extensions":  # torch uses its decorators
        return False
    module = sys.modules.get(_ALIASES.get(name, name))
    return module is not None and vars(module) is function.__globals__


def is_known_function(function: FunctionType) -> bool:
    """Return True for a known function of Python or torch that is written in Python."""
    return _namespace(function) in _TORCH_MODULES or (function in _FUNCTIONS and is_system_function(function))


def undecorated(function: FunctionType) -> FunctionType | None:
    """Return the user's function inside `torch.no_grad()` or `torch.enable_grad()` as a decorator; else None.

    Other modes, such as `torch.set_grad_enabled(False)`, hold a value that may change.
    """
    if _namespace(function) != DECORATORS or function.__closure__ is None:
        return None
    cells = dict(zip(function.__code__.co_freevars, [cell.cell_contents for cell in function.__closure__], strict=True))
    make, inner = cells.get("ctx_factory"), cells.get("func")
    stateless = isinstance(make, MethodType) and type(make.__self__) in _STATELESS_MODES
    return inner if stateless and isinstance(inner, FunctionType) else None


def is_known_in_c(function: BuiltinFunctionType) -> bool:
    """Return True for a known function of Python or torch that is written in C."""
    if is_op(function):
        return True
    owner = function.__self__
    if not isinstance(owner, ModuleType):
        return False  # a method, such as `items.append`
    names = {"builtins": _BUILT_IN, IN_C: _SETTINGS}.get(owner.__name__, frozenset[str]())
    return owner.__name__ in _C_MODULES or function.__name__ in names


def is_static(kind: type) -> bool:
    """Return True if a class is written in C and can't be changed."""
    return not kind.__flags__ & _HEAP


def is_system_class(kind: type) -> bool:
    """Return True if a class can't be the user's: static, in `_CLASSES`, or from a module of Python, torch or numpy.

    Such a module must have the class under its name: a user's class may have any `__module__`.
    """
    module = kind.__module__
    if is_static(kind) or kind in _CLASSES:
        return True
    return is_system_module(module) and getattr(sys.modules.get(module), kind.__name__, None) is kind


def is_known_class(kind: type) -> bool:
    """Return True for a class of Python or torch whose objects only store their arguments, and for `_CLASSES`."""
    module = kind.__module__
    known = module.partition(".")[0] in _OF_PYTHON or f"{module}.".startswith(_TORCH_CLASSES)
    return kind in _CLASSES or (known and is_system_class(kind))
