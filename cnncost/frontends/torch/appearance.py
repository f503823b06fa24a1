"""Attributes that tensors without data report while forward runs: the device they represent, and autograd's state.

Forward may read a tensor's device, its `requires_grad` or its values. A `meta` tensor that represents one on the CPU
must answer as that one would; otherwise forward may take a different branch than in a real call. Torch's kernels and
decompositions and this front end need the true attributes. They are recognized by the calling module; kernels, also by
the recorder's mode, which is off while they run.

When inference is recorded, autograd is off, because composite ops then arrive undecomposed. If forward needs something
that only autograd provides, the recording is aborted and restarted with autograd on.
"""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

import torch

from cnncost.frontends.torch import legacy_types, transfers
from cnncost.frontends.torch.addresses import Address
from cnncost.frontends.torch.blocks import StorageRecord
from cnncost.frontends.torch.caller import Caller, requesting_module
from cnncost.frontends.torch.claimed import as_device, creating_on, cuda, host_creation_patches, same_device
from cnncost.frontends.torch.compat.interpreter import frame
from cnncost.frontends.torch.compat.modules import PAD_PACKED_PLACE
from cnncost.frontends.torch.compat.packages import BETWEEN, INTERNAL
from cnncost.frontends.torch.compat.tensors import (
    MAKE_SUBCLASS_PLACE,
    SHAPE_AS_TENSOR_PLACE,
    StorageBase,
    TensorBase,
    identity_of,
    make_subclass,
)
from cnncost.frontends.torch.imports import outside_recording
from cnncost.frontends.torch.meta import META, is_accelerator, is_meta
from cnncost.frontends.torch.patches import Patch
from cnncost.frontends.torch.protocols import Recording
from cnncost.frontends.torch.restarts import GradNeededError
from cnncost.frontends.torch.subclasses import constructors
from cnncost.frontends.torch.without_autograd import WithoutAutograd

device_of: Callable[[torch.Tensor], torch.device] = TensorBase.device.__get__
_device_of_storage: Callable[[torch.UntypedStorage], torch.device] = StorageBase.device.__get__
_CPU = torch.device("cpu")
_SEES_META = (INTERNAL, "cnncost.frontends.")
"""Prefixes of modules that need tensors' true devices: kernels, decompositions and the recorder."""
_BETWEEN = ("cnncost.frontends.", *BETWEEN)
"""Prefixes of modules on the call stack between a torch function and the recorder."""
_WHY_DEVICES = "tensors are on meta, and forward should see the device that they represent"
_WHY_VALUES = "a tensor on meta has no values, but the recorder may have them"
_WHY_POINTERS = "the function writes through the data pointers of tensors that it creates"
_WHY_IMPORTS = "a module that forward imports would bind replacements permanently, and its tensors would be recorded"
_DLPACK = {"cpu": 1, "cuda": 2, "mps": 8}
"""Device type codes from DLPack's header."""
_DLPACK_DEVICE = torch.Tensor.__dlpack_device__
_FORMAT: Any = torch.Tensor.__format__


