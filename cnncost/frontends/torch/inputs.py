"""What a user may give as inputs, made into tensors without data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from cnncost.errors import InputError
from cnncost.frontends.torch.running import META, REAL_LIMIT, twin
from cnncost.sources.shapes import TensorText, looks_like_shape, parse_shape


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arguments of a forward, all tensors on `meta`.

    Attributes:
        data: the values of some, by identity.
        given: by identity, the user's tensors in whose place they stand.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    data: dict[int, torch.Tensor] = field(default_factory=dict)
    given: dict[int, torch.Tensor] = field(default_factory=dict)

    @property
    def examples(self) -> int | None:
        """How many examples there are, where they are a list of tensors; None where an axis tells."""
        first = next(iter(self.args or self.kwargs.values()), None)
        if not isinstance(first, list) or not first or not all(isinstance(item, torch.Tensor) for item in first):
            return None
        return len(first)

    def tensors(self) -> Iterator[torch.Tensor]:
        """All tensors, in order, each once."""
        seen: set[int] = set()
        for tensor in _tensors((self.args, self.kwargs)):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def prepare(inputs: Any, model: nn.Module) -> Inputs:
    """Positional and keyword arguments, with tensors on `meta`.

    A shape without a dtype gets that of the model's floating-point parameters. Integer tensors with
    few elements keep their values, for forward may read them (lengths, positions).

    Raises:
        InputError: nothing to make a tensor of, a dimension below 1, an unknown dtype.
    """
    make = _Maker(_parameter_dtype(model))
    if inputs is None:
        raise InputError("inputs: expected shapes or tensors, got None; give for example inputs='1x3x224x224'")
    if not _is_shape(inputs):
        _no_fractions(inputs, "inputs")
    if isinstance(inputs, dict):
        kwargs = {name: make(value, str(name)) for name, value in inputs.items()}
        return Inputs((), kwargs, make.data, make.given)
    if (
        isinstance(inputs, (tuple, list))
        and not isinstance(inputs, (TensorText, PackedSequence))
        and not _is_shape(inputs)
    ):
        args = tuple(make(value, f"inputs[{i}]") for i, value in enumerate(inputs))
        return Inputs(args, {}, make.data, make.given)
    if isinstance(inputs, (str, torch.Tensor, TensorText, PackedSequence)) or _is_shape(inputs):
        only = make(parse_shape(inputs) if isinstance(inputs, str) else inputs, "inputs")
        return Inputs((only,), {}, make.data, make.given)
    raise InputError(
        f"inputs: expected tensors, shapes such as (1, 3, 224, 224) or '1x3x224x224', or tuples and dicts of them, "
        f"got {type(inputs).__name__}"
    )


class _Maker:
    """Makes arguments of what the user gave; `data` collects values of small integer tensors, `given` all tensors."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.data: dict[int, torch.Tensor] = {}
        self.given: dict[int, torch.Tensor] = {}

    def __call__(self, value: Any, where: str) -> Any:
        """One argument, however nested. `where` names it in errors."""
        if isinstance(value, torch.Tensor):
            return self._given(value)
        if isinstance(value, PackedSequence):  # its batch sizes stay on the CPU, as torch wants them
            return PackedSequence(self._given(value.data), value.batch_sizes.clone(), *map(self._index, value[2:]))
        if isinstance(value, str) and looks_like_shape(value):
            value = parse_shape(value)
        if isinstance(value, TensorText):
            return _empty(value.shape, _dtype(value.dtype, self.dtype, where), where)
        if _is_shape(value):
            return _empty(_positive(value, where), self.dtype, where)
        if isinstance(value, dict):
            return {name: self(item, f"{where}[{name!r}]") for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self(item, f"{where}[{i}]") for i, item in enumerate(value)]
            if isinstance(value, list):
                return items
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        return value

    def _index(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else self._given(tensor)

    def _given(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_nested:
            raise InputError("inputs: a nested tensor has no one shape; give a padded tensor or a packed sequence")
        if tensor.is_meta:
            return tensor.detach().requires_grad_(tensor.requires_grad)
        if tensor.layout is not torch.strided:
            made = twin(tensor).requires_grad_(tensor.requires_grad)
            self.given[id(made)] = tensor
            return made
        made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
        made.requires_grad_(tensor.requires_grad)
        self.given[id(made)] = tensor
        if not tensor.is_floating_point() and not tensor.is_complex() and tensor.numel() <= REAL_LIMIT:
            self.data[id(made)] = tensor.detach().clone()
        return made


def _is_shape(value: Any) -> bool:
    if isinstance(value, torch.Size):
        return True
    return isinstance(value, (tuple, list)) and len(value) > 0 and all(type(n) is int for n in value)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, where: str) -> torch.Tensor:
    try:
        return torch.empty(shape, dtype=dtype, device=META)
    except RuntimeError:
        raise InputError(f"{where}: a tensor of shape {shape} is larger than torch can address") from None


def _no_fractions(value: Any, where: str) -> None:
    """Raises InputError for what was meant as a shape: all numbers, some of them no ints."""
    if isinstance(value, (tuple, list)) and value and all(type(n) in (int, float) for n in value):
        wrong = next(n for n in value if type(n) is float)
        raise InputError(f"{where}: expected a shape of whole numbers, got {wrong} in {tuple(value)}")


def _positive(shape: Any, where: str) -> tuple[int, ...]:
    for axis, size in enumerate(shape):
        if size < 1:
            raise InputError(f"{where}: expected sizes of 1 or more, got {size} on axis {axis} of {tuple(shape)}")
    return tuple(shape)


def _dtype(name: str | None, default: torch.dtype, where: str) -> torch.dtype:
    if name is None:
        return default
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise InputError(
            f"{where}: {name!r} is no dtype of torch; expected for example float32, float16, bfloat16, int64, bool"
        )
    return found


def _parameter_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the first floating-point parameter, or the default dtype."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.get_default_dtype()


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
