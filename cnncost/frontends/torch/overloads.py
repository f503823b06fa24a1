"""Cached information about op overloads, from their schemas and tags.

Hashing an overload runs Python code, and its schema and tags are properties; a recording needs them for every new
signature. So the cache is keyed by the overload's id.
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
"""Ops that return values, or a comparison of values, to Python."""
_SIZED_BY_NUMBERS = frozenset({"aten::_ctc_loss"})
"""Ops that torch tags as data-dependent in their result's size, which depends only on arguments that are numbers."""
_FILLED = frozenset(
    f"aten::{name}"
    for name in "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty".split()
)
"""Ops whose result depends on no value of their operand: it is filled with a constant, or not filled."""
_INDEXING = frozenset({"aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_"})


class Overload:
    """Schema information about one overload of an op.

    Attributes:
        func: the overload itself.
        schema_name: such as `aten::relu_`.
        node_name: the name in nodes, such as `aten.relu_`.
        name: `relu` for `aten::relu_`; other namespaces keep theirs (`my_lib::my_op`).
        arguments: argument names in order, with defaults.
        mutable: whether it writes to an argument.
        is_view: whether it returns a view of an argument.
        indexes: whether it gathers or scatters by indices or masks.
        from_values: creates its result from the inputs' values, if its size depends on those; else None.
        from_sizes: creates its result from the inputs' sizes, if torch has no meta kernel for it; else None.
        reads_data: whether torch tags its result, or the result's size, as data-dependent, and rightly so.
        correction: corrects the result of the meta kernel where CPU kernels deviate from it; else None.
        creates: whether its result is new and depends only on sizes and constants.
        random: whether it draws random numbers.
        fills: whether no value of its operand affects its result, which is filled with a constant or not filled.
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
        """True if the op decomposes into others on all devices; foreach ops do, into one op per list element."""
        if is_foreach(self.schema_name):
            return True
        key = "CompositeImplicitAutograd"
        return bool(has_kernel(self.func.name(), key))

    @cached_property
    def written(self) -> tuple[tuple[int, str], ...]:
        """Position and name of each argument that it writes to."""
        arguments = enumerate(schema_of(self.func).arguments)
        return tuple([(i, a.name) for i, a in arguments if a.alias_info is not None and a.alias_info.is_write])

    @cached_property
    def outs(self) -> frozenset[str]:
        """Names of its `out` arguments: one for each result."""
        return frozenset([a.name for a in schema_of(self.func).arguments if a.is_out])

    @cached_property
    def writes_first(self) -> bool:
        """True if it writes to the first argument and to no other."""
        return [i for i, _ in self.written] == [0]

    @cached_property
    def changes_shape(self) -> bool:
        """True if it changes an argument's shape or storage in place."""
        return torch.Tag.inplace_view in self.func.tags

    @cached_property
    def resizes(self) -> bool:
        """True if it may resize an argument's storage."""
        return self.name in {"resize", "resize_as"} and self.changes_shape

    def bind(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """A call's arguments by name, with defaults; `__op__` is the op's name."""
        named = self.arguments.copy()
        named.update(zip(named, args, strict=False))
        if kwargs:
            named.update(kwargs)
        named["__op__"] = self.name
        return named

    def reads_values(self, args: Any) -> bool:
        """True if the result depends on tensor data, apart from masks and values that determine its size."""
        if self.schema_name == "aten::one_hot":  # without a number of classes, the data determines it
            return len(args) < 2 or bool(args[1] < 1)
        return self.by_values and not self.indexes and self.from_values is None


def _only_requested(arguments: dict[str, Any], result: Any) -> Any:
    """Replace gradients that are not requested by None: CPU kernels don't allocate them."""
    return tuple([g if needed else None for g, needed in zip(result, arguments["output_mask"], strict=True)])


_REDUCED_IN_PLACE = ("binary_cross_entropy", "mse_loss", "smooth_l1_loss", "soft_margin_loss")
"""Losses whose scalar is written into the buffer of all elements' losses, which is then shrunk without a copy."""


def _in_losses_buffer(arguments: dict[str, Any], result: Any) -> Any:
    """Resize the storage: kernels reduce into the losses' buffer, so the scalar keeps all of it alive."""
    if arguments["reduction"] != 0:
        losses = torch.broadcast_shapes(arguments["self"].shape, arguments["target"].shape)
        result.untyped_storage().resize_(prod(losses) * result.element_size())
    return result


def statistics_dtype(x: torch.Tensor, others: list[torch.Tensor | None]) -> torch.dtype:
    """The dtype of saved statistics on a CPU: the input's, or float32 if a 16-bit input has float32 weights."""
    mixed = x.dtype.itemsize == 2 and any(t is not None and t.dtype == torch.float32 for t in others)
    return torch.float32 if mixed else x.dtype


def _with_cpu_statistics(arguments: dict[str, Any], result: Any) -> Any:
    """Replace saved statistics by those of a CPU: empty outside of training, and not always float32 as on meta."""
    y, *rest = result
    trains = arguments.get("training", True)
    others = [arguments.get(name) for name in ("weight", "bias", "running_mean", "running_var")]
    dtype = statistics_dtype(arguments["input"], others)
    # a byte buffer, which `_batch_norm_with_update` also returns, stays as it is
    statistics = [(t.to(dtype) if trains else t.new_empty(0, dtype=dtype)) for t in rest if t.is_floating_point()]
    return (y, *statistics, *rest[len(statistics) :])


def _in_operands_storage(arguments: dict[str, Any], result: Any) -> Any:
    """Resize the storage: kernels allocate as many elements as the operand has, and shrink that without a copy."""
    allocated = arguments["self"].numel() * result.element_size()
    if allocated > result.nbytes:
        result.untyped_storage().resize_(allocated)
    return result


def _in_inputs_dtype(arguments: dict[str, Any], result: Any) -> Any:
    """Give a norm's gradient the dtype of its input, as kernels do: on meta, float32 weights promote 16-bit inputs."""
    gradient, *others = result
    return (None if gradient is None else gradient.to(arguments["input"].dtype), *others)


_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _in_operands_format(arguments: dict[str, Any], result: Any) -> Any:
    """Give a convolution's gradients the memory format of CPU kernels: channels last if input or weight is."""
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
"""Functions of an op's arguments and its result on meta that return a CPU kernel's result, by the op's name."""

_RECORDED_AS = {"cnncost::attention": "aten::scaled_dot_product_attention"}
"""Our own ops, recorded under the name of the torch op that they stand for."""


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
    """The cached information about an overload."""
    found = _OVERLOADS.get(id(func))
    if found is None:
        found = _OVERLOADS[id(func)] = Overload(func)
    return found
