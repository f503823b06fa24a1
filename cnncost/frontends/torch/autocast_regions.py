"""Autocast regions: around a recording, requested by option, and inside forward.

A region in a model's code may name `meta` (as `x.device.type` does here) or a GPU that this machine lacks. Torch
rejects the first and disables the second with a warning. Here, such a region turns on autocast for the CPU as well,
because torch's own code (checkpointing, for example) saves and restores the CPU's autocast state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import torch

from cnncost.frontends.torch.autocast import DEVICES, Casting, depth
from cnncost.frontends.torch.autocast_setting import Autocast
from cnncost.frontends.torch.compat.autocast import CAST_PLACE, ENABLED, is_enabled
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.restarts import AutocastNeededError


@contextmanager
def switched_off() -> Iterator[None]:
    """Disable autocast in this context and restore it on exit, with its dtypes, cache setting and nesting depth."""
    before = [(d, torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in _AVAILABLE]
    cache, level = torch.is_autocast_cache_enabled(), depth()
    try:
        for device, enabled, _ in before:
            if enabled:
                torch.set_autocast_enabled(device, False)
        yield
    finally:
        for device, enabled, dtype in before:
            torch.set_autocast_enabled(device, enabled)
            torch.set_autocast_dtype(device, dtype)
        torch.set_autocast_cache_enabled(cache)
        for _ in range(depth() - level):
            torch.autocast_decrement_nesting()


_AVAILABLE = tuple([device for device in DEVICES if torch.amp.is_autocast_available(device)])


@contextmanager
def switched_on(autocast: Autocast | None) -> Iterator[None]:
    """Enter an autocast region in this context, also for a device that this machine lacks. None: no region."""
    if autocast is None:
        yield
        return
    devices = dict.fromkeys((autocast.device, "cpu"))
    before = [(device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in devices]
    torch.autocast_increment_nesting()
    for device in devices:
        _set_autocast(device, True, autocast.dtype)
    try:
        yield
    finally:
        for device, enabled, dtype in before:
            _set_autocast(device, enabled, dtype)
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()


def _set_autocast(device: str, enabled: bool, dtype: torch.dtype) -> None:
    _SET_ENABLED(device, enabled)  # torch's own, which forward's calls go through as well
    _SET_DTYPE(device, dtype)


_SET_ENABLED, _SET_DTYPE = torch.set_autocast_enabled, torch.set_autocast_dtype


@contextmanager
def watched(target: str, casting: Casting | None) -> Iterator[list[Patch]]:
    """Context that yields patches with which this thread can enter and query autocast for `meta` or a missing device.

    Args:
        target: the device that `meta` represents.
        casting: is notified when a region is entered; if None, the first region raises AutocastNeededError.

    Raises:
        AutocastNeededError: raised again on exit if forward caught it.
    """
    regions = _Regions(target, casting)
    wrappers = (
        regions.init, regions.enter, regions.leave, regions.cast, regions.is_enabled, regions.dtype,
        regions.set_enabled, regions.set_dtype, regions.clear_cache, *[regions.set_cpu_enabled] * len(_CPU_PLACES),
    )  # fmt: skip
    # wrap torch's own functions, not the replacements of an outer recording
    replacements = [wrap(_ORIGINALS[place]) for place, wrap in zip(_PLACES, wrappers, strict=True)]
    try:
        yield [Patch(*place, replacement, _WHY) for place, replacement in zip(_PLACES, replacements, strict=True)]
    except Exception:
        if not regions.autocast_needed:
            raise
    finally:
        regions.restore()
    if regions.autocast_needed:
        raise AutocastNeededError


_WHY = "torch rejects regions for meta, and disables those for a missing device"
_CPU_PLACES = tuple([(torch, n) for n in ("set_autocast_cpu_enabled",) if hasattr(torch, n)])  # deprecated
_PLACES: tuple[tuple[Any, str], ...] = (
    (torch.autocast, "__init__"), (torch.autocast, "__enter__"), (torch.autocast, "__exit__"),
    CAST_PLACE, (torch, "is_autocast_enabled"), (torch, "get_autocast_dtype"), (torch, "set_autocast_enabled"),
    (torch, "set_autocast_dtype"), (torch, "clear_autocast_cache"), *_CPU_PLACES,
)  # fmt: skip
_ORIGINALS = {place: getattr(*place) for place in _PLACES}


class _Regions:
    """Replacements for torch's functions: each method takes the original function of `_PLACES` and returns a wrapper.

    A region for a missing device is created for the CPU; its attribute `absent` names the device, and `outer`
    holds the autocast state of that device around the region.
    """

    def __init__(self, target: str, casting: Casting | None) -> None:
        self._target = target
        self._casting = casting
        self._thread = get_ident()
        self._attributes_before: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._in_region = False
        self.autocast_needed = False

    def restore(self) -> None:
        """Restore the attributes of regions, which may outlive the recording, as a decorator's does."""
        for region, attributes in self._attributes_before.values():
            region.__dict__.clear()
            region.__dict__.update(attributes)

    def _device(self, name: Any) -> Any:
        """Return the device that the model's code means: `meta` stands for the target."""
        return self._target if name == "meta" and get_ident() == self._thread else name

    def init(self, original: Any) -> Any:
        def init(
            region: Any, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None
        ) -> None:
            device = self._device(device_type)
            absent = device == "cuda" and get_ident() == self._thread and not torch.cuda.is_available()
            if absent:
                dtype = dtype or torch.get_autocast_dtype(device)
            original(region, "cpu" if absent else device, dtype, enabled, cache_enabled)
            if absent:
                # the attributes to restore: disabled, as torch creates a region for a missing device
                off = {**region.__dict__, "device": device, "fast_dtype": dtype, ENABLED: False}
                self._attributes_before[id(region)] = region, off
                region.absent = device

        return init

    def enter(self, original: Any) -> Any:
        def enter(region: Any) -> Any:
            if get_ident() != self._thread:
                return original(region)
            self._attributes_before.setdefault(id(region), (region, region.__dict__.copy()))
            absent = getattr(region, "absent", None)
            if absent is None and region.device == "cuda" and not is_enabled(region) and not torch.cuda.is_available():
                absent = region.absent = "cuda"  # created before the recording: torch disabled it
                region.device = "cpu"
            if (
                absent is not None
                and not is_enabled(region)
                and (self._casting is None or self._casting.device == "cpu")
            ):
                # it disables autocast for a missing device, where it is off anyway: don't change the CPU's
                setattr(region, ENABLED, torch.is_autocast_enabled("cpu"))
                region.fast_dtype = torch.get_autocast_dtype("cpu")
                region.absent = None
                with self._within_region():
                    return original(region)
            if is_enabled(region):
                if self._casting is None:
                    self.autocast_needed = True
                    raise AutocastNeededError
                self._casting.enter_region(absent or region.device)
            with self._within_region():
                result = original(region)
            if absent is not None:
                region.outer = torch.is_autocast_enabled(absent), torch.get_autocast_dtype(absent)
                _set_autocast(absent, is_enabled(region), region.fast_dtype)
            return result

        return enter

    def leave(self, original: Any) -> Any:
        def leave(region: Any, *error: Any) -> Any:
            if get_ident() == self._thread and (outer := getattr(region, "outer", None)) is not None:
                _set_autocast(region.absent, *outer)
            with self._within_region():
                return original(region, *error)

        return leave

    def cast(self, original: Any) -> Any:
        """Replace the cast of `custom_fwd(cast_inputs=…)`, which checks tensors' devices."""

        def cast(value: Any, device_type: str, dtype: torch.dtype) -> Any:
            if not isinstance(value, torch.Tensor) or not is_meta(value) or get_ident() != self._thread:
                return original(value, device_type, dtype)
            return value.to(dtype) if value.is_floating_point() and value.dtype is not torch.float64 else value

        return cast

    def is_enabled(self, original: Any) -> Any:
        return lambda *args, **kwargs: original(*map(self._device, args), **_mapped_values(self._device, kwargs))

    def dtype(self, original: Any) -> Any:
        return lambda *args, **kwargs: original(*map(self._device, args), **_mapped_values(self._device, kwargs))

    def set_enabled(self, original: Any, default: str = "cuda") -> Any:
        """Replace the function by which code turns autocast on without a region. Regions call it, too."""

        def set_enabled(*args: Any, **kwargs: Any) -> None:
            args, kwargs = tuple(map(self._device, args)), _mapped_values(self._device, kwargs)
            given = (*args, *kwargs.values())
            ours = get_ident() == self._thread and not self._in_region
            if ours and any(value is True for value in given):
                if self._casting is None:
                    self.autocast_needed = True
                    raise AutocastNeededError
                self._casting.turn_on(next((value for value in given if isinstance(value, str)), default))
            original(*args, **kwargs)

        return set_enabled

    def set_cpu_enabled(self, original: Any) -> Any:
        return self.set_enabled(original, "cpu")

    def set_dtype(self, original: Any) -> Any:
        return lambda *args, **kwargs: original(*map(self._device, args), **_mapped_values(self._device, kwargs))

    def clear_cache(self, original: Any) -> Any:
        """Replace the function by which the outermost region drops cached casts at its end."""

        def clear_cache() -> None:
            if self._casting is not None and get_ident() == self._thread:
                self._casting.drop_casts()
            original()

        return clear_cache

    @contextmanager
    def _within_region(self) -> Iterator[None]:
        """Context for torch's code of a region, which calls the functions that are replaced."""
        if get_ident() != self._thread:
            yield
            return
        before, self._in_region = self._in_region, True
        try:
            yield
        finally:
            self._in_region = before


def _mapped_values(function: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: function(value) for name, value in kwargs.items()}
