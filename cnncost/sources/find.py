"""Finds the source of a MODEL: a zoo name, a file, a library's model, or an object."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from cnncost.classes import classes_hashable
from cnncost.errors import SourceError
from cnncost.sources.method import split_method
from cnncost.sources.source import ModelSource

_LIBRARIES = {"timm:": "timm", "torchvision:": "torchvision", "hf:": "transformers"}
"""The module of this package that handles a MODEL, by the MODEL's prefix."""


@classes_hashable()
def find(model: Any, arguments: dict[str, Any] | None = None) -> ModelSource:
    """Return the source of a model given as text, module, callable, exported program or source.

    Args:
        model: the user's text or object.
        arguments: keyword arguments for the named factory or class.

    Raises:
        SourceError: the name is unknown; a file, class or package is missing; or an import failed.
        InputError: there are arguments for a model that is already built, or for a saved report.
    """
    if isinstance(model, ModelSource):
        return model.with_arguments(arguments)
    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    if isinstance(model, str):
        return _from_text(model).with_arguments(arguments)
    if type(model).__name__ == "ExportedProgram" and type(model).__module__.startswith("torch.export"):
        from cnncost.sources.exported import of_program

        return of_program(model, "ExportedProgram").with_arguments(arguments)
    from cnncost.frontends.torch.callables import name_of

    return ModelSource("object", name_of(model), lambda: model).with_arguments(arguments)


def is_built_by_code(text: str) -> bool:
    """Return whether Python code builds a MODEL: a file, a package, a library or the zoo. That code is not imported."""
    spec, _ = split_method(text)
    return bool(spec.strip()) and _module_for(spec) in {"zoo", "python", *_LIBRARIES.values()}


def is_user_module(text: str) -> bool:
    """Return whether a MODEL is the user's Python file or package, whose import may change anything in the process."""
    spec, _ = split_method(text)
    return bool(spec.strip()) and _module_for(spec) == "python"


def _from_text(text: str) -> ModelSource:
    spec, method = split_method(text)
    source = _loader(spec)(spec)
    if method and source.saved:
        raise SourceError(
            f"{text}: {spec} is a saved report, which has no method or module to call; expected {spec} alone (its rows "
            f"include every module) or the model, for example net.py:Net#{method}"
        )
    return replace(source, text=f"{source.text}#{method}", method=method) if method else source


def _loader(spec: str) -> Callable[[str], ModelSource]:
    if not spec.strip():
        raise SourceError(
            "MODEL is empty: expected a zoo name such as lenet5, package.module:factory or path/to/file.py:Class"
        )
    return cast("Callable[[str], ModelSource]", import_module(f"cnncost.sources.{_module_for(spec)}").load)


def _module_for(spec: str) -> str:
    """Return the module of this package that handles a MODEL.

    Prefixes are checked before file endings, because `hf:path/to/config.json` is not a saved report.
    """
    for prefix, module in _LIBRARIES.items():
        if spec.startswith(prefix):
            return module
    _, dot, ending = spec.lower().rpartition(".")
    ending = ending if dot else ""
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    if ":" in spec:
        return "python"
    if ending == "py" and Path(spec).is_file():
        return "python"
    from cnncost.sources.not_models import is_path

    return "not_models" if is_path(spec) and spec not in _zoo_names() else "zoo"


_BY_ENDING = {"json": "saved", "pt2": "exported", "onnx": "onnx"}
"""The module of this package that handles a MODEL, by the file's ending."""


def _zoo_names() -> tuple[str, ...]:
    from cnncost import zoo

    return tuple(zoo.names())
