"""Symbolic links of a git revision whose files are checked out to a folder outside the working tree."""

from __future__ import annotations

import os
from pathlib import Path


def redirect(link: Path, original: Path, checked_out: Path) -> None:
    """Make a relative link that points outside the checked-out files point to its target in the working tree.

    A link that leaves the repository and comes back through the name of its folder points into the checked-out files.

    Args:
        link: the link as checked out; unchanged if it is a plain file, because git's `core.symlinks` is off.
        original: the link's path in the working tree.
        checked_out: the folder with all checked-out files, submodules included.
    """
    if not link.is_symlink():
        return
    target, place = link.readlink(), link.relative_to(checked_out)
    if target.is_absolute() or Path(os.path.normpath(link.parent / target)).is_relative_to(checked_out):
        return
    leads_to = Path(os.path.normpath(original.parent / target))
    top = Path(*original.parts[: -len(place.parts)])
    returns = leads_to.is_relative_to(top) and top / place == original
    link.unlink()
    link.symlink_to(checked_out / leads_to.relative_to(top) if returns else original.parent / target)
