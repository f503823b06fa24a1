"""MODEL as a timm name: `timm:convnext_tiny`, with the input size of the model's configuration."""

from __future__ import annotations

from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.packages import required
from cnncost.sources.source import ModelSource

PREFIX = "timm:"
_DEFAULT_SIZE = (3, 224, 224)


def load(spec: str) -> ModelSource:
    """Return the source of a model by its timm name; a weights tag in the name determines the input size.

    Raises:
        MissingPackageError: timm is not installed.
        SourceError: timm has no model of this name, or the name refers to a hub.
    """
    name = spec.removeprefix(PREFIX)
    if name.startswith(("hf-hub:", "hf_hub:")):
        raise SourceError(
            f"{spec}: a model on a hub, but nothing is downloaded; give the architecture, for example "
            "timm:convnext_tiny, and arguments that differ with --model-args"
        )
    (timm,) = required(spec, "timm")
    if not timm.is_model(name):
        near = suggestion(name.partition(".")[0], timm.list_models())
        raise SourceError(f"{spec}: timm {timm.__version__} has no model of this name{near}")

    def factory(**arguments: Any) -> Any:
        if arguments.pop("pretrained", False):
            raise ValueError("pretrained weights would be downloaded, but a cost needs none; leave pretrained out")
        return timm.create_model(name, pretrained=False, **arguments)

    return ModelSource("timm", spec, factory, library=True, inputs_of=input_of)


def input_of(model: Any) -> tuple[int, ...]:
    """Return the input shape (1, C, H, W) from the model's configuration; 1×3×224×224 by default."""
    config = getattr(model, "pretrained_cfg", None) or {}
    size = tuple(config.get("input_size") or _DEFAULT_SIZE)
    channels = config.get("in_chans") or getattr(model, "in_chans", None)
    return (1, channels if isinstance(channels, int) else size[0], *size[1:])
