"""Makes a process import a revision's code wherever Python would find the working tree's, or a copy of it.

An editable install leads to the working tree, and `pip install .` copies it into the environment. Both sides of a
comparison would run the same code, and no difference would show.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from inspect import currentframe
from pathlib import Path
from types import ModuleType
from typing import Any

from cnncost.budget.installed_copies import installed_copies
from cnncost.budget.revision_paths import RevisionPaths
from cnncost.errors import NotAtRevisionError

_LISTS = ("os.listdir", "os.scandir")
_FINDERS = ("importlib", "_frozen_importlib", "pkg_resources")
"""Modules of Python that list folders in search of a module or of installed packages. These lists are not recorded:
where a module is from is known by its spec."""


class RevisionImports:
    """A meta path finder that comes before Python's own, and the files that were read from the working tree.

    Attributes:
        built: files of modules that a build creates, and that are in no revision (`_version.py`, compiled extensions),
            by the modules' names. They are imported from the working tree or from the environment.
        read: files that code read from the working tree, and folders that it listed there, although the revision has
            them; relative to the top level.
    """

    def __init__(self, paths: RevisionPaths, folder: Path, ignores: Callable[[str], bool]) -> None:
        """Create the finder.

        Args:
            paths: where the revision's files and the working tree are.
            folder: the revision's counterpart of the folder that the user is in.
            ignores: whether git ignores a path, relative to the top level.
        """
        self.paths = paths
        self.built: dict[str, str] = {}
        self.read: set[str] = set()
        self._ignores = ignores
        self._copies = {name: copy.roots for name, copy in installed_copies(paths, paths.tree, folder).items()}

    def install(self) -> None:
        """Redirect this process's imports, and observe the files that it opens from now on."""
        sys.path[:] = self.paths.search_path(sys.path)
        sys.path_importer_cache.clear()
        sys.meta_path.insert(0, self)
        sys.addaudithook(self._event)

    def notes(self) -> list[str]:
        """Return notes on the modules that are not the revision's."""
        if not self.built:
            return []
        names = ", ".join(sorted(self.built))
        return [f"{names}: not in git, as a build makes it; each revision is analyzed with the one that is here"]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module: in the revision's files if Python would find it in the working tree.

        Raises:
            NotAtRevisionError: the working tree has the module, and the revision doesn't.
        """
        package = name.partition(".")[0]
        if package == "cnncost":
            return None
        later = sys.meta_path[sys.meta_path.index(self) + 1 :]
        finders = [finder for finder in later if hasattr(finder, "find_spec")]
        spec = next((found for finder in finders if (found := finder.find_spec(name, path, target))), None)
        if path is None and package in self._copies and not self._of_repository(spec):
            return self._instead_of_copy(name, spec)
        return self._find_built(name, path or ()) if spec is None else self._redirected(name, spec)

    def _of_repository(self, spec: ModuleSpec | None) -> bool:
        """Return whether a module is in the working tree or in the revision's files."""
        if spec is None or spec.origin is None:
            return False
        return self.paths.relative(spec.origin) is not None or Path(spec.origin).is_relative_to(self.paths.tree)

    def _redirected(self, name: str, spec: ModuleSpec) -> ModuleSpec | None:
        """Return the spec of the module's file, or of a namespace's folders, at the revision; others unchanged."""
        folders = spec.submodule_search_locations
        if spec.origin is None or not spec.has_location:  # a namespace package, or a module without a file
            if folders is None or all(self.paths.relative(each) is None for each in folders):
                return spec
            spec = ModuleSpec(name, None, is_package=True)
            there = [self.paths.at_revision(each) for each in folders]
            spec.submodule_search_locations = [each for each in there if Path(each).is_dir()]
            if not spec.submodule_search_locations:
                raise NotAtRevisionError(name)
            return spec
        relative = self.paths.relative(spec.origin)
        if relative is None:
            return spec
        file = Path(self.paths.at_revision(spec.origin))
        if file.is_file():
            inside = None if folders is None else [str(file.parent)]
            return spec_from_file_location(name, file, submodule_search_locations=inside)
        if not self._ignores(relative):
            raise NotAtRevisionError(name)  # not None, as finders that come later would find it
        return self._as_built(name, spec)

    def _instead_of_copy(self, name: str, copy: ModuleSpec | None) -> ModuleSpec | None:
        """Return the spec of a package in the revision's files whose copy is installed in the environment."""
        roots = self._copies[name]
        if found := PathFinder.find_spec(name, [*map(str, roots)]):
            if found.origin is None and copy is not None:  # a namespace that other distributions have parts of, too
                found.submodule_search_locations = [
                    *(found.submodule_search_locations or ()),
                    *(copy.submodule_search_locations or ()),
                ]
            return found
        in_working_tree = [str(self.paths.top / root.relative_to(self.paths.tree)) for root in roots]
        if copy is None or PathFinder.find_spec(name, in_working_tree):
            raise NotAtRevisionError(name)
        return self._as_built(name, copy)

    def _find_built(self, name: str, folders: Sequence[str]) -> ModuleSpec | None:
        """Return the spec of a module that the revision's package lacks if a build has made it."""
        for folder in folders:
            if not Path(folder).is_relative_to(self.paths.tree):
                continue
            there = self.paths.top / Path(folder).relative_to(self.paths.tree)
            spec = PathFinder.find_spec(name, [str(there)])
            if spec is not None and spec.origin is not None:
                relative = self.paths.relative(spec.origin)
                if relative is None or not self._ignores(relative):
                    raise NotAtRevisionError(name)
                return self._as_built(name, spec)
        package, *inner = name.split(".")
        if package in self._copies:
            copied = [str(Path(site, package, *inner[:-1])) for site in sys.path]
            spec = PathFinder.find_spec(name, copied)
            return self._as_built(name, spec) if spec is not None and spec.origin is not None else None
        return None

    def _as_built(self, name: str, spec: ModuleSpec) -> ModuleSpec:
        """Record a module as created by a build, and return its spec."""
        if spec.origin is not None:
            self.built[name] = os.path.realpath(spec.origin)
        return spec

    def _event(self, event: str, args: tuple[Any, ...]) -> None:
        """Handle an audit event: record a file that is opened for reading, or a folder listed, in the working tree."""
        lists = event in _LISTS
        if not (lists or event == "open") or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        if not lists and any(letter in str(args[1]) for letter in "wax+"):  # a mode of `open` that writes
            return
        here = currentframe() if lists else None
        if here and here.f_back and str(here.f_back.f_globals.get("__name__")).startswith(_FINDERS):
            return
        path = os.fsdecode(args[0])
        relative = self.paths.relative(path)
        if relative is None:
            return
        own = Path(self.paths.at_revision(path))
        if own.is_dir() if lists else own.is_file():
            self.read.add(relative)
