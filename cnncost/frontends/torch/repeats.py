"""Skips a recording that would repeat the last one of the same model, and returns the last Graph.

A recording depends on the model, which `skeleton_cache.py` compares, and on what is compared here: inputs, options,
torch's settings, known values of the model's buffers, and the outside objects that its code uses (`outside.py`). If
anything can't be compared, forward runs. All of this is off unless `SESSION.repeats` is set.
"""

from __future__ import annotations

import locale
import sys
import warnings
from abc import get_cache_token
from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

import torch
from torch import nn
from torch.utils.checkpoint import DefaultDeviceType

from cnncost.frontends.torch.compat.autocast import SUPPORTED_DEVICES
from cnncost.frontends.torch.compat.dispatch import dispatch_modes, function_modes
from cnncost.frontends.torch.compat.modules import any_global_hook, any_registration_hook
from cnncost.frontends.torch.compat.settings import PRINT_OPTIONS, default_mode, validates_distributions
from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.guard import settings
from cnncost.frontends.torch.inputs import Inputs
from cnncost.frontends.torch.kinds import ATOMS, is_hashed_by_identity
from cnncost.frontends.torch.outside import Outside
from cnncost.frontends.torch.reading import UndetectableError
from cnncost.graph import Graph
from cnncost.opaque import registered

_MAX_ELEMENTS = 1 << 20
"""Maximum number of elements, in inputs and buffers with known values, that are compared each time."""
_MAX_SNAPSHOTS = 3
"""Maximum number of snapshots of the outside state. If it changes more often, recordings are no longer compared."""
_TENSORS = frozenset({torch.Tensor, nn.Parameter})


