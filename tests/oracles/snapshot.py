"""All that can be reached from some objects, as it is at one moment; two of these tell what changed between.

Followed are attributes, slots, items of containers of any class, cells and defaults of functions, owners of methods,
targets of weak references, and for the modules named their globals and their classes' attributes. Of tensors
and arrays the storage, its version and a checksum of the values are kept. Nothing here knows what made a change.
"""

from __future__ import annotations

import enum
import functools
import gc
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import torch

_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(Ellipsis), torch.dtype, torch.device, torch.layout,
          torch.memory_format, torch.Size, range, slice)  # fmt: skip
_FOREIGN = ("torch", "numpy", "builtins", "typing", "abc", "functools", "collections", "threading", "logging",
            "warnings", "re", "inspect", "importlib", "sympy", "cnncost")  # fmt: skip
"""Packages whose classes' and modules' own attributes are not the user's."""
_UNSEEN = {
    "__weakref__", "__slotnames__", "__dict__", "__doc__", "__builtins__", "__annotations__", "__spec__", "__loader__",
    "__cached__", "__warningregistry__", "__annotate__", "__annotations_cache__", "__conditional_annotations__",
    "__dynamo_disable",  # torch finds there what its compiler is to leave alone, since the first call
    "_lineno_map",  # of code made by torch.fx, anew whenever such a module is pickled
}  # fmt: skip
_SIMPLE = {int, str, bool, type(None)}
LIMIT = 1_500_000


class Snapshot:
    """What is reachable from `roots` (by name), and from the globals of `modules`.

    Attributes:
        facts: path → what stands there, of every object reached, by the first path that led to it.
        cut: whether there was more than is kept.
    """

    def __init__(self, roots: dict[str, Any], modules: frozenset[str] = frozenset()) -> None:
        self.facts: dict[str, Any] = {}
        self._alive: list[Any] = []  # an id says who it is only as long as its object lives
        self.modules = modules
        self.cut = False
        self._walk(roots)

    def changes(self, later: Snapshot) -> list[str]:
        """Paths of what is not as it was, with before and after; what a module imported since is no change."""
        found = []
        for path, was in self.facts.items():
            now = later.facts.get(path, "gone")
            if was == now:
                continue
            if now != "gone" and was[0] == now[0]:
                names = sorted(set(was[1]) ^ set(now[1]))
                found.append(f"{path}: attributes {', '.join(names)} {'gone' if set(names) <= set(was[1]) else 'new'}")
            else:
                found.append(f"{path}: {_short(was)} → {_short(now)}")
        return found

    def _walk(self, roots: dict[str, Any]) -> None:
        queue: deque[tuple[str, Any]] = deque(roots.items())
        queue.extend((f"<{name}>", sys.modules[name]) for name in sorted(self.modules))
        seen: dict[int, Any] = {}
        while queue:
            path, value = queue.popleft()
            if id(value) in seen:  # by whichever path it is reached first, the fact is the same
                self.facts[path] = seen[id(value)]
                continue
            if len(self.facts) >= LIMIT:
                self.cut = True
                return
            self._alive.append(value)
            self.facts[path] = seen[id(value)] = (self._fact(value), _names(value))
            for step, item in self._parts(value):
                if type(item) in _SIMPLE:  # most of all there is
                    self.facts[path + step] = ((type(item), item), ())
                else:
                    queue.append((path + step, item))

    def _fact(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return _tensor_fact(value)
        if isinstance(value, np.ndarray):
            return ("array", id(value), value.shape, str(value.dtype), value.ctypes.data, _checksum(value))
        if isinstance(value, enum.Enum):
            return repr(value)
        if isinstance(value, _PLAIN):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, torch.Generator):
            return ("generator", id(value), crc32(value.get_state().numpy().tobytes()))
        if isinstance(value, (set, frozenset)):
            return (type(value).__name__, id(value), len(value), sorted(map(_key, value)))
        if isinstance(value, types.MethodType):
            return "method"  # made anew whenever it is asked for
        if isinstance(value, (types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType)):
            return "builtin"
        if isinstance(value, functools._lru_cache_wrapper):
            return ("lru_cache", id(value), "tensors kept", _kept(value))
        for kind in (dict, list, tuple, deque):
            if isinstance(value, kind):
                return (type(value).__name__, id(value), kind.__len__(value))
        return (type(value).__name__, id(value))

    def _parts(self, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, (*_PLAIN, enum.Enum, types.BuiltinFunctionType)) or _foreign(value):
            return
        if isinstance(value, types.ModuleType):
            if value.__name__ in self.modules:
                for name, item in list(vars(value).items()):
                    if name not in _UNSEEN and not isinstance(item, types.ModuleType) and not _bare(item):
                        yield f".{name}", item
            return
        if isinstance(value, type):
            if value.__module__ in self.modules:
                for name, item in list(vars(value).items()):
                    if name not in _UNSEEN and not _bare(item):
                        yield f".{name}", item
            return
        yield from _items(value)
        yield from _attributes(value)


