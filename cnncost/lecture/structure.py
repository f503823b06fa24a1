"""Quantities of a network's structure: numbers of layers of each kind, their kernels, strides and groups."""

from __future__ import annotations

from math import prod
from typing import Any

from cnncost.errors import CnncostError
from cnncost.lecture.quantity import common_attribute, graph_of, layers, nodes, output_of, quantity, side_or_extents
from cnncost.lecture.values import Value
from cnncost.report.model import Report

__all__ = ["convs", "depth", "linears", "pools"]

_ACTIVATIONS = {
    "relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh", "relu6": "ReLU6", "leaky_relu": "leaky ReLU",
    "prelu": "PReLU", "rrelu": "RReLU", "elu": "ELU", "elu_scaled": "ELU", "elu_scaled_twice": "ELU",
    "celu": "CELU", "selu": "SELU", "silu": "SiLU", "glu": "GLU", "softplus": "softplus", "mish": "Mish",
    "logsigmoid": "log-sigmoid", "softsign": "softsign", "hardsigmoid": "hard sigmoid",
    "hardswish": "hard swish", "hardtanh": "hard tanh", "hardshrink": "hard shrink",
    "softshrink": "soft shrink", "tanhshrink": "tanh shrink", "gelu": "GELU", "gelu_tanh": "GELU",
}  # fmt: skip
"""Names of activation functions as papers write them, by the attribute `fn` of pointwise ops."""


@quantity("hidden units")
def hidden_units(report: Report, layer: str) -> Value:
    """Number of output features of all linear layers but the last, summed."""
    return sum(node.spec.outputs[0].shape[-1] for node in nodes(report, layer, "linear")[:-1])


@quantity("name by number of maps")
def conv_name(report: Report, layer: str) -> Value:
    """The slides' name of a convolution, by its number of output maps: Conv-6."""
    return f"Conv-{output_of(report, layer)[0]}"


@quantity("maps of each convolution")
def maps_by_layer(report: Report, layer: str) -> Value:
    """Feature maps of each convolutional layer: `4 and 12`."""
    graph = graph_of(report)
    paths = [graph.scopes[graph.calls[node.call].scope].path for node in layers(report, layer, "conv")]
    if len(set(paths)) < len(paths):
        raise CnncostError(f"{layer or report.model}: a module runs several convolutions; name its layers one by one")
    return " and ".join(str(output_of(report, path)[0]) for path in paths)


@quantity("kernel side")
def kernel_side(report: Report, layer: str) -> Value:
    """Side of a layer's filters: F."""
    return side_or_extents(_extents(report, layer, "kernel"))


@quantity("kernel")
def kernel(report: Report, layer: str) -> Value:
    """Height and width of a layer's filters, or of the area that it pools."""
    return _extents(report, layer, "kernel")


@quantity("stride")
def stride(report: Report, layer: str) -> Value:
    """Stride: input positions from one window to the next."""
    return side_or_extents(_extents(report, layer, "stride"))


@quantity("padding")
def padding(report: Report, layer: str) -> Value:
    """Padding: zeros added on each side."""
    return side_or_extents(_extents(report, layer, "padding"))


def _extents(report: Report, layer: str, attribute: str) -> tuple[int, ...]:
    value: Any = common_attribute(report, layer, attribute, "conv", "pool")
    if not isinstance(value, tuple):
        raise CnncostError(f"{layer or report.model}: {attribute} is {value!r}; expected one number per axis")
    return value


@quantity("groups")
def groups(report: Report, layer: str) -> Value:
    """Number of groups of a convolution; each group of output maps reads only its part of the input maps."""
    count: int = common_attribute(report, layer, "groups", "conv")
    return count


@quantity("one-channel filters")
def kernels(report: Report, layer: str) -> Value:
    """Number of (input map, output map) pairs with their own filter."""
    convolutions = nodes(report, layer, "conv")
    if len(convolutions) != 1:
        raise CnncostError(
            f"{layer or report.model}: has {len(convolutions)} convolutions; name a layer with exactly one"
        )
    shape = convolutions[0].spec.inputs[1].shape
    return shape[0] * shape[1]


@quantity("kernel sizes")
def kernel_sizes(report: Report, layer: str) -> Value:
    """The distinct kernel sizes of all convolutions."""
    sizes = sorted({node.spec["kernel"] for node in nodes(report, layer, "conv")})
    return sizes[0] if len(sizes) == 1 else ", ".join("×".join(map(str, size)) for size in sizes)


@quantity("convolutions")
def convs(report: Report, layer: str) -> Value:
    """Number of convolutional layers."""
    return len(layers(report, layer, "conv"))


@quantity("convolutions with a 1×1 kernel")
def pointwise_convs(report: Report, layer: str) -> Value:
    """Number of 1×1 convolutional layers."""
    return sum(set(node.spec["kernel"]) == {1} for node in layers(report, layer, "conv"))


@quantity("fully connected layers")
def linears(report: Report, layer: str) -> Value:
    """Number of linear layers."""
    return len(layers(report, layer, "linear"))


@quantity("map-making convolutions")
def map_convs(report: Report, layer: str) -> Value:
    """Number of convolutional layers whose output has more than one position."""
    return len(layers(report, layer, "conv")) - _single_positions(report, layer)


@quantity("dense layers")
def dense_layers(report: Report, layer: str) -> Value:
    """Number of linear layers, plus convolutions with a single output position, such as LeNet-5's C5."""
    return len(layers(report, layer, "linear")) + _single_positions(report, layer)


def _single_positions(report: Report, layer: str) -> int:
    return sum(prod(node.spec.outputs[0].shape[2:]) == 1 for node in layers(report, layer, "conv"))


@quantity("layers on the longest path")
def depth(report: Report, layer: str) -> Value:
    """Number of convolutions and linear layers on the longest path; shorter branches don't count."""
    counted = {node.outputs[0] for node in layers(report, layer, "conv", "linear")}
    reached: dict[int, int] = {}  # layers on the longest path to each value
    for node in graph_of(report).nodes:
        length = max((reached.get(value, 0) for value in node.inputs), default=0)
        if not counted.isdisjoint(node.outputs):
            length += 1
        for value in node.outputs:
            reached[value] = max(reached.get(value, 0), length)
    return max(reached.values(), default=0)


@quantity("pooling layers")
def pools(report: Report, layer: str) -> Value:
    """Number of pooling layers, including a pooling over whole maps at the end."""
    return len(layers(report, layer, "pool"))


@quantity("activation functions")
def activations(report: Report, layer: str) -> Value:
    """The distinct activation functions; `none` if there are none."""
    used = {node.spec["fn"] for node in nodes(report, layer, "pointwise")}
    return ", ".join(dict.fromkeys(name for function, name in _ACTIVATIONS.items() if function in used)) or "none"
