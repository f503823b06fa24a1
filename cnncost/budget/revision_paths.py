"""Maps paths in the working tree to the same files at a revision."""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import cnncost

_SITES = ("site-packages", "dist-packages")


def _environments(top: str) -> tuple[str, ...]:
    """Return the folders below the top level that hold a Python environment, such as `.venv`, or cnncost's own code.

    Each path ends with a separator.
    """
    homes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix} - {top}
    modules = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found = {os.path.realpath(each) for each in (*homes, *modules, str(Path(cnncost.__file__).parent))}
    return tuple(each + os.sep for each in sorted(found) if each.startswith(_inside(top)))


def _inside(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep


@dataclass(frozen=True)
class RevisionPaths:
    """Where a revision's files and the working tree are.

    Attributes:
        revision: the folder with the revision's files.
        top: the top level of the working tree; a Python environment inside it does not count as part of it.
    """

    revision: Path
    top: Path
    _excluded: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_excluded", _environments(str(self.top)))  # the only way in a frozen dataclass

    def relative(self, path: str) -> str | None:
        """Resolve links, and return the path of a file in the working tree relative to `top`; None for other files.

        Files of git, of installed packages and of the revision don't count, even if they are below `top`.
        """
        if not (real := os.path.realpath(path)).startswith(_inside(str(self.top))):
            return str(os.curdir) if real == str(self.top) else None
        if real.startswith((_inside(str(self.revision)), *self._excluded)):
            return None
        relative = os.path.relpath(real, self.top)
        parts = Path(relative).parts
        return None if parts[0] == ".git" or any(site in parts for site in _SITES) else relative

    def at_revision(self, path: str) -> str:
        """Return the path that a file in the working tree has, or would have, at the revision; others unchanged."""
        relative = self.relative(path)
        return path if relative is None else os.path.normpath(self.revision / relative)

    def search_path(self, entries: list[str]) -> list[str]:
        """Return the entries of `sys.path`, replacing the working tree's folders with the revision's."""
        home = Path(cnncost.__file__).parent.parent  # not replaced, even if it is in the working tree
        return [entry if Path(entry) == home else self.at_revision(str(Path.cwd() / entry)) for entry in entries]
