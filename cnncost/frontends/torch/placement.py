"""Places models on devices that this machine need not have, by emulating `.to("cuda:1")` while a model is built.

Moving a tensor to a device creates it on `meta` and notes the device for its storage, which views and parameters share.
A recording starts from these notes, or else from the tensors' actual devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from cnncost.frontends.torch.claimed import as_device, cuda
from cnncost.frontends.torch.compat.interpreter import frame
from cnncost.frontends.torch.compat.packages import INTERNAL
from cnncost.frontends.torch.compat.tensors import TensorBase, identity_of
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.frontends.torch.meta import META, is_accelerator, is_meta
from cnncost.frontends.torch.offload import moves_weights
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.transfers import with_index
from cnncost.frontends.torch.types import tensors_in
from cnncost.graph import Placement

# getters, as a mode's `__torch_function__` receives them for these attributes
_DEVICE, _IS_CUDA = torch.Tensor.device.__get__, torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]
_MOVES = frozenset({torch.Tensor.to, torch.Tensor.cuda, torch.Tensor.cpu})
_QUERIES = frozenset({_DEVICE, _IS_CUDA})
DEVICE_METHODS = _MOVES | _QUERIES
"""Functions that move a tensor or return its device."""
NOTED: dict[int, tuple[ref[torch.UntypedStorage], torch.device]] = {}
"""The device noted for each storage on `meta`, by the storage's identity. Not a cache: it can't be recomputed."""


@contextmanager
def placement() -> Iterator[None]:
    """Context in which models can be moved to devices that this machine need not have.

        with cnncost.placement():
            model = OverTwoGPUs()  # its code says self.second.to("cuda:1")
        report = cnncost.analyze(model, "128x3x227x227", training=True)
        report.devices  # what each device holds, computes and receives

    A tensor that is moved to a device other than the CPU loses its data and takes no memory. Run all code that computes
    with such tensors in this context, including `copy.deepcopy`: outside of it, the device of the results is unknown.
    """
    with _Placing():
        yield


class _Placing(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call_placed(func, args, kwargs or {})


def concerns(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Return True if a call moves a tensor, queries or names a device, or has an argument that was moved."""
    if func in DEVICE_METHODS or _away(kwargs.get("device")) is not None:
        return True
    return bool(NOTED) and any(noted(tensor) is not None for tensor in tensors_in((args, kwargs)))


def call_placed(func: Any, args: Any, kwargs: dict[str, Any], treatment: Callable[..., Any] | None = None) -> Any:
    """Call a torch function, and note the device of the tensors that it returns.

    `treatment(func, args, kwargs)`, if given, makes the call, except for moves and device queries.
    """
    call = _call if treatment is None else treatment
    if func in _QUERIES:
        # torch's own code gets the actual device, because it computes there
        device = None if (frame(2).f_globals.get("__name__") or "").startswith(INTERNAL) else noted(args[0])
        return func(*args) if device is None else device if func == _DEVICE else device.type == "cuda"
    if func in _MOVES:
        return _moved(func, args, kwargs)
    if func is torch.device and len(args) == 1 and type(args[0]) is int:  # torch raises without an accelerator
        return torch.device("cuda", args[0])
    if (device := _away(kwargs.get("device"))) is not None:
        return _note(call(func, args, {**kwargs, "device": META}), device)
    result = call(func, args, kwargs)
    if NOTED:
        device = next((d for t in tensors_in((args, kwargs)) if (d := noted(t)) is not None), None)
        for tensor in tensors_in(result) if device is not None else ():
            if is_meta(tensor) and noted(tensor) is None:
                _note(tensor, device)
    return result


def _call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


