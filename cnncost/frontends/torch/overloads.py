"""Cached information about op overloads, from their schemas and tags.

A recording needs the schema and tags of an overload for every new signature, and they are slow properties. The cache is
keyed by the overload's id because hashing an overload runs Python code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import torch

from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.compat.dispatch import has_kernel
from cnncost.frontends.torch.compat.ops import schema_of
from cnncost.frontends.torch.foreach import is_foreach
from cnncost.frontends.torch.sizes import SIZED_BY_VALUES, Values
from cnncost.frontends.torch.without_kernels import FROM_SIZES

_READS_DATA = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_READERS = frozenset({"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::allclose"})
"""Ops that return values of tensors, or the result of comparing them, to Python."""
_SIZED_BY_NUMBERS = frozenset({"aten::_ctc_loss"})
"""Ops that torch tags as having data-dependent output shapes, though the shapes depend only on non-tensor arguments."""
_FILLED = frozenset(
    f"aten::{name}"
    for name in "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty".split()
)
"""Ops whose result is uninitialized or filled with a constant, and so doesn't depend on the operand's values."""
_INDEXING = frozenset({"aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_"})


class Overload:
    """Schema information about one overload of an op.

    Attributes:
        func: the overload itself.
        schema_name: such as `aten::relu_`.
        node_name: the name in nodes, such as `aten.relu_`.
        name: the op's name without `aten::` and the underscore of in-place ops, `relu` for `aten::relu_`; in other
            namespaces the full name (`my_lib::my_op`).
        arguments: argument names in order, with defaults.
        mutable: whether it writes to an argument.
        is_view: whether it returns a view of an argument.
        indexes: whether it gathers or scatters by indices or masks.
        from_values: for ops whose output shape depends on the inputs' values, a function from these to the result; else
            None.
        from_sizes: for ops without a meta kernel, a function from the arguments' sizes to the result; else None.
        reads_data: whether torch tags its result, or the result's shape, as data-dependent, and the tag is right.
        correction: for ops whose CPU kernel returns other tensors than their meta kernel, a function from the latter's
            result to the former's; else None.
        creates: whether it creates a tensor without using the values of any (`zeros`, `full_like`, `new_empty`).
        random: whether it draws random numbers.
        fills: whether its result is uninitialized or filled with a constant, whatever the operand's values.
        by_values: whether it uses the inputs' values for more than arithmetic: as indices, for the result's size, or to
            return them to Python (`item`, `equal`).
    """

    def __init__(self, func: Any) -> None:
        schema = schema_of(func)
        self.func = func
        self.schema_name = _RECORDED_AS.get(schema.name, str(schema.name))
        self.node_name = _node_name(func, self.schema_name)
        self.mutable = bool(schema.is_mutable)
        self.name = _name(self.schema_name, self.mutable)
        self.arguments = {argument.name: argument.default_value for argument in schema.arguments}
        self.is_view = bool(func.is_view)
        self.indexes = self.schema_name in _INDEXING
        self.from_values: Callable[[Any, Values], Any] | None = (
            SIZED_BY_VALUES.get(func.name()) or SIZED_BY_VALUES.get(self.schema_name)
        )  # fmt: skip
        self.from_sizes: Callable[[dict[str, Any]], Any] | None = FROM_SIZES.get(self.schema_name)
        self.creates = self.name.endswith("_like") or self.name.startswith("new_") or not _takes_tensors(schema)
        self.random = torch.Tag.nondeterministic_seeded in func.tags or "generator" in self.arguments
        self.fills = self.schema_name in _FILLED
        is_tag_right = self.from_sizes is None and func.name() not in _SIZED_BY_NUMBERS
        self.reads_data = is_tag_right and any(tag in func.tags for tag in _READS_DATA)
        reader = self.schema_name in _READERS or self.schema_name == "aten::one_hot"
        self.correction = _CORRECTIONS.get(self.name)
        self.by_values = self.indexes or self.from_values is not None or self.reads_data or reader

    @cached_property
    def composite(self) -> bool:
        """True if the op decomposes into other ops on all devices, or is a foreach op: one op per list element."""
        if is_foreach(self.schema_name):
            return True
        try:
            return bool(has_kernel(self.func.name(), "CompositeImplicitAutograd"))
        except RuntimeError:  # an op that the dispatcher doesn't know, as TorchScript's `prim::layout`
            return False

    @cached_property
    def written(self) -> tuple[tuple[int, str], ...]:
        """Position and name of each argument that the op writes to."""
        arguments = enumerate(schema_of(self.func).arguments)
        return tuple([(i, a.name) for i, a in arguments if a.alias_info is not None and a.alias_info.is_write])

    @cached_property
    def outs(self) -> frozenset[str]:
        """Names of the op's `out` arguments, one per result."""
        return frozenset([a.name for a in schema_of(self.func).arguments if a.is_out])

    @cached_property
    def writes_first(self) -> bool:
        """True if the op writes to its first argument and no other."""
        return [i for i, _ in self.written] == [0]

    @cached_property
    def changes_shape(self) -> bool:
        """True if the op changes an argument's shape or storage in place."""
        return torch.Tag.inplace_view in self.func.tags

    @cached_property
    def resizes(self) -> bool:
        """True if the op may resize an argument's storage."""
        return self.name in {"resize", "resize_as"} and self.changes_shape

    def bind(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """Return a call's arguments by name, with defaults, and the op's name as `__op__`."""
        named = self.arguments.copy()
        named.update(zip(named, args, strict=False))
        if kwargs:
            named.update(kwargs)
        named["__op__"] = self.name
        return named

    def reads_values(self, args: Any) -> bool:
        """True if a call returns values to Python or its result depends on data in a way that torch tags.

        False for ops that index, and for those with `from_values`.
        """
        if self.schema_name == "aten::one_hot":  # without a number of classes, the data determine the result's size
            return len(args) < 2 or bool(args[1] < 1)
        return self.by_values and not self.indexes and self.from_values is None


def _only_requested(arguments: dict[str, Any], result: Any) -> Any:
    """Replace gradients that were not requested with None: CPU kernels don't allocate them."""
    return tuple([g if needed else None for g, needed in zip(result, arguments["output_mask"], strict=True)])


_REDUCED_IN_PLACE = ("binary_cross_entropy", "mse_loss", "smooth_l1_loss", "soft_margin_loss")
"""Losses that are reduced into the buffer of the elementwise losses, which is then resized without reallocation."""


def _in_losses_buffer(arguments: dict[str, Any], result: Any) -> Any:
    """Enlarge a reduced loss's storage to that of the elementwise losses: the scalar keeps their whole buffer alive."""
    if arguments["reduction"] != 0:
        losses = torch.broadcast_shapes(arguments["self"].shape, arguments["target"].shape)
        result.untyped_storage().resize_(prod(losses) * result.element_size())
    return result


def statistics_dtype(x: torch.Tensor, others: list[torch.Tensor | None]) -> torch.dtype:
    """The dtype of a norm's saved statistics on a CPU: the input's, or float32 if a 16-bit input has float32 weights.

    `others` are the weights and running statistics, or None for those that the norm lacks.
    """
    mixed = x.dtype.itemsize == 2 and any(t is not None and t.dtype == torch.float32 for t in others)
    return torch.float32 if mixed else x.dtype


def _with_cpu_statistics(arguments: dict[str, Any], result: Any) -> Any:
    """Give saved statistics the shape and dtype that CPU kernels return: empty in eval mode, and not always float32."""
    y, *rest = result
    trains = arguments.get("training", True)
    others = [arguments.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    dtype = statistics_dtype(arguments["input"], others)
    # a byte buffer, which `_batch_norm_with_update` also returns, stays as it is
    statistics = [(t.to(dtype) if trains else t.new_empty(0, dtype=dtype)) for t in rest if t.is_floating_point()]
    return (y, *statistics, *rest[len(statistics) :])


def _in_operands_storage(arguments: dict[str, Any], result: Any) -> Any:
    """Enlarge the storage to the operand's numel: kernels allocate that much and shrink the result without a copy."""
    allocated = arguments["self"].numel() * result.element_size()
    if allocated > result.nbytes:
        result.untyped_storage().resize_(allocated)
    return result


def _in_inputs_dtype(arguments: dict[str, Any], result: Any) -> Any:
    """Give the gradient of a norm's input the input's dtype, as kernels do: on meta, float32 weights promote it."""
    gradient, *others = result
    return (None if gradient is None else gradient.to(arguments["input"].dtype), *others)


_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _in_operands_format(arguments: dict[str, Any], result: Any) -> Any:
    """Give a convolution's gradients the memory format of CPU kernels: channels last if the input or the weight is."""
    order = torch.contiguous_format
    for tensor in (arguments["input"], arguments["weight"]):
        last = _CHANNELS_LAST.get(tensor.dim())
        if last is not None and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=last):
            order = last
    *gradients, bias = result
    return (*(None if t is None else t.contiguous(memory_format=order) for t in gradients), bias)


_CORRECTIONS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "native_batch_norm_backward": _only_requested, **dict.fromkeys(_REDUCED_IN_PLACE, _in_losses_buffer),
    "native_batch_norm": _with_cpu_statistics, "_native_batch_norm_legit": _with_cpu_statistics,
    "_batch_norm_with_update": _with_cpu_statistics,
    **dict.fromkeys(("native_group_norm_backward", "native_layer_norm_backward"), _in_inputs_dtype),
    "im2col": _in_operands_storage, "col2im": _in_operands_storage,
    **({} if facts.CONVOLUTION_GRADIENTS_KEEP_MEMORY_FORMAT else {"convolution_backward": _in_operands_format}),
}  # fmt: skip
"""By op name, functions from a call's arguments and its result on meta to the result of the CPU kernel."""

_RECORDED_AS = {"cnncost::attention": "aten::scaled_dot_product_attention"}
"""Our own ops, each with the name of the torch op that it replaces in a recording."""


def _node_name(func: Any, schema_name: str) -> str:
    return schema_name.replace("::", ".") if func.name() in _RECORDED_AS else str(func).removesuffix(".default")


def _takes_tensors(schema: Any) -> bool:
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def _name(schema_name: str, mutable: bool) -> str:
    space, _, name = schema_name.partition("::")
    if space != "aten":
        return schema_name
    return name[:-1] if name.endswith("_") and not name.startswith("__") and mutable else name


_OVERLOADS: dict[int, Overload] = {}
"""By `id` of the overload, which the value keeps alive."""


def overload(func: Any) -> Overload:
    """Return the cached information about an overload."""
    found = _OVERLOADS.get(id(func))
    if found is None:
        found = _OVERLOADS[id(func)] = Overload(func)
    return found
