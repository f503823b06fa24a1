"""Quantities of a network: small functions of a Report, by name."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TypeAlias

from cnncost.graph import Graph, Node
from cnncost.lecture.values import Value
from cnncost.report.model import Report

__all__ = ["QUANTITIES", "WORDS", "Quantity"]

Quantity: TypeAlias = Callable[[Report, str], Value]
"""A function of a Report and a module's path, `""` for the whole network."""

QUANTITIES: dict[str, Quantity] = {}
WORDS: dict[str, str] = {}
"""Name of each quantity in a sentence."""


def quantity(words: str) -> Callable[[Quantity], Quantity]:
    """Register a function under its name, with a description of its result."""

    def register(function: Quantity) -> Quantity:
        QUANTITIES[function.__name__] = function
        WORDS[function.__name__] = words
        return function

    return register


def _graph(report: Report) -> Graph:
    assert report.graph is not None  # only reports loaded from a file have no graph
    return report.graph


def _nodes(report: Report, layer: str, *kinds: str) -> list[Node]:
    """The nodes of these kinds in a module and its submodules, in order."""
    graph, below = _graph(report), f"{layer}." if layer else ""
    return [
        node for node in graph.nodes if node.spec.kind in kinds and f"{graph.call_path(node.call)}.".startswith(below)
    ]


def _calls(report: Report, layer: str, *kinds: str) -> dict[int, Node]:
    """The first node of these kinds of each module call: a layer made of several ops is one layer."""
    calls: dict[int, Node] = {}
    for node in _nodes(report, layer, *kinds):
        calls.setdefault(node.call, node)
    return calls


def _first(report: Report, layer: str) -> Node:
    return _nodes(report, layer, "conv", "pool")[0]


def _output(report: Report, layer: str) -> tuple[int, ...]:
    """Shape of a module's output, without the batch."""
    shape = report.layer(layer).output_shape if layer else None
    if shape is None:
        graph = _graph(report)
        shape = graph.values[graph.outputs[0]].shape
    return shape[1:]


def _input(report: Report) -> tuple[int, ...]:
    return report.inputs[0][0][1:]


def _square(extents: tuple[int, ...]) -> Value:
    """2 rather than 2×2, where the slides give one number."""
    return extents[0] if len(set(extents)) == 1 else extents


@quantity("parameters")
def params(report: Report, layer: str) -> Value:
    """Unique parameters, biases included."""
    return report.module(layer).params


@quantity("trainable parameters")
def trainable_params(report: Report, layer: str) -> Value:
    """Parameters that training changes."""
    return report.module(layer).trainable_params


@quantity("weights")
def weights(report: Report, layer: str) -> Value:
    """Parameters without the biases."""
    graph, below = _graph(report), f"{layer}." if layer else ""
    owned = {
        parameter.value
        for scope in graph.scopes
        if f"{scope.path}.".startswith(below)
        for parameter in scope.parameters
        if parameter.name == "weight"
    }
    return sum(prod(graph.values[value].shape) for value in owned)


@quantity("bytes of the parameters")
def param_bytes(report: Report, layer: str) -> Value:
    """Bytes of the whole network's parameters."""
    assert not layer
    return report.totals.param_bytes


@quantity("MACs")
def macs(report: Report, layer: str) -> Value:
    """Multiply-accumulates for one image."""
    return report.module(layer).macs


@quantity("FLOPs")
def flops(report: Report, layer: str) -> Value:
    """Floating-point operations for one image."""
    return report.module(layer).flops