def _moved(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Move a tensor like `to`, `cuda` or `cpu`; to `meta`, with a note, if its old or new device is an accelerator."""
    tensor, *rest = args
    here = noted(tensor)
    if func is torch.Tensor.cpu:
        target: torch.device | None = torch.device("cpu")
        rest = [target, *rest]
    elif func is torch.Tensor.cuda:
        target = cuda(rest[0] if rest else kwargs.pop("device", None))
        rest = [target, *rest[1:]]
    else:
        target = next((d for d in map(as_device, (*rest, kwargs.get("device"))) if d is not None), None)
        like = next((t for t in (*rest, kwargs.get("other")) if isinstance(t, torch.Tensor)), None)
        target = noted(like) if target is None and like is not None else target
    if here is None and (target is None or not is_accelerator(target)):
        return func(*args, **kwargs)
    there = target or here
    rest = [META if as_device(value) is not None else value for value in rest]
    kwargs = {**kwargs, "device": META} if kwargs.get("device") is not None else kwargs
    # on meta, `to` would return the tensor itself, and with it the note of its old device
    copy_option = {"copy": True} if is_meta(tensor) and there != here else {}
    return _note(TensorBase.to(tensor, *rest, **{**kwargs, **copy_option}), there)


def _away(value: Any) -> torch.device | None:
    """Return the device that an argument names if it is an accelerator; else None."""
    if value is None:
        return None
    device = torch.device("cuda", value) if type(value) is int else as_device(value)
    return device if device is not None and is_accelerator(device) else None


def _note(result: Any, device: torch.device | None) -> Any:
    """Note the device of the meta tensors in `result` for as long as their storages live, and return `result`."""
    if device is None:
        return result
    for tensor in tensors_in(result):
        if is_meta(tensor) and tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            key = identity_of(storage)
            NOTED[key] = (ref(storage, lambda gone, key=key: _forget(gone, key)), with_index(device))  # type: ignore[misc]
    return result


def _forget(gone: Any, key: int) -> None:
    if key in NOTED and NOTED[key][0] is gone:
        del NOTED[key]


def noted(tensor: torch.Tensor) -> torch.device | None:
    """Return the device that a tensor on `meta` was moved to; None if it was not moved."""
    if not NOTED or not is_meta(tensor) or tensor.layout is not torch.strided:
        return None
    entry = NOTED.get(identity_of(tensor.untyped_storage()))
    return entry[1] if entry is not None and entry[0]() is not None else None


class Home(NamedTuple):
    """The devices of a model.

    Attributes:
        device: the device of every tensor whose device is not known.
        others: all devices of its parameters and buffers if they are on several; else empty.
    """

    device: torch.device
    others: tuple[torch.device, ...] = ()


def find_home(model: nn.Module, inputs: Inputs, named: torch.device | None, spread: bool = True) -> Home:
    """Return the devices of a model.

    Args:
        model: the model, which may be on several devices.
        inputs: its inputs.
        named: the device that the user chose, if any; it applies to a model on one device.
        spread: whether to distinguish the devices of a model on several.
    """
    if spread and (several := devices_of(model)):
        return Home(next(filter(is_accelerator, several), several[0]), several)
    return Home(named or default_device(model, inputs))


def default_device(model: nn.Module, inputs: Inputs) -> torch.device:
    """Return the device of the first parameter, buffer or input tensor, in this order; the CPU if there is none."""
    tensor = next(chain(model.parameters(), model.buffers(), inputs.user_tensors.values()), None)
    return torch.device("cpu") if tensor is None else noted(tensor) or tensor.device


def devices_of(model: nn.Module) -> tuple[torch.device, ...]:
    """Return the devices of a model's parameters and buffers, in order of appearance.

    Empty if there are fewer than two, or if hooks move weights between devices while forward runs.
    """
    devices = _all_devices(model)
    return () if len(devices) < 2 or moves_weights(model) else devices


def _all_devices(model: nn.Module) -> tuple[torch.device, ...]:
    if not NOTED and not torch.cuda.is_initialized():
        return ()
    found = dict.fromkeys(noted(t) or t.device for t in chain(model.parameters(), model.buffers()))
    return tuple([device for device in found if device.type != "meta"])


def spread_by_hooks(model: nn.Module) -> str:
    """Return the names of the devices over which accelerate's hooks spread a model; "" if they don't."""
    devices = _all_devices(model)
    hooked = len(devices) > 1 and any("_hf_hook" in vars(module) for module in model.modules())
    return ", ".join(map(str, devices)) if hooked else ""


def known_devices(inputs: Inputs, skeleton: Skeleton | None) -> Iterator[tuple[torch.Tensor, torch.device]]:
    """Yield tensors whose devices are known: inputs and, if a skeleton is given, its copies of the model's tensors."""
    yield from inputs.devices()
    if NOTED:
        yield from [(tensor, device) for tensor in inputs.tensors() if (device := noted(tensor)) is not None]
    for original, copy in skeleton.tensors() if skeleton is not None else ():
        if (device := noted(original) or original.device) != META:
            yield copy, device


def placement_of(ledger: TensorTable, home: Home) -> Placement:
    """Return the device of each storage. Accelerators come first in the list of devices."""
    own = with_index(home.device)
    on = [device or own for device in ledger.devices()]
    order = sorted(
        {*on, own, *home.others},
        key=lambda device: (not is_accelerator(device), device.type, device.index or 0),
    )
    return Placement(tuple(map(str, order)), tuple(map(order.index, on)))