_SETTINGS: tuple[Callable[[], Any], ...] = (
    settings, torch.get_default_dtype, torch.is_grad_enabled, torch.is_inference_mode_enabled,
    torch.are_deterministic_algorithms_enabled, torch.is_deterministic_algorithms_warn_only_enabled,
    torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.mem_efficient_sdp_enabled,
    torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.cudnn_sdp_enabled,
    torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed, torch.backends.mha.get_fastpath_enabled,
    validates_distributions, get_cache_token, lambda: tuple(warnings.filters),
    lambda: [(torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in SUPPORTED_DEVICES],
    torch.is_autocast_cache_enabled, torch.compiler.is_compiling, torch.compiler.is_exporting,
    torch.__future__.get_overwrite_module_params_on_conversion, torch.__future__.get_swap_module_params_on_conversion,
    DefaultDeviceType.get_device_type, lambda: repr(PRINT_OPTIONS), lambda: locale.setlocale(locale.LC_ALL),
    sys.get_int_max_str_digits, sys.getrecursionlimit,
)  # fmt: skip
"""Functions that return settings which change the behavior of torch or of a recording."""
_SWITCHES: tuple[tuple[Any, str], ...] = (
    (torch.backends.mkldnn, "enabled"), (torch.backends.opt_einsum, "enabled"), (torch.backends.opt_einsum, "strategy"),
    (torch.backends.quantized, "engine"), (warnings, "showwarning"),
    (warnings, "defaultaction"),
    (torch.utils.deterministic, "fill_uninitialized_memory"),
)  # fmt: skip
"""Attributes that are such settings: owner and name."""


def has_process_group() -> bool:
    """Return True if there is a default process group, which layers such as SyncBatchNorm use."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class RecordingKey:
    """The data by which recordings are compared: inputs, options, settings, and known values of the model's buffers.

    Args:
        inputs: the inputs as prepared for the recording.
        others: options and other objects, which are compared by equality.
        buffers: the user's tensors whose values the recording may read.

    Raises:
        UndetectableError: something can't be compared.
    """

    def __init__(self, inputs: Inputs, others: tuple[Any, ...], buffers: Iterable[torch.Tensor]) -> None:
        if dispatch_modes() or function_modes() or default_mode() is not None or has_process_group():
            raise UndetectableError("a mode around the recording, or a process group")
        if any_global_hook() or any_registration_hook() or registered():
            raise UndetectableError("a global module hook, or a rule: forward may create layers of any class")
        self._others = others
        self._settings = [get() for get in _SETTINGS], [getattr(*switch) for switch in _SWITCHES]
        self._notes = inputs.notes, inputs.examples
        self._inputs = _Shapes(inputs).description
        self._values = [tensor.detach() for tensor in (*inputs.data.values(), *buffers)]
        if sum(map(torch.Tensor.numel, self._values)) > _MAX_ELEMENTS:
            raise UndetectableError("too many values to compare")

    def copy_values(self) -> RecordingKey:
        """Replace the values with copies, so that the key refers to none of the user's objects, and return the key."""
        self._values = [_bits(tensor).clone() for tensor in self._values]
        return self

    def same(self, other: RecordingKey) -> bool:
        """Return True if recordings of the same model with this key and `other` have the same Graph.

        `copy_values` must have been called on this key.
        """
        return (
            self._inputs == other._inputs
            and self._others == other._others
            and self._settings == other._settings
            and self._notes == other._notes
            and len(self._values) == len(other._values)
            and all(map(torch.equal, self._values, map(_bits, other._values)))
        )


_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the elements reinterpreted as integers: then 0.0 and -0.0 differ, and NaNs with equal bits are equal."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        return tensor
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    integer = _INTEGERS.get(tensor.itemsize)  # None for complex128: no integer dtype is that wide
    return torch.view_as_real(tensor).view(torch.int64) if integer is None else tensor.view(integer)


class _Shapes:
    """Describes arguments in a form that can be compared.

    `description` consists of nested tuples of containers' classes, plain values, and the geometry of tensors.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._storages: dict[int, int] = {}
        self._tensors: dict[int, int] = {}
        self._containers: dict[int, int] = {}
        """Index of each container, by id. A container that is passed twice is one object in forward, too."""
        self._inputs = inputs
        self._loose = inputs.loose()
        self.description = (
            self._describe(inputs.args), self._describe(inputs.kwargs),
            tuple([self._tensor(t) for t in inputs.tensors()]),
        )  # fmt: skip

    def _describe(self, value: Any) -> Any:
        kind = type(value)
        if not is_hashed_by_identity(kind):
            raise UndetectableError("an input whose metaclass defines equality of classes")
        if kind in ATOMS and kind is not type:
            return kind, repr(value) if kind is float else value
        if kind in _TENSORS:
            return self._tensor(value)
        if (index := self._containers.get(id(value))) is not None:
            return index
        self._containers[id(value)] = len(self._containers)
        if kind in {tuple, list}:
            return kind, tuple([self._describe(item) for item in value])
        if kind is dict:
            return kind, tuple([(self._describe(name), self._describe(item)) for name, item in value.items()])
        raise UndetectableError(f"an input that is a {kind.__qualname__}")

    def _tensor(self, tensor: torch.Tensor) -> Any:
        if type(tensor) not in _TENSORS or tensor.layout is not torch.strided or tensor.__dict__:
            raise UndetectableError("an input that is not a plain tensor")
        if id(tensor) in self._tensors:
            return self._tensors[id(tensor)]
        self._tensors[id(tensor)] = len(self._tensors)
        storage = tensor.untyped_storage()
        shared = self._storages.setdefault(identity_of(storage), len(self._storages))
        inputs, key = self._inputs, id(tensor)
        user_tensor = inputs.user_tensors.get(key)
        return (
            type(tensor), tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype, tensor.requires_grad,
            tensor.is_conj(), tensor.is_neg(), tensor.device, shared, storage.nbytes(), key in inputs.data,
            key in inputs.floats, key in self._loose,
            tensor.is_inference(), getattr(tensor, "names", None), None if user_tensor is None else user_tensor.device,
        )  # fmt: skip


class Repeats:
    """The last recording of a cached skeleton, with the data that tells whether the next one would repeat it.

    Args:
        originals: the user's modules.
    """

    def __init__(self, originals: list[nn.Module]) -> None:
        self._originals = [ref(module) for module in originals]
        self._outside: Outside | None = None
        self._snapshots = 0
        self._key: RecordingKey | None = None
        self._graph: Graph | None = None
        self.why_not = ""
        """Why the next recording has to run, whatever its key; empty if it may be skipped."""

    def known_graph(self, key: RecordingKey | None) -> Graph | None:
        """Return the last Graph if a recording with this key would give it again; None if the recording has to run."""
        if key is None or self._graph is None or self._key is None or self._outside is None:
            return None
        return self._graph if self._key.same(key) and self._outside.same() else None

    def before_recording(self, key: RecordingKey | None) -> None:
        """Store the key and a snapshot of the outside state for the recording that is about to run."""
        self._graph, self._key = None, None
        if key is None or self.why_not:
            return
        if self._outside is None or not self._outside.same():
            self._take_snapshot()
        if self._outside is not None:
            self._key = key.copy_values()

    def _take_snapshot(self) -> None:
        self._outside, self._snapshots = None, self._snapshots + 1
        if self._snapshots > _MAX_SNAPSHOTS:
            self.why_not = "the state outside the model changes from one recording to the next"
            return
        try:
            self._outside = Outside([module for each in self._originals if (module := each()) is not None])
        except UndetectableError as reason:
            self.why_not = str(reason)

    def after_recording(self, graph: Graph) -> None:
        """Store the Graph of a recording for the next one, unless forward failed or the key lacks what the Graph needs.

        The key does not cover random draws, values that forward read, and attention masks.
        """
        if self._key is not None and graph.real is None and graph.failed is None and not graph.masks:
            self._graph = graph