def _names(value: Any) -> tuple[str, ...]:
    """Of all attributes of its own, so that one more is seen; a module gains names whenever something is imported."""
    if isinstance(value, (types.ModuleType, types.MethodType, *_PLAIN)):
        return ()
    own = getattr(value, "__dict__", None)
    if not isinstance(own, (dict, types.MappingProxyType)):
        return ()
    names = {str(name) for name in own if name not in _UNSEEN}
    if isinstance(value, type):  # what a class says again after its base is no new word
        names = {
            name for name in names if not any(own[name] is vars(base).get(name, ...) for base in value.__mro__[1:])
        }
    return tuple(sorted(names))


def _bare(value: Any) -> bool:
    """A function that holds nothing: most of what a package has. Nothing of it can change but its place."""
    return type(value) is types.FunctionType and not (
        value.__closure__ or value.__dict__ or value.__defaults__ or value.__kwdefaults__
    )


def _foreign(value: Any) -> bool:
    """Functions and helpers of Python and of torch itself: what they hold is the process's, and no model's."""
    if isinstance(value, (types.FunctionType, type, functools._lru_cache_wrapper)):
        return (value.__module__ or "").split(".")[0] in _FOREIGN and not getattr(value, "__closure__", None)
    return type(value).__module__.split(".")[0] in {"typing", "logging", "threading", "re", "importlib", "inspect"}


def _kept(cache: Any, depth: int = 4) -> int:
    """Tensors in a cache of results. That plain ones come to it is no change: they are what any call finds again."""
    found, level, seen = 0, [cache], set()
    for _ in range(depth):
        level = [
            held for one in level for held in gc.get_referents(one) if id(held) not in seen and not seen.add(id(held))
        ]
        level = [held for held in level if not isinstance(held, (types.ModuleType, types.FunctionType, type))]
        found += sum(isinstance(held, torch.Tensor) for held in level)
    return found


def _tensor_fact(tensor: torch.Tensor) -> tuple[Any, ...]:
    fact: tuple[Any, ...] = (
        type(tensor).__name__, id(tensor), str(tensor.device), str(tensor.dtype), str(tensor.layout),
        tensor.requires_grad, tensor.is_leaf, id(tensor.grad) if tensor.is_leaf else None,
        type(tensor.grad_fn).__name__ if tensor.grad_fn is not None else None,
    )  # fmt: skip
    if torch.nn.parameter.is_lazy(tensor):
        return (*fact, "without a shape")
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        if not tensor.is_inference():
            fact = (*fact, tensor._version)
        if tensor.is_nested:
            return fact
        fact = (*fact, tuple(tensor.shape))
        if tensor.layout is not torch.strided:
            return (*fact, tensor._nnz())
        fact = (*fact, tensor.stride(), tensor.data_ptr() if tensor.device.type == "cpu" else None)
        if tensor.device.type == "cpu" and not tensor.is_quantized and tensor.numel():
            flat = tensor.detach().resolve_conj().resolve_neg().contiguous().flatten()
            return (*fact, crc32(flat.view(torch.uint8).numpy().tobytes()))
        return fact


