"""Packages of a repository that are installed as copies of its files, by `pip install .` or from a wheel."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from filecmp import cmp
from importlib.machinery import PathFinder
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from cnncost.budget.revision_paths import RevisionPaths

_COMPILED = {".pyc", ".so", ".pyd", ".dll", ".dylib"}
"""Suffixes of compiled files, which may differ even if their sources are the same."""


class Copy(NamedTuple):
    """A package that is installed as a copy.

    Attributes:
        roots: folders of the repository in which to search for the original package.
        files: the copy's files relative to `site`, including data, without compiled ones.
        site: the folder that the package is installed in.
    """

    roots: list[Path]
    files: list[str]
    site: Path


def installed_copies(paths: RevisionPaths, root: Path, folder: Path) -> dict[str, Copy]:
    """Return the packages of a repository that are installed as copies, by the name under which they are imported.

    Args:
        paths: where the revision's files and the working tree are.
        root: the folder with the repository's files: `paths.revision` or `paths.top`.
        folder: the user's working folder, or its counterpart, in `root`.
    """
    projects = dict(_projects(root, folder))
    copies: dict[str, Copy] = {}
    for site in map(Path, sys.path):
        for info in site.glob("*.dist-info"):
            distribution = Distribution.at(info)
            relative = _source(distribution, paths)
            project = root / relative if relative else projects.get(_normalized(info.name.partition("-")[0]))
            if project is None:
                continue
            for name, files in _packages(distribution).items():
                # besides the usual layouts, the package may be in any folder, or one folder deeper
                deep = [*project.glob(f"*/{name}/__init__.py"), *project.glob(f"*/*/{name}/__init__.py")]
                roots = [project / "src", project, *(each.parent.parent for each in sorted(deep))]
                copies.setdefault(name, Copy(roots, files, site))  # the first one in sys.path is imported
    return copies


def notes_on_copies(top: Path, folder: Path) -> tuple[str, ...]:
    """Return notes on installed copies whose files differ from those of the working tree.

    Args:
        top: the top level of the working tree.
        folder: the user's working folder, which is in the working tree.
    """
    paths = RevisionPaths(top / ".git" / "no revision", top)  # nothing is checked out: only `top` matters
    found = installed_copies(paths, top, folder)
    return tuple(
        f"{name} is installed in {copy.site} as a copy that differs from the working tree: code outside the working "
        "tree imports the copy; reinstall it, or use pip install -e"
        for name, copy in sorted(found.items())
        if _differs(name, copy)
    )


def _differs(name: str, copy: Copy) -> bool:
    """Return whether any file of a copy is also in the repository, but with different content."""
    spec = PathFinder.find_spec(name, [*map(str, copy.roots)])
    if spec is None:
        return False
    folders = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    roots = [Path(each).parent for each in folders]  # a namespace package has several
    for file in copy.files:
        original = next((root / file for root in roots if (root / file).is_file()), None)
        installed = copy.site / file
        if original is not None and installed.is_file() and not cmp(original, installed, shallow=False):
            return True
    return False


def _projects(root: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of each project that contains `folder`, from the innermost one up to `root`."""
    for parent in (folder, *folder.parents):
        file = parent / "pyproject.toml"
        if file.is_file() and (name := _project_name(file)):
            yield _normalized(name), parent
        if parent == root:
            return


def _project_name(file: Path) -> str:
    try:
        data: Any = tomllib.loads(file.read_text(encoding="utf-8"))
        return str(data.get("project", {}).get("name") or data.get("tool", {}).get("poetry", {}).get("name") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _source(distribution: Distribution, paths: RevisionPaths) -> str | None:
    """Return the folder from which pip installed a distribution, relative to the top level of the working tree.

    None if pip did not record the folder, or if it is not in the working tree.
    """
    try:
        about = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = urlsplit(about["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if url.scheme != "file" or "dir_info" not in about:  # installs from archives or version control have other keys
        return None
    return paths.relative(unquote(url.path))


def _packages(distribution: Distribution) -> dict[str, list[str]]:
    """Return the files of a distribution by top-level import name, without the finders of editable installs."""
    files: dict[str, list[str]] = {}
    names: dict[str, None] = {}
    for file in distribution.files or ():
        name = file.parts[0].partition(".")[0]
        if not name.isidentifier() or name.startswith("__editable__"):
            continue
        if file.suffix in {".py", ".so", ".pyd"}:
            names[name] = None
        if not _COMPILED.intersection(file.suffixes):
            files.setdefault(name, []).append(str(file))
    return {name: files.get(name, []) for name in names}
