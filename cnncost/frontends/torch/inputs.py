"""Turn the user's inputs into tensors without data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from weakref import ref

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.tensors import identity_of
from cnncost.frontends.torch.copies import Copier
from cnncost.frontends.torch.input_shapes import dtype_of, empty, is_shape, positive, reject_fractions
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.running import REAL_LIMIT, meta_like
from cnncost.frontends.torch.types import tensors_in
from cnncost.shapes import Literal, TensorText, looks_like_shape, parse_shape


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arguments of forward, with all tensors on `meta`.

    Attributes:
        data: known values of tensors, by the tensor's `id`.
        user_tensors: the user's tensor with data that a tensor on `meta` represents, by the latter's `id`.
        floats: ids of the floating-point tensors whose values are in `data`.
        created: all tensors created from the user's, in order of creation.
        lasting: those of `created` that the caller holds while forward runs. Others are in containers and objects that
            forward may write to, such as a cache: they die when nothing refers to them any more.
        notes: how ambiguous inputs were interpreted.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    data: dict[int, torch.Tensor] = field(default_factory=dict)
    user_tensors: dict[int, torch.Tensor] = field(default_factory=dict)
    floats: set[int] = field(default_factory=set)
    created: tuple[ref[torch.Tensor], ...] = ()
    lasting: tuple[torch.Tensor, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def examples(self) -> int | None:
        """Number of examples if the first input is a list of tensors; None if the batch is an axis."""
        first = next(iter(self.args or self.kwargs.values()), None)
        if not isinstance(first, list) or not first or not all(isinstance(item, torch.Tensor) for item in first):
            return None
        return len(first)

    def originals(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return pairs of a user's tensor that has values and the tensor that represents it."""
        return [(self.user_tensors[id(tensor)], tensor) for tensor in self._alive() if id(tensor) in self.user_tensors]

    def _alive(self) -> Iterator[torch.Tensor]:
        return (tensor for reference in self.created if (tensor := reference()) is not None)

    def loose(self) -> set[int]:
        """Return the ids of the tensors that are not in `lasting`: they may die during the run."""
        lasting = set(map(id, self.lasting))
        return {id(tensor) for tensor in self._alive() if id(tensor) not in lasting}

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield all tensors, in order, each once."""
        visited: set[int] = set()
        for tensor in (*tensors_in((self.args, self.kwargs)), *self._alive()):
            if id(tensor) not in visited:
                visited.add(id(tensor))
                yield tensor

    def devices(self) -> Iterator[tuple[torch.Tensor, torch.device]]:
        """Yield each tensor that represents a user's tensor with values, and the device of the latter."""
        for original, tensor in self.originals():
            yield tensor, original.device


def literal(value: Any) -> Any:
    """Wrap a value to pass to forward unchanged: `literal((16, 16))` is a tuple of numbers, not a tensor's shape."""
    return Literal(value)


def arguments(*positional: Any, **named: Any) -> Any:
    """Combine positional and keyword inputs: `arguments((1, 3, 32, 32), scale=2)` for `forward(x, *, scale)`."""
    return Arguments(positional, named)


def prepare(inputs: Any, model: nn.Module, floats: bool = False) -> Inputs:
    """Return forward's positional and keyword arguments, with tensors on `meta`.

    A shape without a dtype gets that of the model's first floating-point parameter, or else the default dtype. Integer
    and boolean tensors with few elements keep their values, because forward may read them (lengths, positions); with
    `floats`, others do as well. Containers and objects that hold tensors are copied, by their own copy protocol.

    Raises:
        InputError: a value can't become a tensor, a size is less than 1, or a dtype is unknown.
    """
    create = _Maker(_parameter_dtype(model), floats)
    if inputs is None:
        raise InputError("inputs: expected shapes or tensors, got None; give for example inputs='1x3x224x224'")
    if not is_shape(inputs):
        reject_fractions(inputs, "inputs")
    create.any_tensor, create.any_dense_tensor = _has_tensor(inputs, lambda _: True), _has_tensor(inputs, _is_dense)
    if isinstance(inputs, Mapping):
        call: tuple[Any, dict[str, Any]] = (), {str(n): create(v, str(n)) for n, v in inputs.items()}
    elif _is_arguments(inputs):
        positional, named = _split_arguments(inputs)
        call = (
            tuple([create(v, f"inputs[{i}]") for i, v in enumerate(positional)]),
            {name: create(value, name) for name, value in named.items()},
        )
    elif isinstance(inputs, (str, torch.Tensor, TensorText, PackedSequence, Literal)) or is_shape(inputs):
        create.any_tensor = create.any_dense_tensor = False
        call = (create(parse_shape(inputs) if isinstance(inputs, str) else inputs, "inputs"),), {}
    elif hasattr(inputs, "__dict__") and not isinstance(inputs, (type, nn.Module)):
        call = (create(inputs, "inputs"),), {}
    else:
        raise InputError(
            f"inputs: expected tensors, shapes such as (1, 3, 224, 224) or '1x3x224x224', or tuples and dicts of them, "
            f"got {type(inputs).__name__}"
        )
    created, lasting, notes = tuple(create.created), tuple(create.lasting), tuple(create.notes)
    return Inputs(*call, create.data, create.user_tensors, create.floats, created, lasting, notes)


