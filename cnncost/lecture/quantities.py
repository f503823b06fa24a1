"""Quantities of a network, or of a layer with all its submodules: costs, and shapes of inputs and outputs."""

from __future__ import annotations

from math import prod

from cnncost.errors import CnncostError
from cnncost.lecture import structure  # registers its quantities
from cnncost.lecture.quantity import (
    NETWORK_ONLY,
    QUANTITIES,
    TRAINING,
    WORDS,
    graph_of,
    input_of,
    nodes,
    output_of,
    quantity,
    side_or_extents,
    value_of,
)
from cnncost.lecture.values import Value
from cnncost.ops.transfer import link_bytes as link_bytes_of
from cnncost.report.model import Report
from cnncost.units import exact

__all__ = ["NETWORK_ONLY", "QUANTITIES", "TRAINING", "WORDS", "structure", "value_of"]


@quantity("parameters")
def params(report: Report, layer: str) -> Value:
    """Number of unique parameters, including biases."""
    return report.module(layer).params


@quantity("trainable parameters")
def trainable_params(report: Report, layer: str) -> Value:
    """Number of parameters that require gradients."""
    return report.module(layer).trainable_params


@quantity("weights")
def weights(report: Report, layer: str) -> Value:
    """Number of parameters except biases, which are recognized by `bias` in their names."""
    graph, below = graph_of(report), f"{layer}." if layer else ""
    owned = {
        parameter.value
        for scope in graph.scopes
        if f"{scope.path}.".startswith(below)
        for parameter in scope.parameters
        if "bias" not in parameter.name
    }
    return sum(prod(graph.values[value].shape) for value in owned)


@quantity("bytes of the parameters", network_only=True)
def param_bytes(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Bytes of the whole network's parameters."""
    return report.totals.param_bytes


@quantity("MACs", needs_rules=True)
def macs(report: Report, layer: str) -> Value:
    """MACs for the whole input, which is one image if the batch size is 1."""
    return report.module(layer).macs


@quantity("FLOPs", needs_rules=True)
def flops(report: Report, layer: str) -> Value:
    """FLOPs for the whole input."""
    return report.module(layer).flops


@quantity("bytes at the peak of inference", network_only=True, needs_rules=True)
def inference_peak(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Bytes of the tensors that are alive at the peak of inference."""
    return report.memory.inference_peak


@quantity("bytes at the peak of a training step", network_only=True, needs_rules=True, training=True)
def training_peak(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Bytes of the tensors that are alive at the peak of forward, backward and, if given, the optimizer's step."""
    return report.memory.training_peak


@quantity("parameters by device", network_only=True)
def params_by_device(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Number of parameters on each device of a model on several devices."""
    return _by_device(report, "params")


@quantity("MACs by device", network_only=True, needs_rules=True)
def macs_by_device(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """MACs that each device computes for the input."""
    return _by_device(report, "macs")


@quantity("bytes at the peak of a training step by device", network_only=True, needs_rules=True, training=True)
def training_peak_by_device(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Bytes of the tensors that are alive on each device at that device's peak in a training step."""
    return _by_device(report, "training_peak")


def _by_device(report: Report, name: str) -> str:
    """Return a figure of each device as text: `1,024 on cuda:0 and 512 on cuda:1`."""
    if not report.devices:
        raise CnncostError(f"{report.model}: is on one device; expected a model whose code puts it on several")
    return " and ".join(f"{exact(getattr(each, name))} on {each.device}" for each in report.devices)


@quantity("bytes over the links between devices")
def link_bytes(report: Report, layer: str) -> Value:
    """Bytes that a layer, or the network, copies from device to device for the input."""
    return sum(link_bytes_of(node.spec) for node in nodes(report, layer, "transfer"))


@quantity("input size", network_only=True)
def input_size(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Height and width of the image."""
    return input_of(report)[1:]


@quantity("input side", network_only=True)
def input_side(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Side of a square image."""
    return side_or_extents(input_of(report)[1:])


@quantity("input channels", network_only=True)
def input_channels(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Number of channels: 1 for gray, 3 for color."""
    return input_of(report)[0]


@quantity("input values", network_only=True)
def input_values(report: Report, layer: str) -> Value:  # noqa: ARG001  # a quantity's signature
    """Number of input values: channels times height times width."""
    return prod(input_of(report))


@quantity("outputs")
def features(report: Report, layer: str) -> Value:
    """Number of output values of a layer, or of the network, for one image."""
    return prod(output_of(report, layer))


@quantity("output size")
def output_size(report: Report, layer: str) -> Value:
    """Shape of the output of a layer, or of the network, for one image: 64×56×56."""
    return output_of(report, layer)


@quantity("maps")
def maps(report: Report, layer: str) -> Value:
    """Number of feature maps of a layer: its output channels."""
    return output_of(report, layer)[0]


@quantity("map size")
def map_size(report: Report, layer: str) -> Value:
    """Height and width of a layer's feature maps."""
    return _maps(report, layer)


@quantity("map side")
def map_side(report: Report, layer: str) -> Value:
    """Side of a layer's feature maps."""
    return side_or_extents(_maps(report, layer))


def _maps(report: Report, layer: str) -> tuple[int, ...]:
    shape = output_of(report, layer)
    if len(shape) <= 1:
        raise CnncostError(
            f"{layer or report.model}: returns no maps, but {prod(shape)} values; for their number, use `features`"
        )
    return shape[1:]


@quantity("receptive field")
def receptive_field(report: Report, layer: str) -> Value:
    """Height and width, in pixels, of the image area that one output of a layer sees."""
    size = report.receptive_field(layer).size
    sizes = tuple(n for n in size if isinstance(n, int))
    if len(sizes) == len(size):
        return sizes
    if len(set(map(str, size))) == 1:
        return _extent(report, layer, str(size[0]))
    return "×".join(_extent(report, layer, str(n)) for n in size)


def _extent(report: Report, layer: str, size: str) -> str:
    if size == "unknown":
        raise CnncostError(
            f"{layer or report.model}: its receptive field is unknown: an op in between can't be followed"
        )
    return size


@quantity("jump")
def jump(report: Report, layer: str) -> Value:
    """Pixels between the receptive fields of neighboring outputs."""
    steps = report.receptive_field(layer).jump
    step = steps[0]
    if len(set(steps)) != 1 or not isinstance(step, int):
        raise CnncostError(f"{layer or report.model}: jumps of {', '.join(map(str, steps))}; expected one whole number")
    return step


@quantity("connections")
def connections(report: Report, layer: str) -> Value:
    """Connections as LeCun counts them, including biases; only for networks in the zoo, with their own inputs."""
    from cnncost import zoo
    from cnncost.zoo.connections import connections as count

    if report.model not in zoo.names():
        raise CnncostError(f"connections: counted only for networks in the zoo, not for {report.model}")
    by_layer = count(zoo.build(report.model), zoo.entry(report.model).input_shape)
    if layer and layer not in by_layer:
        raise CnncostError(f"connections: {report.model} has counts for {', '.join(by_layer)}, but not for {layer}")
    return by_layer[layer] if layer else sum(by_layer.values())
