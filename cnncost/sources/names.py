"""Finds the model names that match a pattern: `timm:resnet*`, `torchvision:vgg1?`, `hf:*bert*`, `lenet*`."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.find import find
from cnncost.sources.packages import required

_WILDCARDS = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Return whether a MODEL contains a wildcard: `*`, `?` or `[`."""
    return bool(_WILDCARDS & set(text))


def matching(text: str) -> list[str]:
    """Return the names that match a pattern, in the library's order; a name without wildcards is returned as it is.

    Raises:
        MissingPackageError: the pattern is for a package that is not installed.
        SourceError: no name matches, or a name without wildcards is not a model; the message suggests similar names.
    """
    if not is_pattern(text):
        find(text)
        return [text]
    library, colon, pattern = text.partition(":")
    prefix = library + colon if colon and library + colon in _NAMES_BY_PREFIX else ""
    names, pattern = _NAMES_BY_PREFIX[prefix](text), pattern if prefix else text
    matches = [prefix + name for name in names if fnmatchcase(name, pattern)]
    if not matches:
        bare = pattern.translate({ord(sign): None for sign in "*?[]"})
        near = suggestion(bare, names) or _containing(bare, names)
        kind = f"{library} model" if prefix else "network of the zoo"
        raise SourceError(
            f"{text}: matches no {kind}{near}; expected a pattern for zoo names or, after timm:, torchvision: or hf:, "
            "for names of that library; * matches any text"
        )
    return matches


def _containing(name: str, names: list[str]) -> str:
    near = [each for each in names if name and name in each][:3]
    return f"; did you mean {', '.join(near)}?" if near else ""


def _zoo_names(_: str) -> list[str]:
    from cnncost import zoo

    return list(zoo.names())


def _timm_names(text: str) -> list[str]:
    (timm,) = required(text, "timm")
    return list(timm.list_models())


def _torchvision_names(text: str) -> list[str]:
    _, models = required(text, "torchvision", "torchvision", "torchvision.models")
    return list(models.list_models())


def _transformers_names(text: str) -> list[str]:
    from cnncost.sources.transformers import model_types

    (transformers,) = required(text, "transformers")
    return model_types(transformers)


_NAMES_BY_PREFIX: dict[str, Callable[[str], list[str]]] = {
    "": _zoo_names, "timm:": _timm_names, "torchvision:": _torchvision_names, "hf:": _transformers_names,
}  # fmt: skip


IMAGE_SIZES = frozenset({"batch", "height", "width", "depth", "size"})
"""Sizes that don't change the network; if any other varies, the published accuracy doesn't apply."""


def published_accuracy(text: str, arguments: dict[str, Any]) -> tuple[float, str, tuple[int, ...]] | None:
    """Return the accuracy that a model's library publishes: (top-1 in percent, name of the weights, input shape).

    None if there is none: only torchvision publishes accuracies, for ImageNet-1K, and arguments other than `weights`
    change the network.
    """
    if not text.startswith("torchvision:") or set(arguments) - {"weights"}:
        return None
    from cnncost.sources.torchvision import published

    return published(text.removeprefix("torchvision:"), arguments.get("weights"))