def _is_arguments(inputs: Any) -> bool:
    """True if these are all positional arguments of forward, rather than a single one."""
    return (
        isinstance(inputs, (tuple, list))
        and not isinstance(inputs, (TensorText, PackedSequence))
        and not is_shape(inputs)
    )


def _split_arguments(inputs: Any) -> tuple[Any, dict[str, Any]]:
    """Return positional and keyword arguments; only `Arguments` has the latter."""
    return (inputs.positional, inputs.named) if isinstance(inputs, Arguments) else (inputs, {})


class Arguments(tuple[Any, ...]):  # noqa: SLOT001  # subclasses of tuple can't have nonempty slots
    """Positional and keyword arguments, created by `arguments`."""

    positional: tuple[Any, ...]
    named: dict[str, Any]

    def __new__(cls, positional: tuple[Any, ...], named: dict[str, Any]) -> Self:
        nest = super().__new__(cls, (*positional, *named.values()))
        nest.positional, nest.named = positional, named
        return nest


class _Maker(Copier):
    """Creates arguments from the user's inputs. Attributes that it shares with `Inputs` become the result's."""

    def __init__(self, dtype: torch.dtype, keep_floats: bool) -> None:
        super().__init__()
        self.dtype = dtype
        self.any_tensor = False
        """Whether tensors were passed, so that a shape may have been meant as numbers, which is noted."""
        self.any_dense_tensor = False
        """Whether floating-point tensors were passed, so that tuples of integers are numbers and not shapes."""
        self.notes: list[str] = []
        self.data: dict[int, torch.Tensor] = {}
        self.user_tensors: dict[int, torch.Tensor] = {}
        self.floats: set[int] = set()
        self.created: list[ref[torch.Tensor]] = []
        self.lasting: list[torch.Tensor] = []
        self._depth = 0
        """Number of mutable containers and objects around the value that is being copied."""
        self._keep_floats = keep_floats
        self._storages: dict[int, torch.UntypedStorage] = {}

    def __call__(self, value: Any, where: str) -> Any:
        """Return one argument, which may be nested. `where` names it in messages."""
        if isinstance(value, Literal):
            return self._value(value.value, type(value.value))
        if isinstance(value, str):
            return self._from_text(value, where) if looks_like_shape(value) else value
        if isinstance(value, TensorText):
            return self._from_text(value, where)
        if isinstance(value, torch.Size) or (type(value) in (tuple, list) and is_shape(value)):
            return self._interpret_integers(value, where)
        if (copy := self._copies.get(id(value))) is not None:
            return copy
        if type(value) in (dict, OrderedDict):
            table = self._shared(value, type(value)())
            with self._nested():
                table.update((name, self(item, f"{where}[{name!r}]")) for name, item in value.items())
            return table
        if type(value) is list:
            items = self._shared(value, [])
            with self._nested():
                items.extend(self(item, f"{where}[{i}]") for i, item in enumerate(value))
            return items
        if isinstance(value, tuple) and not isinstance(value, PackedSequence):
            items = [self(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        return self._value(value, type(value))

    @contextmanager
    def _nested(self) -> Iterator[None]:
        """Context in which the contents of a mutable container or object are copied."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _shared(self, value: Any, copy: Any) -> Any:
        """Register the copy of a container with tensors, so that it stays shared if it is passed twice.

        A list of shapes is not registered: it creates new tensors each time.
        """
        return self._register(value, copy) if any(isinstance(t, torch.Tensor) for t in tensors_in(value)) else copy

    def _interpret_integers(self, value: Any, where: str) -> Any:
        """Interpret integers: as the shape of a tensor, but as numbers if floating-point tensors were passed."""
        if not self.any_dense_tensor or isinstance(value, torch.Size):
            if self.any_tensor:
                self.notes.append(
                    f"{where}: {tuple(value)} was taken as a shape; for numbers, wrap it in cnncost.literal"
                )
            return empty(positive(value, where), self.dtype, where)
        text = "x".join(map(str, value))
        self.notes.append(
            f"{where}: {value} was taken as numbers, because tensors were given as well; for a shape, write '{text}'"
        )
        return value

    def _from_text(self, value: Any, where: str) -> torch.Tensor:
        parsed = parse_shape(value) if isinstance(value, str) else value
        if not isinstance(parsed, TensorText):
            return empty(positive(parsed, where), self.dtype, where)
        return empty(parsed.shape, dtype_of(parsed.dtype, self.dtype, where), where)

    def module(self, module: nn.Module) -> nn.Module:
        """Return a module among the inputs itself."""
        return module

    def _value(self, value: Any, kind: type) -> Any:
        if isinstance(value, PackedSequence):  # torch requires its batch sizes on the CPU
            return PackedSequence(self._tensor(value.data), value.batch_sizes.clone(), *map(self._index, value[2:]))
        if kind is tuple or isinstance(value, torch.Tensor):
            return super()._value(value, kind)
        with self._nested():
            return super()._value(value, kind)

    def _index(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else self._tensor(tensor)

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor without data that represents a tensor; one that is passed twice stays shared."""
        copy: torch.Tensor | None = self._copies.get(id(tensor))
        if copy is not None:
            return copy
        if tensor.is_nested:
            raise InputError(
                "inputs: a nested tensor's rows differ in shape; give a padded tensor or a packed sequence"
            )
        if tensor.is_quantized:
            raise InputError("inputs: a quantized tensor has no form without data; pass it dequantized")
        stand_in = self._like(tensor)
        stand_in.requires_grad_(tensor.requires_grad)
        kind = type(tensor)
        if kind.__torch_dispatch__ == torch.Tensor.__torch_dispatch__:  # others may wrap tensors with data
            if kind is not torch.Tensor:
                stand_in.__class__ = kind
            if tensor.__dict__:
                stand_in.__dict__.update(tensor.__dict__)
        self.created.append(ref(stand_in))
        if not self._depth or id(stand_in) in self.data:
            self.lasting.append(stand_in)
        return self._register(tensor, stand_in)  # type: ignore[no-any-return]  # it returns its argument

    def _like(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_meta and not self._depth:
            return tensor.detach()
        if tensor.layout is not torch.strided:
            stand_in = meta_like(tensor)
            self.user_tensors[id(stand_in)] = tensor
            return stand_in
        identity = identity_of(tensor.untyped_storage())
        base = self._storages.get(identity)  # tensors that share memory keep sharing it
        stand_in = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
        if base is not None or tensor.untyped_storage().nbytes() != stand_in.untyped_storage().nbytes():
            if base is None:
                size = tensor.untyped_storage().nbytes()
                base = torch.empty(size, dtype=torch.uint8, device=META).untyped_storage()
            stand_in = torch.empty(0, dtype=tensor.dtype, device=META).set_(
                base, tensor.storage_offset(), tensor.shape, tensor.stride()
            )
        self._storages[identity] = stand_in.untyped_storage()
        if tensor.is_meta:
            return stand_in
        self.user_tensors[id(stand_in)] = tensor
        inexact = tensor.is_floating_point() or tensor.is_complex()
        if tensor.numel() <= REAL_LIMIT and (not inexact or self._keep_floats):
            self.data[id(stand_in)] = _copied(tensor.detach())
            if inexact:
                self.floats.add(id(stand_in))
        return stand_in


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy with the same strides, if it is not too large: `clone` alone closes gaps and copies overlaps."""
    copy = tensor.clone()
    if copy.stride() == tensor.stride() or not tensor.numel():
        return copy
    extent = 1 + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    if extent > REAL_LIMIT:
        return copy
    return tensor.as_strided((extent,), (1,)).clone().as_strided(tensor.shape, tensor.stride())


def _is_dense(tensor: torch.Tensor) -> bool:
    """True if a tensor is dense data for layers, not a mask, indices or an adjacency matrix."""
    return tensor.is_floating_point() and tensor.layout is torch.strided and tensor.dim() > 0


def _has_tensor(inputs: Any, matches: Callable[[torch.Tensor], bool]) -> bool:
    """True if `matches` is true for a tensor among positional or keyword arguments, or in containers in them."""
    if isinstance(inputs, Mapping):
        inputs = list(inputs.values())
    return isinstance(inputs, (tuple, list)) and any(
        matches(item)
        if isinstance(item, torch.Tensor)
        else isinstance(item, (list, tuple, Mapping)) and _has_tensor(item, matches)
        for item in inputs
    )


def _parameter_dtype(model: nn.Module) -> torch.dtype:
    """Return the dtype of the first floating-point parameter, or the default dtype."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.get_default_dtype()
