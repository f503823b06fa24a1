"""Tensors that forward saves to files, and loads from them.

A tensor without data would be saved as such and take the place of values: of a checkpoint, or of a cache on disk, which
would be broken for good. So what is saved is read, like any other value, and a file is not opened, which empties it,
before that is known. A tensor that is loaded has values: it is a constant. What autograd saves may be packed into a
file: backward loads it again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from os import PathLike
from typing import Any

import torch

from cnncost.errors import DataDependentError
from cnncost.frontends.torch.compat.autograd import packs_saved_tensors
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.compat.interpreter import frame, open_places
from cnncost.frontends.torch.compat.tensors import (
    OPEN_ZIP_PLACE,
    REBUILD_PLACE,
    StorageBase,
    is_meta,
    rebuilding_arguments,
    rebuilt,
    untyped,
)
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.patches import Patch

_reduce: Callable[[torch.Tensor, Any], Any] = torch.Tensor.__reduce_ex__
_device_of: Callable[[torch.UntypedStorage], torch.device] = StorageBase.device.__get__
_open_zip, _rebuild = getattr(*OPEN_ZIP_PLACE), getattr(*REBUILD_PLACE)
_WHY_SAVED = "a tensor without data would be saved in place of values"
_WHY_OPENED = "opening a file empties it, and only then what would be saved turns out to have no values"
_WHY_LOADED = "the tensor would be created on meta, and torch refuses to give it the storage that was loaded"


def patches(
    is_ours: Callable[[], bool],
    read: Callable[[torch.Tensor], torch.Tensor | None],
    refuse: Callable[[Exception], Exception],
) -> list[Patch]:
    """Return patches of what pickles, saves and loads tensors in a recording without data.

    Args:
        is_ours: returns whether the caller is the model's code.
        read: returns a copy of the values of a tensor without data, or None if they are not known.
        refuse: notes an error that the model's code gets, and returns it.
    """

    def reduce_tensor(tensor: torch.Tensor, protocol: Any) -> Any:
        if not is_meta(tensor) or not is_ours() or packs_saved_tensors():
            return _reduce(tensor, protocol)
        if frame(1).f_code is copy.copy.__code__:
            return rebuilt, rebuilding_arguments(tensor)
        if (values := read(tensor)) is None:
            raise refuse(_reads("pickling or saving it"))
        with without_modes():
            return _reduce(values, protocol)

    def open_file(original: Callable[..., Any], file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        by_path = isinstance(file, (str, bytes, PathLike)) and kwargs.get("opener") is None
        if by_path and _may_save_tensors(mode) and is_ours() and not packs_saved_tensors():
            raise refuse(_reads(f"opening {_named(file)} to save it"))
        return original(file, mode, *args, **kwargs)

    def open_zip(file: Any) -> Any:
        if isinstance(file, (str, PathLike)) and is_ours() and not packs_saved_tensors():
            raise refuse(_reads(f"torch.save to {_named(file)}"))
        return _open_zip(file)

    def rebuild(storage: Any, *geometry: Any) -> Any:
        with nullcontext() if _device_of(untyped(storage)) == META or not is_ours() else without_modes():
            tensor = _rebuild(storage, *geometry)
        return tensor if is_meta(tensor) or not is_ours() else torch.ops.aten.lift_fresh.default(tensor)

    return [
        Patch(torch.Tensor, "__reduce_ex__", reduce_tensor, _WHY_SAVED),
        *[Patch(*place, partial(open_file, getattr(*place)), _WHY_OPENED) for place in open_places()],
        Patch(*OPEN_ZIP_PLACE, open_zip, _WHY_OPENED),
        Patch(*REBUILD_PLACE, rebuild, _WHY_LOADED),
    ]


def _may_save_tensors(mode: Any) -> bool:
    """True if a file is opened to write bytes: text is no tensor's."""
    return isinstance(mode, str) and "b" in mode and not {"w", "x", "a", "+"}.isdisjoint(mode)


def _named(file: Any) -> str:
    name = file.__fspath__() if isinstance(file, PathLike) else file
    return name if isinstance(name, str) else repr(name)


def _reads(what: str) -> DataDependentError:
    return DataDependentError(f"{what} reads the values of a tensor")
