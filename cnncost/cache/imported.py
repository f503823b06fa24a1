"""The modules that this process has imported."""

from __future__ import annotations

import os
import sys


def package_folders() -> set[str]:
    """Return the absolute paths of the folders of all imported packages, including namespace packages."""
    found: set[str] = set()
    for module in list(sys.modules.values()):
        try:
            found |= {os.path.abspath(path) for path in vars(module).get("__path__", ()) if isinstance(path, str)}
        except (TypeError, AttributeError):
            continue
    return found


def module_files() -> set[str]:
    """Return the absolute paths of the files of all imported modules."""
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {os.path.abspath(file) for file in found if isinstance(file, str)}
