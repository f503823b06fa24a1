"""Optional packages that models come from: imported when a MODEL names one, and missed in words."""

from __future__ import annotations

import importlib
from types import ModuleType

from cnncost.errors import MissingPackageError, SourceError
from cnncost.sources.loaded import one_line


def required(spec: str, package: str, *modules: str) -> list[ModuleType]:
    """Import modules of an optional package.

    Raises:
        MissingPackageError: it is not installed; the message has the command that installs it.
        SourceError: it is, and can't be imported.
    """
    try:
        return [importlib.import_module(name) for name in (modules or (package,))]
    except ModuleNotFoundError as error:
        missing = (error.name or package).partition(".")[0]
        needs = f"the package {package}" if missing == package else f"{package}, and that needs the package {missing}"
        raise MissingPackageError(f"{spec}: this needs {needs}; install it with: pip install {missing}") from None
    except Exception as error:
        why = f"{type(error).__name__}: {one_line(error)}"
        hint = ""
        if "torchvision::" in why:
            hint = "; the compiled part of torchvision doesn't fit this torch: install both of one build (CPU or CUDA)"
        raise SourceError(f"{spec}: {package} is installed and can't be imported: {why}{hint}") from error
