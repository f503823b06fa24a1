"""Symbolic links of a git revision, whose files are checked out to another folder than the working tree's."""

from __future__ import annotations

import os
from pathlib import Path


def lead_out(link: Path, original: Path, checked_out: Path) -> None:
    """Let a symbolic link that leads out of the checked-out files lead where it does in the working tree.

    Args:
        link: the link as it was checked out; a file, where git's `core.symlinks` is off, stays as it is.
        original: its path in the working tree.
        checked_out: the folder of all checked-out files, submodules included.
    """
    if not link.is_symlink():
        return
    target, place = link.readlink(), link.relative_to(checked_out)
    if target.is_absolute() or Path(os.path.normpath(link.parent / target)).is_relative_to(checked_out):
        return
    leads_to = Path(os.path.normpath(original.parent / target))
    top = Path(*original.parts[: -len(place.parts)])
    returns = leads_to.is_relative_to(top) and top / place == original  # by the name of the repository's own folder
    link.unlink()
    link.symlink_to(checked_out / leads_to.relative_to(top) if returns else original.parent / target)