class Appearance:
    """Answers forward's queries about the tensors of one recording.

    Args:
        recorder: the recorder of the tensors.
        device: their device, unless another was registered.
        grad: whether autograd is on for the caller; None if the recording itself has autograd on.
        bare: whether the model was built on `meta` instead of the device, and may have stored `meta` as its device.
        several: whether the model is on other devices besides `device`.
    """

    def __init__(self, recorder: Recording, device: torch.device, grad: bool | None, bare: bool = False,
                 several: bool = False) -> None:  # fmt: skip
        self._recorder = recorder
        self._device = device
        self._bare = bare
        self.several = several
        self._moving = False
        self.nodes = recorder.nodes
        self._caller = Caller()
        self.is_ours = self._caller.is_ours
        """Whether the caller is the model's code."""
        self._autograd = None if grad is None else WithoutAutograd(recorder, grad, self.is_ours)
        self._moved: dict[int, tuple[ref[torch.Tensor], torch.device]] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Context for running forward; enter it inside the recorder's mode, and apply the patches inside it.

        Raises:
            GradNeededError: forward asked for something that only autograd provides.
        """
        self._caller.start()
        try:
            with creating_on(self._device, self._place_away, self.several):
                yield
        except Exception:
            if not self._needs_autograd():
                raise
        if self._needs_autograd():
            raise GradNeededError

    def _needs_autograd(self) -> bool:
        """True if forward asked for something that only autograd provides, even if it caught our exception."""
        return self._autograd is not None and self._autograd.missed

    def at_home(self, device: torch.device) -> bool:
        """True if a device is the model's, or `meta` and the model was built on that."""
        return device == self._device or (self._bare and device == META)

    def place(self, tensor: torch.Tensor, device: torch.device, away: bool = True) -> None:
        """Register that a tensor is on a device. `away` is explained in `transfers.DeviceTable.place`."""
        if device != self._device or self._moved:  # the model's device needs no entry before the first move
            self._moved[id(tensor)] = (ref(tensor), device)
            self._recorder.follows_devices = True
            if is_accelerator(self._device) and (block := self._recorder.ledger.block_of(tensor)) is not None:
                block.device = device = transfers.with_index(device)
                self.several = self.several or (is_accelerator(device) and not same_device(device, self._device))
                if device.type != "cpu" or self.several:
                    block.use = "activation" if block.use == "elsewhere" else block.use
                elif away:
                    block.use = "elsewhere"  # not counted

    def store_device(self, tensor: torch.Tensor, block: StorageRecord) -> None:
        """If the model is on several devices, set a new storage's to that of its tensor, already registered."""
        if self.several:
            block.device = transfers.with_index(self.claimed(tensor))

    def _place_away(self, tensor: torch.Tensor, device: torch.device) -> None:
        if not same_device(device, self._device):
            self.place(tensor, device)

    def names_meta(self, device: torch.device | None) -> bool:
        """True if the model's code, not a kernel, requests `meta` for a new tensor although the model is elsewhere."""
        if device != META or self.at_home(device):
            return False
        name = requesting_module(frame(2), _BETWEEN)
        return name is not None and not name.startswith(_SEES_META)

    def claimed(self, tensor: torch.Tensor) -> torch.device:
        """Return the device that a tensor without data represents."""
        moved = self._moved.get(id(tensor)) if self._moved else None
        if moved is not None and moved[0]() is tensor:
            return moved[1]
        block = self._recorder.ledger.block_of(tensor) if self.several else None
        return self._device if block is None or block.device is None else block.device

    # ---- the caller

    def _device_for(self, tensor: torch.Tensor) -> torch.device:
        """Return the device to report to the function two frames up."""
        real = device_of(tensor)
        if real != META or self._recorder.on_values or not self.is_ours():
            return real
        caller = frame(2).f_globals.get("__name__") or ""
        return real if caller.startswith(_SEES_META) else self.claimed(tensor)

    def _storage_device(self, storage: torch.UntypedStorage) -> torch.device:
        real = _device_of_storage(storage)
        if real != META or self._recorder.on_values or not self.is_ours():
            return real
        caller = frame(2).f_globals.get("__name__") or ""
        return real if caller.startswith(_SEES_META) else self._device

    def _address(self, tensor: torch.Tensor) -> int | Address:
        """Return a data pointer that is equal for tensors with the same storage and offset, and only for these."""
        if not is_meta(tensor) or self._recorder.on_values or not self.is_ours() or not tensor.numel():
            return int(TensorBase.data_ptr(tensor))
        return Address(identity_of(tensor.untyped_storage()), int(tensor.storage_offset()) * tensor.element_size())

    def _dlpack_device_for(self, tensor: torch.Tensor) -> Any:
        """Return the device in DLPack's numbering."""
        if not is_meta(tensor) or self._recorder.on_values or not self.is_ours():
            return _DLPACK_DEVICE(tensor)
        device = self.claimed(tensor)
        return (_DLPACK[device.type], device.index or 0) if device.type in _DLPACK else _DLPACK_DEVICE(tensor)

    def _make_subclass_for(self, kind: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Replace `Tensor._make_subclass`: a parameter created from a tensor is on the tensor's device."""
        result = make_subclass(kind, tensor, *args, **kwargs)
        if self._moved and is_meta(tensor) and self.is_ours():
            self.place(result, self.claimed(tensor))
        return result

    def _storage_address(self, storage: torch.UntypedStorage) -> int | Address:
        real = _device_of_storage(storage) != META or self._recorder.on_values or not self.is_ours()
        return int(StorageBase.data_ptr(storage)) if real else Address(identity_of(storage))

    def patches(self) -> list[Patch]:
        """Return patches of tensors' attributes, and of functions that create or move tensors, or import modules."""
        table = self._device_patches() + self._value_patches() + constructors(self.is_ours, self._recorder.copy_values)
        table += legacy_types.patches(self._is_legacy_type)
        for owner, name in ((builtins, "__import__"), (importlib, "import_module")):
            table.append(Patch(owner, name, outside_recording(getattr(owner, name), self._caller), _WHY_IMPORTS))
        if is_accelerator(self._device):
            table += host_creation_patches(lambda t: self.place(t, _CPU) if is_meta(t) and self.is_ours() else None)
        return table if self._autograd is None else table + self._autograd.patches()

    def _device_patches(self) -> list[Patch]:
        table: dict[str, Any] = {
            "device": property(lambda t: self._device_for(t)),  # noqa: PLW0108  # `_device_for` looks two frames up
            "get_device": lambda t: -1 if (d := self._device_for(t)).type in {"cpu", "meta"} else d.index or 0,
            "data_ptr": lambda t: self._address(t),  # noqa: PLW0108  # a function binds to the tensor
            "__dlpack_device__": lambda t: self._dlpack_device_for(t),  # noqa: PLW0108  # as above
            "to": lambda t, *args, **kwargs: self._to(TensorBase.to, t, args, kwargs),
            "cpu": lambda t, *args, **kwargs: self._to(TensorBase.to, t, (_CPU, *args), kwargs),
            "type": lambda t, *args, **kwargs: self._type(t, args, kwargs),
        }
        if is_accelerator(self._device):
            table["cuda"] = lambda t, device=None, **kwargs: self._to(TensorBase.to, t, (cuda(device),), kwargs)
        table |= {f"is_{kind}": _is_on(self, kind) for kind in ("meta", "cpu", "cuda", "mps", "xpu")}
        device = property(lambda s: self._storage_device(s))  # noqa: PLW0108  # it looks two frames up
        return [
            *[Patch(torch.Tensor, name, replacement, _WHY_DEVICES) for name, replacement in table.items()],
            Patch(*MAKE_SUBCLASS_PLACE, staticmethod(self._make_subclass_for), _WHY_DEVICES),
            Patch(torch.UntypedStorage, "device", device, _WHY_DEVICES),
            Patch(torch.UntypedStorage, "data_ptr", lambda s: self._storage_address(s), _WHY_DEVICES),  # noqa: PLW0108  # as above
        ]

    def _value_patches(self) -> list[Patch]:
        tensor: Any = torch.Tensor
        splits = [
            Patch(owner, "tensor_split", self._with_numbers(split, "tensor_indices_or_sections"), _WHY_VALUES)
            for owner, split in ((torch, torch.tensor_split), (tensor, TensorBase.tensor_split))
        ]
        pointers = [  # `ctc_loss` takes the mean over lengths that it puts into a tensor
            Patch(*place, self._with_memory(getattr(*place)), _WHY_POINTERS)
            for place in (PAD_PACKED_PLACE, (torch, "ctc_loss"))
        ]
        return [
            *splits, *pointers,
            Patch(tensor, "numpy", lambda t, *, force=False: self._numpy(t, force=force), _WHY_VALUES),
            Patch(tensor, "tolist", lambda t: self._tolist(t), _WHY_VALUES),  # noqa: PLW0108  # a function binds to the tensor
            Patch(tensor, "__format__", lambda t, how: self._format(t, how), _WHY_VALUES),  # noqa: PLW0108  # as above
            Patch(*SHAPE_AS_TENSOR_PLACE, lambda t: torch.tensor(list(t.shape)), _WHY_VALUES),
        ]  # fmt: skip

    def _with_numbers(self, original: Any, name: str) -> Any:
        """Wrap a function that reads the values of its second argument, `name`: pass numbers instead of a tensor."""

        def function(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if name in kwargs:
                args = (kwargs.pop(name), *args)
            return original(tensor, *[self._tolist(a) if isinstance(a, torch.Tensor) else a for a in args], **kwargs)

        return function

    def _with_memory(self, original: Any) -> Any:
        """Wrap a function that writes through the data pointers of tensors that it creates: give them real memory."""

        def function(*args: Any, **kwargs: Any) -> Any:
            ours = self.is_ours()
            self._recorder.makes_values(ours)
            try:
                return original(*args, **kwargs)
            finally:
                if ours:
                    self._recorder.makes_values(False)

        return function

    # ---- moving

    def _to(self, original: Any, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace `Tensor.to` and the like, which would not see the devices that tensors represent."""
        if self._moving or not is_meta(tensor) or not self.is_ours():
            return original(tensor, *args, **kwargs)
        self._moving = True  # a function mode around this call would call the replaced method again
        try:
            moved = transfers.moved(self, tensor, args, kwargs)
            return self._placed(original, tensor, args, kwargs) if moved is None else moved
        finally:
            self._moving = False

    def _placed(self, original: Any, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Move a tensor, and register the device of the result. `original` sees only `meta`."""
        here = self.claimed(tensor)
        target = next((d for d in map(as_device, (*args, kwargs.get("device"))) if d is not None), None)
        if target is None:
            other = next((a for a in (*args, kwargs.get("other")) if isinstance(a, torch.Tensor)), None)
            result = original(tensor, *args, **kwargs)
            if other is not None and result is not tensor and self._moved:
                self.place(result, self.claimed(other))
            elif other is not None and self._moved and not same_device(self.claimed(other), here):
                result = original(tensor, *args, **{**kwargs, "copy": True})  # a new tensor, on another device
                self.place(result, self.claimed(other))
            return result
        if not same_device(target, here) and not (self._bare and target == META):
            both_accelerators = is_accelerator(target) and is_accelerator(self._device)
            if device_of(tensor) == target or both_accelerators:  # torch would return the tensor, or lacks the device
                args = tuple([META if as_device(a) is not None else a for a in args])
                kwargs = {**kwargs, "copy": True} | ({"device": META} if kwargs.get("device") is not None else {})
            result = original(tensor, *args, **kwargs)
            if isinstance(result, torch.Tensor) and is_meta(result):
                self.place(result, target)
            return result
        args = tuple([META if as_device(a) is not None else a for a in args])  # the device stays the same
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": META}
        result = original(tensor, *args, **kwargs)
        if result is not tensor and self._moved:
            self.place(result, here)
        return result

    def _type(self, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace `Tensor.type`, which returns a name such as `torch.FloatTensor`, or casts."""
        result = TensorBase.type(tensor, *args, **kwargs)
        if isinstance(result, str) and is_meta(tensor) and self.is_ours():
            return self._type_name(tensor, result)
        return result

    def _type_name(self, tensor: torch.Tensor, name: str) -> str:
        """Replace `meta` in the name of a legacy type by the device that the tensor represents."""
        kind = self.claimed(tensor).type
        return name.replace("torch.meta.", "torch." if kind == "cpu" else f"torch.{kind}.")

    def _is_legacy_type(self, kind: Any, value: Any) -> bool | None:
        """True if a tensor is of a type such as `torch.FloatTensor`; None if torch should decide."""
        if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
            return None
        if not is_meta(value) or not self.is_ours():
            return None
        return self._type_name(value, TensorBase.type(value)) == f"{kind.__module__}.{kind.__name__}"

    # ---- values

    def _numpy(self, tensor: torch.Tensor, *, force: bool = False) -> Any:
        return TensorBase.numpy(self._readable(tensor, "numpy"), force=force)

    def _format(self, tensor: torch.Tensor, spec: str) -> str:
        if spec and tensor.dim() == 0 and is_meta(tensor) and self.is_ours():
            return format(tensor.item(), spec)  # or an error: the value is not known
        return str(_FORMAT(tensor, spec))

    def _tolist(self, tensor: torch.Tensor) -> Any:
        return TensorBase.tolist(self._readable(tensor, "tolist"))  # torch would crash if it has no data, but an offset

    def _readable(self, tensor: torch.Tensor, method: str) -> torch.Tensor:
        """Return a copy of the values that a tensor represents, or the tensor itself if it has data or no elements."""
        values = self._recorder.read(tensor) if self.is_ours() else None
        if values is None and is_meta(tensor) and tensor.numel():
            raise self._recorder.refuse(RuntimeError(f"{method}() of a tensor with unallocated storage"))
        return tensor if values is None else values


def _is_on(appearance: Appearance, kind: str) -> property:
    return property(lambda t: appearance._device_for(t).type == kind)
