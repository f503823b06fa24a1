"""Arguments and results of calls covered by a rule: nested tensors, as templates and types."""

from __future__ import annotations

from collections import UserDict, defaultdict
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from cnncost.errors import RuleError
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.memo import Slot
from cnncost.frontends.torch.types import tensor_type
from cnncost.graph import ITEM_BYTES, TensorType
from cnncost.opaque import Registered


def templated(nest: Any, tensors: list[torch.Tensor]) -> Any:
    """Replace each tensor in nested containers by a Slot; the tensors are appended to `tensors`."""
    if isinstance(nest, torch.Tensor):
        tensors.append(nest)
        return Slot(len(tensors) - 1)
    return _map_items(nest, lambda item: templated(item, tensors))


def filled(template: Any, tensors: list[Any]) -> Any:
    """Replace the Slots of a template by these tensors."""
    return tensors[template] if type(template) is Slot else _map_items(template, lambda item: filled(item, tensors))


def typed(template: Any, tensors: list[torch.Tensor]) -> Any:
    """Replace the Slots of a template by the tensors' shapes and dtypes."""
    return filled(template, [tensor_type(t) for t in tensors])


def _map_items(nest: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of a container with `change` applied to its items; any other value unchanged."""
    if isinstance(nest, (dict, UserDict)):  # a UserDict is, for example, the output of Transformers' tokenizers
        items = {key: change(item) for key, item in nest.items()}
        return defaultdict(nest.default_factory, items) if isinstance(nest, defaultdict) else type(nest)(items)
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*map(change, nest))
    if type(nest) in (list, tuple):
        return type(nest)(map(change, nest))
    if is_dataclass(nest) and not isinstance(nest, type):
        return type(nest)(**{f.name: change(getattr(nest, f.name)) for f in fields(nest) if f.init})
    return nest


# ---- results


def outputs_template(rule: Registered, outputs: Any, types: list[TensorType], default: str | None) -> Any:
    """Return a rule's outputs with a Slot for each tensor; the tensors' types are appended to `types`.

    Args:
        rule: the rule, for messages.
        outputs: nested containers of tensors' declarations (`_tensor_type_of`), and of other values.
        types: receives the types.
        default: dtype of tensors that are declared without one; None: such a declaration is an error.

    Raises:
        RuleError: an output does not describe a tensor.
    """
    if (kind := _tensor_type_of(rule, outputs, default)) is not None:
        types.append(kind)
        return Slot(len(types) - 1)
    if outputs is None or isinstance(outputs, bool | int | float | str):
        if type(outputs) is int and not types:  # probably a shape without brackets
            raise _invalid_output(rule, outputs)
        return outputs
    if not isinstance(outputs, dict | list | tuple) and not is_dataclass(outputs):
        raise _invalid_output(rule, outputs)
    return _map_items(outputs, lambda item: outputs_template(rule, item, types, default))


def _tensor_type_of(rule: Registered, declared: Any, default: str | None) -> TensorType | None:
    """Return the type of a tensor declared by `(shape, dtype)`, a shape or a tensor; None for a container or value."""
    if isinstance(declared, torch.Tensor):
        return tensor_type(declared)
    if isinstance(declared, TensorType) or _is_pair(declared):
        shape, dtype = declared
    elif isinstance(declared, torch.Size) or (
        type(declared) in (list, tuple) and declared and all(type(n) is int for n in declared)
    ):
        if default is None:
            raise RuleError(
                f"{rule}: outputs: {declared!r} has no dtype, and no input is floating point; expected (shape, dtype)"
            )
        shape, dtype = declared, default
    elif type(declared) in (list, tuple) and any(type(n) is float for n in declared):
        raise _invalid_output(rule, declared)
    else:
        return None
    name = str(dtype).removeprefix("torch.")
    if name not in ITEM_BYTES or not isinstance(getattr(torch, name, None), torch.dtype):
        raise RuleError(f"{rule}: outputs: expected a dtype such as 'float32', got {dtype!r}")
    if any(type(n) is not int or n < 0 for n in shape):
        raise _invalid_output(rule, shape)
    return TensorType(tuple(shape), name)


def _is_pair(declared: Any) -> bool:
    return (
        type(declared) in (list, tuple) and len(declared) == 2
        and isinstance(declared[0], list | tuple) and isinstance(declared[1], str | torch.dtype)
    )  # fmt: skip


def _invalid_output(rule: Registered, declared: Any) -> RuleError:
    return RuleError(
        f"{rule}: outputs: expected (shape, dtype) for each tensor, with a shape of whole numbers, got {declared!r}"
    )


def check_outputs(rule: Registered, types: tuple[TensorType, ...], outputs: list[torch.Tensor]) -> None:
    """Raise RuleError if the real outputs differ from the rule's answer."""
    real = tuple(map(tensor_type, outputs))
    if real != types:
        expected, got = (", ".join(f"{list(t.shape)} {t.dtype}" for t in kinds) or "nothing" for kinds in (types, real))
        raise RuleError(f"{rule}: outputs: the rule says {expected}, but forward returned {got}")


def with_zeros(grads: Any, types: tuple[TensorType, ...]) -> list[torch.Tensor]:
    """Return the gradients as a Function's own backward expects them: zeros for missing ones."""
    with without_modes():
        return [
            torch.zeros(kind.shape, dtype=getattr(torch, kind.dtype)) if grad is None else grad
            for grad, kind in zip(grads, types, strict=True)
        ]