@quantity("input size")
def input_size(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Height and width of the image."""
    return _input(report)[1:]


@quantity("input side")
def input_side(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Side of a square image."""
    return _square(_input(report)[1:])


@quantity("input channels")
def input_channels(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """1 for grey, 3 for colour."""
    return _input(report)[0]


@quantity("input values")
def input_values(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Channels times height times width."""
    return prod(_input(report))


@quantity("outputs")
def features(report: Report, layer: str) -> Value:
    """Number of output values of the layer, or the network, for one image."""
    return prod(_output(report, layer))


@quantity("maps")
def maps(report: Report, layer: str) -> Value:
    """Number of feature maps of a layer: its output channels."""
    return _output(report, layer)[0]


@quantity("map size")
def map_size(report: Report, layer: str) -> Value:
    """Height and width of a layer's feature maps."""
    return _output(report, layer)[1:]


@quantity("hidden units")
def hidden_units(report: Report, layer: str) -> Value:
    """Outputs of all linear layers but the last."""
    return sum(node.spec.outputs[0].shape[-1] for node in _nodes(report, layer, "linear")[:-1])


@quantity("name, by its maps,")
def conv_name(report: Report, layer: str) -> Value:
    """The slides' name for a convolution: Conv-6 for one with 6 output maps."""
    return f"Conv-{_output(report, layer)[0]}"


@quantity("maps of each convolution")
def maps_by_layer(report: Report, layer: str) -> Value:
    """Feature maps of each convolutional layer: `4 and 12`."""
    graph = _graph(report)
    paths = [graph.call_path(call) for call in _calls(report, layer, "conv")]
    return " and ".join(str(_output(report, path)[0]) for path in paths)


@quantity("map side")
def map_side(report: Report, layer: str) -> Value:
    """Side of a layer's feature maps."""
    return _square(_output(report, layer)[1:])


@quantity("kernel side")
def kernel_side(report: Report, layer: str) -> Value:
    """Side of a layer's filters: F."""
    return _square(_first(report, layer).spec["kernel"])


@quantity("kernel")
def kernel(report: Report, layer: str) -> Value:
    """Height and width of a layer's filters, or of the area that it pools."""
    size: tuple[int, ...] = _first(report, layer).spec["kernel"]
    return size


@quantity("stride")
def stride(report: Report, layer: str) -> Value:
    """Stride: input positions from one window to the next."""
    return _square(_first(report, layer).spec["stride"])


@quantity("padding")
def padding(report: Report, layer: str) -> Value:
    """Padding: zeros added on each side."""
    return _square(_first(report, layer).spec["padding"])


@quantity("groups")
def groups(report: Report, layer: str) -> Value:
    """Number of groups of a convolution's maps; each sees only its part of the input."""
    count: int = _first(report, layer).spec["groups"]
    return count


@quantity("one-channel filters")
def kernels(report: Report, layer: str) -> Value:
    """Number of (input map, output map) pairs with their own filter."""
    shape = _nodes(report, layer, "conv")[0].spec.inputs[1].shape
    return shape[0] * shape[1]


@quantity("kernels")
def kernel_sizes(report: Report, layer: str) -> Value:
    """The distinct kernel sizes of all convolutions."""
    sizes = sorted({node.spec["kernel"] for node in _nodes(report, layer, "conv")})
    return sizes[0] if len(sizes) == 1 else ", ".join("×".join(map(str, size)) for size in sizes)


@quantity("convolutions")
def convs(report: Report, layer: str) -> Value:
    """Convolutional layers."""
    return len(_calls(report, layer, "conv"))


@quantity("convolutions with a 1×1 kernel")
def pointwise_convs(report: Report, layer: str) -> Value:
    """Number of 1×1 convolutional layers."""
    return sum(set(node.spec["kernel"]) == {1} for node in _calls(report, layer, "conv").values())


@quantity("fully connected layers")
def linears(report: Report, layer: str) -> Value:
    """Linear layers."""
    return len(_calls(report, layer, "linear"))


@quantity("map-making convolutions")
def map_convs(report: Report, layer: str) -> Value:
    """Number of convolutional layers whose output has more than one position."""
    return len(_calls(report, layer, "conv")) - _single_positions(report, layer)


@quantity("dense layers")
def dense_layers(report: Report, layer: str) -> Value:
    """Number of linear layers, plus convolutions with a single output position, such as LeNet-5's C5."""
    return len(_calls(report, layer, "linear")) + _single_positions(report, layer)


def _single_positions(report: Report, layer: str) -> int:
    return sum(prod(node.spec.outputs[0].shape[2:]) == 1 for node in _calls(report, layer, "conv").values())


@quantity("layers on the longest path")
def depth(report: Report, layer: str) -> Value:
    """Number of convolutions and linear layers; projections on shortcuts run in parallel and are not counted."""
    graph = _graph(report)
    calls = _calls(report, layer, "conv", "linear")
    return sum("downsample" not in graph.call_path(call) for call in calls)


@quantity("pooling layers")
def pools(report: Report, layer: str) -> Value:
    """Number of pooling layers, including the final one."""
    return len(_calls(report, layer, "pool"))


@quantity("activation functions")
def activations(report: Report, layer: str) -> Value:
    """The distinct activation functions between the layers."""
    names = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}
    used = {node.spec["fn"] for node in _nodes(report, layer, "pointwise")}
    return ", ".join(name for function, name in names.items() if function in used)


@quantity("receptive field")
def receptive_field(report: Report, layer: str) -> Value:
    """Pixels of the image that one output of a layer sees, height and width."""
    size = report.receptive_field(layer).size
    assert all(isinstance(n, int) for n in size)  # the slides only use layers with a known size
    return tuple(n for n in size if isinstance(n, int))


@quantity("jump")
def jump(report: Report, layer: str) -> Value:
    """Pixels between the receptive fields of neighbouring outputs."""
    (step,) = set(report.receptive_field(layer).jump)
    assert isinstance(step, int)  # nothing is upsampled on the slides
    return step


@quantity("connections")
def connections(report: Report, layer: str) -> Value:
    """Connections as LeCun counts them, biases included; counted on the zoo network named in the report."""
    from cnncost import zoo
    from cnncost.zoo.connections import connections as count

    by_layer = count(zoo.build(report.model), zoo.entry(report.model).input_shape)
    return by_layer[layer] if layer else sum(by_layer.values())
