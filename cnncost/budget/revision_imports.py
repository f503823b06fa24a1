"""Makes a process import a revision's code wherever Python would find the working tree's code, or a copy of that.

Otherwise both sides of a comparison could run the same code and show no difference: an editable install leads to the
working tree, and `pip install .` copies it into the environment.
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

_LISTING_EVENTS = ("os.listdir", "os.scandir")
_FINDERS = ("importlib", "_frozen_importlib", "pkg_resources")
"""Name prefixes of modules that list folders in search of modules or installed packages. Their listings are not
recorded, because a module's origin is known from its spec."""


class RevisionImports:
    """A meta path finder that precedes Python's own, and a record of what code reads from the working tree.

    Attributes:
        built: files of modules that a build creates and no revision contains (`_version.py`, compiled extensions), by
            the modules' names. They are imported from the working tree or the environment.
        read: files that code read, and folders that it listed, in the working tree although the revision has them;
            relative to the top level.
    """

    def __init__(self, paths: RevisionPaths, folder: Path, ignores: Callable[[str], bool]) -> None:
        """Create the finder.

        Args:
            paths: where the revision's files and the working tree are.
            folder: the revision's counterpart of the user's working folder.
            ignores: whether git ignores a path relative to the top level.
        """
        self.paths = paths
        self.built: dict[str, str] = {}
        self.read: set[str] = set()
        self._ignores = ignores
        copies = installed_copies(paths, paths.revision, folder)
        # for each package that is installed as a copy: the folders of the revision in which to search for it
        self._copied_from = {name: copy.roots for name, copy in copies.items()}

    def install(self) -> None:
        """Redirect this process's imports, and record the files that it opens from now on."""
        sys.path[:] = self.paths.search_path(sys.path)
        sys.path_importer_cache.clear()
        sys.meta_path.insert(0, self)
        sys.addaudithook(self._event)

    def notes(self) -> list[str]:
        """Return a note on modules that a build creates, which are not the revision's; empty if none was imported."""
        if not self.built:
            return []
        names = ", ".join(sorted(self.built))
        return [f"{names}: created by a build and not in git; every revision is analyzed with the current one"]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module; if Python would find it in the working tree, its file is the revision's.

        Raises:
            NotAtRevisionError: the working tree has the module, but the revision doesn't.
        """
        package = name.partition(".")[0]
        if package == "cnncost":
            return None
        later = sys.meta_path[sys.meta_path.index(self) + 1 :]
        finders = [finder for finder in later if hasattr(finder, "find_spec")]
        spec = next((found for finder in finders if (found := finder.find_spec(name, path, target))), None)
        if path is None and package in self._copied_from and not self._is_in_repository(spec):
            return self._instead_of_copy(name, spec)  # path is None: not inside a package
        return self._find_built(name, path or ()) if spec is None else self._redirected(name, spec)

    def _is_in_repository(self, spec: ModuleSpec | None) -> bool:
        """Return whether a module is in the working tree or in the revision's files."""
        if spec is None or spec.origin is None:
            return False
        return self.paths.relative(spec.origin) is not None or Path(spec.origin).is_relative_to(self.paths.revision)

    def _redirected(self, name: str, spec: ModuleSpec) -> ModuleSpec | None:
        """Return the spec of a module's file, or of a namespace package's folders, at the revision.

        The spec of a module outside the working tree is returned unchanged.
        """
        folders = spec.submodule_search_locations
        if spec.origin is None or not spec.has_location:  # a namespace package, or a module without a file
            if folders is None or all(self.paths.relative(each) is None for each in folders):
                return spec
            spec = ModuleSpec(name, None, is_package=True)
            at_revision = [self.paths.at_revision(each) for each in folders]
            spec.submodule_search_locations = [each for each in at_revision if Path(each).is_dir()]
            if not spec.submodule_search_locations:
                raise NotAtRevisionError(name)
            return spec
        relative = self.paths.relative(spec.origin)
        if relative is None:
            return spec
        file = Path(self.paths.at_revision(spec.origin))
        if file.is_file():
            package_folders = None if folders is None else [str(file.parent)]  # None: a module, not a package
            return spec_from_file_location(name, file, submodule_search_locations=package_folders)
        if not self._ignores(relative):
            raise NotAtRevisionError(name)  # after None, later finders would find it
        return self._as_built(name, spec)

    def _instead_of_copy(self, name: str, copy: ModuleSpec | None) -> ModuleSpec | None:
        """Return the spec, in the revision's files, of a package whose copy is installed in the environment.

        `copy` is the spec that Python finds; None if it finds none.
        """
        roots = self._copied_from[name]
        if found := PathFinder.find_spec(name, [*map(str, roots)]):
            if found.origin is None and copy is not None:  # a namespace package, shared with other distributions
                found.submodule_search_locations = [
                    *(found.submodule_search_locations or ()),
                    *(copy.submodule_search_locations or ()),
                ]
            return found
        in_working_tree = [str(self.paths.top / root.relative_to(self.paths.revision)) for root in roots]
        if copy is None or PathFinder.find_spec(name, in_working_tree):
            raise NotAtRevisionError(name)
        return self._as_built(name, copy)  # neither source has it: a build created it

    def _find_built(self, name: str, folders: Sequence[str]) -> ModuleSpec | None:
        """Return the spec of a module created by a build, which the revision's package lacks; None if there is none.

        The working tree's package is searched first, then the installed copy. `folders` are the package's folders.
        """
        for folder in folders:
            if not Path(folder).is_relative_to(self.paths.revision):
                continue
            in_working_tree = self.paths.top / Path(folder).relative_to(self.paths.revision)
            spec = PathFinder.find_spec(name, [str(in_working_tree)])
            if spec is not None and spec.origin is not None:
                relative = self.paths.relative(spec.origin)
                if relative is None or not self._ignores(relative):
                    raise NotAtRevisionError(name)
                return self._as_built(name, spec)
        package, *inner = name.split(".")
        if package in self._copied_from:
            copies = [str(Path(site, package, *inner[:-1])) for site in sys.path]
            spec = PathFinder.find_spec(name, copies)
            return self._as_built(name, spec) if spec is not None and spec.origin is not None else None
        return None

    def _as_built(self, name: str, spec: ModuleSpec) -> ModuleSpec:
        """Record a module as created by a build, and return its spec."""
        if spec.origin is not None:
            self.built[name] = os.path.realpath(spec.origin)
        return spec

    def _event(self, event: str, args: tuple[Any, ...]) -> None:
        """Handle an audit event: record files of the working tree that are opened for reading, and folders listed."""
        is_listing = event in _LISTING_EVENTS
        if not (is_listing or event == "open") or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        if not is_listing and any(letter in str(args[1]) for letter in "wax+"):  # a mode of `open` that writes
            return
        frame = currentframe() if is_listing else None
        if frame and frame.f_back and str(frame.f_back.f_globals.get("__name__")).startswith(_FINDERS):
            return
        path = os.fsdecode(args[0])
        relative = self.paths.relative(path)
        if relative is None:
            return
        at_revision = Path(self.paths.at_revision(path))
        if at_revision.is_dir() if is_listing else at_revision.is_file():
            self.read.add(relative)