def _checksum(array: np.ndarray) -> int:
    if array.dtype.hasobject:
        return 0
    return crc32(np.ascontiguousarray(array).tobytes())


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (dict, types.MappingProxyType)):
        for key, item in list(dict.items(value) if isinstance(value, dict) else value.items()):
            yield f"[{_key(key)}]", item
            if not isinstance(key, (str, int)):
                yield f"<key {_key(key)}>", key
    elif isinstance(value, (list, tuple, deque)):
        kind = next(kind for kind in (list, tuple, deque) if isinstance(value, kind))
        for i, item in enumerate(list(kind.__iter__(value))):
            yield f"[{i}]", item
    elif isinstance(value, (set, frozenset)):
        for item in list(value):
            yield f"<{_key(item)}>", item
    elif isinstance(value, weakref.ref):
        yield "()", value()
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, (staticmethod, classmethod)):
        yield ".__func__", value.__func__
    elif isinstance(value, property):
        yield ".fget", value.fget
    elif isinstance(value, types.FunctionType):
        yield from ((f".__defaults__[{i}]", item) for i, item in enumerate(value.__defaults__ or ()))
        yield from ((f".__kwdefaults__[{name}]", item) for name, item in (value.__kwdefaults__ or {}).items())
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield f".<{name}>", cell.cell_contents
            except ValueError:  # the cell is empty
                continue


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    own = getattr(value, "__dict__", None) if not isinstance(value, types.MethodType) else None
    if isinstance(own, dict):
        for name, item in list(own.items()):
            if name not in _UNSEEN:
                yield f".{name}", item
    if isinstance(value, torch.Tensor) and value.is_leaf and value.grad is not None:
        yield ".grad", value.grad
    for cls in type(value).__mro__:
        if cls.__module__.split(".")[0] in {"builtins", "torch", "numpy"}:
            continue
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            plain = f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            slot = cls.__dict__.get(plain)
            if name not in _UNSEEN and isinstance(slot, types.MemberDescriptorType):
                try:
                    yield f".{name}", slot.__get__(value)
                except AttributeError:  # nothing was put there yet
                    continue


def _key(key: Any) -> str:
    if isinstance(key, (*_PLAIN, tuple)) and not isinstance(key, tuple):
        return repr(key)
    if isinstance(key, tuple):
        return f"({', '.join(map(_key, key))})"
    return f"{type(key).__name__} at {id(key):#x}"


def _short(fact: Any) -> str:
    text = str(fact[0] if isinstance(fact, tuple) and len(fact) == 2 else fact)
    return text if len(text) < 160 else text[:157] + "…"


def modules_of(*values: Any, imported: bool = True) -> frozenset[str]:
    """Names of the modules that these objects' code can reach: those of their classes, and what these have imported.

    Within the packages of the classes alone, and without torch's. `imported=False`: the classes' own.
    """
    classes = {cls for value in values for module in _parts_of(value) for cls in type(module).__mro__}
    waiting = [cls.__module__ for cls in classes if cls.__module__.split(".")[0] not in _FOREIGN]
    packages = {name.split(".")[0] for name in waiting}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in sys.modules or name.split(".")[0] not in packages:
            continue
        found.add(name)
        if not imported:
            continue
        for held in list(vars(sys.modules[name]).values()):
            if isinstance(held, types.ModuleType):
                waiting.append(held.__name__)
            elif isinstance(held, (type, types.FunctionType)):
                waiting.append(held.__module__ or "")
    return frozenset(found)


def _parts_of(value: Any) -> list[Any]:
    return list(value.modules()) if isinstance(value, torch.nn.Module) else [value]
