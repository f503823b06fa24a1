"""Imports optional packages that provide models when a MODEL needs them; errors say how to install them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from cnncost.errors import MissingPackageError, SourceError
from cnncost.sources.causes import is_installed, root, with_root

_PYPI_NAMES = {"PIL": "pillow", "cv2": "opencv-python", "skimage": "scikit-image", "sklearn": "scikit-learn",
            "yaml": "pyyaml"}  # fmt: skip
"""PyPI names by import name, for packages whose names differ."""


def required(spec: str, package: str, *modules: str) -> list[ModuleType]:
    """Import and return modules of an optional package.

    Raises:
        MissingPackageError: the package, or one that it needs, is not installed; the message contains the install
            command.
        SourceError: the package is installed but can't be imported; the message contains the root cause.
    """
    with importing(spec, package):
        return [importlib.import_module(name) for name in (modules or (package,))]


@contextmanager
def importing(spec: str, package: str) -> Iterator[None]:
    """Context manager in which any error but a SourceError counts as a failed import. Raises like `required`."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        first = root(error)
        missing = (first.name or "").partition(".")[0] if isinstance(first, ModuleNotFoundError) else ""
        if missing and not is_installed(missing):
            needs = f"the package {package}" if missing == package else f"{package}, which needs the package {missing}"
            command = f"pip install {_PYPI_NAMES.get(missing, missing)}"
            raise MissingPackageError(f"{spec}: this needs {needs}; install it with: {command}") from None
        reason = with_root(error)
        hint = f"; reinstall it with: pip install --force-reinstall {package}"
        if missing or isinstance(first, ImportError):
            other = missing or (getattr(first, "name", None) or "").partition(".")[0]
            packages = f"{package} {other}" if other and other != package else package
            hint = f"; install compatible versions with: pip install --upgrade {packages}"
        if "torchvision::" in reason:  # an op that isn't registered
            hint = (
                "; torchvision's compiled extension doesn't match this torch: install the same build of both (CPU or "
                "CUDA), for example with: pip install torch torchvision --index-url "
                "https://download.pytorch.org/whl/cpu"
            )
        raise SourceError(f"{spec}: {package} is installed but can't be imported: {reason}{hint}") from error
