"""MODEL as a torchvision name: `torchvision:resnet50`, with the input size of its weights' preprocessing.

The argument `weights` determines the number of classes and the input size. The weights themselves are never loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.packages import required
from cnncost.sources.source import ModelSource

PREFIX = "torchvision:"
_SIDE = 512
"""Side length of the images for which torchvision publishes operation counts, before a model's preprocessing."""
_FRAMES = 16
"""Number of frames in a clip for video models."""


def load(spec: str) -> ModelSource:
    """Return the source of a model by its torchvision name.

    Raises:
        MissingPackageError: torchvision is not installed.
        SourceError: torchvision has no model of this name.
    """
    name = spec.removeprefix(PREFIX)
    torchvision, models = required(spec, "torchvision", "torchvision", "torchvision.models")
    names = models.list_models()
    if name not in names:
        version = torchvision.__version__
        raise SourceError(f"{spec}: torchvision {version} has no model of this name{suggestion(name, names)}")
    chosen: list[Any] = []  # the weights that determine the input size: those requested, or the default ones

    def factory(**arguments: Any) -> Any:
        if "pretrained" in arguments:
            raise TypeError(
                "torchvision replaced pretrained with weights; give weights=DEFAULT: the weights are not loaded"
            )
        builder = models.get_model_builder(name)
        weights = models.get_model_weights(builder)
        choice = arguments.pop("weights", None)
        chosen[:] = [_entry(weights, choice)]
        entry = None if choice is None else chosen[0]
        if entry is not None and not arguments.get("quantize"):  # the float model's weights, before quantization
            entry = entry.meta.get("unquantized", entry)
        with _without_loading():
            return builder(weights=entry, **arguments)

    return ModelSource(
        "torchvision", spec, factory, library=True,
        inputs_of=lambda _: inputs_of(models.get_model_builder(name), chosen[0]),
    )  # fmt: skip


def _entry(weights: Any, choice: Any) -> Any:
    """Return the requested entry of a model's weights enum, by default DEFAULT; None if the enum is empty."""
    if choice is None:
        return getattr(weights, "DEFAULT", None) or next(iter(weights), None)
    if isinstance(choice, str) and choice.rpartition(".")[2] not in weights.__members__:
        names = ", ".join(weights.__members__)
        raise ValueError(f"no weights {choice!r}; expected one of {names}")
    return weights.verify(choice)


def inputs_of(builder: Any, weights: Any) -> Any:
    """Return forward's inputs, with the size of a 512×512 image after the weights' preprocessing.

    This is an image 1×3×H×W; for video, a clip 1×3×16×H×W; for optical flow, two images; for detection, a list of one
    image 3×H×W.
    """
    task = builder.__module__.split(".")[-2]  # "detection" of torchvision.models.detection.faster_rcnn
    preset = weights.transforms() if weights is not None else None
    size = getattr(preset, "crop_size", None) or getattr(preset, "resize_size", None) or [_SIDE]
    height, width = (size[0], size[-1])
    if task == "detection":
        return ([(3, height, width)],)
    if task == "optical_flow":
        return ((1, 3, height, width), (1, 3, height, width))
    return (1, 3, _FRAMES, height, width) if task == "video" else (1, 3, height, width)


@contextmanager
def _without_loading() -> Iterator[None]:
    """Context manager in which this thread neither downloads torchvision's weights nor loads them into a model."""
    from torch import nn
    from torchvision.models import WeightsEnum

    fetch, load_into, thread = WeightsEnum.get_state_dict, nn.Module.load_state_dict, get_ident()
    nothing: dict[str, Any] = {}  # a placeholder for a state dict, recognized by identity

    def fetched(weights: Any, *args: Any, **kwargs: Any) -> Any:
        return nothing if get_ident() == thread else fetch(weights, *args, **kwargs)

    def loaded(module: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        return None if state is nothing else load_into(module, state, *args, **kwargs)

    WeightsEnum.get_state_dict = fetched
    nn.Module.load_state_dict = loaded  # type: ignore[assignment,method-assign]  # restored below
    try:
        yield
    finally:
        WeightsEnum.get_state_dict = fetch
        nn.Module.load_state_dict = load_into  # type: ignore[method-assign]  # the original


def published(name: str, choice: Any = None) -> tuple[float, str, tuple[int, ...]] | None:
    """Return the top-1 accuracy on ImageNet-1K that torchvision publishes for a model's weights.

    Args:
        name: name of the model.
        choice: the weights, as for the factory; None: the default weights.

    Returns:
        The accuracy in percent, the weights' name, and the input shape of the evaluation; None if none is published.
    """
    _, models = required(f"{PREFIX}{name}", "torchvision", "torchvision", "torchvision.models")
    builder = models.get_model_builder(name)
    entry = _entry(models.get_model_weights(builder), choice)
    accuracy = entry.meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1") if entry is not None else None
    if accuracy is None:
        return None
    shape = inputs_of(builder, entry)
    return float(accuracy), entry.name, tuple(shape)
