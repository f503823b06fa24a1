"""Observes what an analysis reads: files, folders, environment variables, modules."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import source_from_cache
from pathlib import Path
from types import FrameType
from typing import Any

from cnncost.cache import files, libraries
from cnncost.cache.dependencies import NATIVE, Dependencies, beginning_with, value_of
from cnncost.cache.environment import Arguments, Observed
from cnncost.cache.imported import module_files, package_folders
from cnncost.cache.suspects import suspicious

_SYSTEM = ("/proc", "/sys", "/dev")
"""File systems of the kernel: their facts on the machine are part of a request's key."""
_SHARED = ("/dev/shm",)  # noqa: S108  # nothing is written there
"""Exceptions: folders in them where users have files."""
_KIND_CHECKS = frozenset(
    "_joinrealpath checkcache exists getsourcefile is_dir is_file is_symlink isdir isfile islink lexists realpath "
    "updatecache".split()
)
"""Functions of the standard library that ask only whether a path exists, its type or its target: not size or times."""
_OUTSIDE = (
    "socket.", "subprocess.", "urllib.", "http.", "ftplib.", "smtplib.", "os.system", "os.exec", "os.fork", "os.spawn",
    "os.posix_spawn", "os.startfile", "sqlite3.", "webbrowser.",
)  # fmt: skip
"""Prefixes of audit events (`sys.addaudithook`) that read or run something other than a file."""
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.")
_COMPILED = (".pyc", ".pyo", ".so", ".pyd")
"""Endings of modules without source, in which nothing can be found by which a result depends on more than files."""
_MODES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MARGIN = 20_000_000
"""Nanoseconds that a file's modification time may lag behind the clock."""
_OWN = str(Path(__file__).parents[1])


class Watch:
    """Observes this process from `start` on. What one analysis reads counts as a dependency of all later ones, too.

    Attributes:
        against: why the analysis can't be cached, as shown to the user; empty if it can.
    """

    def __init__(self) -> None:
        self.against = ""
        self._begun = 0  # nanoseconds since the epoch
        self._opened: dict[str, files.Stamp | None] = {}  # files, for reading, as they were when first opened
        self._written: set[str] = set()  # files that were written, renamed or removed
        self._listed: set[str] = set()  # folders
        self._listed_by_user: set[str] = set()  # those that the user's code listed
        self._looked_up: set[str] = set()  # paths given to os.stat, os.lstat or os.access
        self._looked_up_by_user: set[str] = set()  # those by the user's code, maybe through a library
        self._times_read: set[str] = set()  # paths whose size, times or permissions the user's code may have used
        self._noted: set[Any] = set()  # lookups that need no more handling: there are thousands, mostly repeated
        self._environment = Observed(_is_library_code)
        self._on = False
        self._replaced: list[tuple[str, Callable[..., Any]]] = []
        self._random_state: Any = None

    def start(self) -> None:
        """Start to observe. If torch is imported already, its reads were missed, and nothing can be cached."""
        self._on = self._environment.on = True
        self._random_state = random.getstate()
        if self._begun:
            return
        self._begun = time.time_ns()
        _scratch()
        if "torch" in sys.modules:
            self.against = "torch was imported before"
        sys.addaudithook(self._event)
        self._environment.enter()
        sys.argv = Arguments(sys.argv, self._note_arguments)
        for name in ("stat", "lstat", "access"):
            self._replace(name)

    def pause(self) -> None:
        """Stop observing until `start`: what follows is not part of an analysis."""
        self._on = self._environment.on = False

    def stop(self) -> None:
        """Stop for good and restore what was replaced; the audit hook can't be removed and does nothing from now on."""
        self.pause()
        self._environment.leave()
        if isinstance(sys.argv, Arguments):
            sys.argv = sys.argv.own
        while self._replaced:
            name, own = self._replaced.pop()
            setattr(os, name, own)

    def _note_arguments(self, file: str) -> None:
        if self._on and _is_users(file):
            self.against = self.against or "it reads the command line"

    def _replace(self, name: str) -> None:
        own = getattr(os, name)
        self._replaced.append((name, own))

        def observed(path: Any, *given: Any, **named: Any) -> Any:
            if self._on and path not in self._noted:
                self._look_up(path, sys._getframe(1))
            return own(path, *given, **named)

        setattr(os, name, observed)

    def _look_up(self, path: Any, frame: FrameType) -> None:
        text = _path(path)
        if not text or _is_system(text) or libraries.is_library(text):
            self._noted.add(path)
            return
        self._looked_up.add(text)
        if _reads_times(frame):
            self._times_read.add(text)
        if _is_users(libraries.behind(frame)):
            self._looked_up_by_user.add(text)
        if text in self._times_read or text not in self._looked_up_by_user:
            self._noted.add(path)

    def _event(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            self._open(*given)
        elif event in {"os.listdir", "os.scandir"}:
            self._list(given[0], sys._getframe(1))
        elif event == "os.chdir":
            if _is_users(libraries.behind(sys._getframe(1))):
                self.against = self.against or "it changes the working folder"
        elif event == "compile":
            self._compile(given[0], sys._getframe(1))
        elif event.startswith(_OUTSIDE):
            self.against = self.against or f"it called {event}"
        elif event.startswith(_CHANGES):
            self._written |= {text for each in given[:2] if isinstance(each, (str, bytes)) and (text := _path(each))}

    def _list(self, folder: Any, frame: FrameType) -> None:
        if not _is_noted_listing(frame):
            return
        if isinstance(folder, int):
            self.against = self.against or "it lists a folder that it opened"
        elif text := _path(folder if folder is not None else "."):
            self._listed.add(text)
            if _is_users(frame.f_code.co_filename):
                self._listed_by_user.add(text)

    def _compile(self, source: Any, frame: FrameType | None) -> None:
        """Check source that is compiled without an import, such as a file that the model runs by exec."""
        if not isinstance(source, (str, bytes)) or _is_import(frame) or _is_library_code(libraries.behind(frame)):
            return
        if why := suspicious(source):
            self.against = self.against or f"code that it runs uses {why}"

    def _open(self, path: Any, mode: Any, flags: Any = 0) -> None:
        text = _path(path)
        if isinstance(path, int) and _is_users(libraries.behind(sys._getframe(2))):
            self.against = self.against or f"it reads an open file, descriptor {path}"  # standard input, such as 0
        if not text or text.startswith(f"{os.devnull}"):
            return
        if text in {"/dev/urandom", "/dev/random"}:
            self.against = self.against or "it draws random numbers"
        elif any(each in (mode or "") for each in "wax+") or (isinstance(flags, int) and flags & _MODES):
            self._written.add(text)
        elif not _is_system(text):
            if (source := _source(text)) not in self._opened:
                self._opened[source] = files.stamp(source)
        elif _is_users(libraries.behind(sys._getframe(2))):
            self.against = self.against or f"it reads {text}"

    def dependencies(self) -> Dependencies:
        """Return what was read so far. Afterwards `against` says why it can't be cached, if it can't."""
        self.pause()
        before = self._environment.before
        found = Dependencies(
            environment={name: value_of(name, before) for name in self._environment.read},
            walks={each: beginning_with((each,), before) for each in self._environment.walks},
            native=beginning_with(NATIVE, before),
        )
        self.against = self.against or self._environment.against
        modules, times = module_files(), dict[str, float]()
        for path in sorted(modules | (self._opened.keys() - self._written)):
            if not libraries.is_standard(path):
                self._add(path, found, times)
        for site in libraries.sites():
            found.installed[site] = libraries.digests(site)
        self._add_folders(found, modules)
        if both := sorted(
            path for path in self._written & (self._opened.keys() | self._looked_up_by_user) if not _is_bytecode(path)
        ):
            self.against = self.against or f"it reads and writes {both[0]}"
        if written := sorted(path for path in self._written if not _is_scratch(path, found.importable)):
            self.against = self.against or f"it wrote {written[0]}"
        if self._random_state != random.getstate() or _torch_drew():
            self.against = self.against or "it draws random numbers"
        return found

    def _add(self, path: str, found: Dependencies, times: dict[str, float]) -> None:
        """Add a file to `found`, by its content or as one of an installed package."""
        stamp = files.stamp(path)
        if not files.can_be_read_again(path):
            self.against = self.against or f"it reads {path}, which is not a regular file"
            return
        changed = path in self._opened and self._opened[path] != stamp  # whatever the file system's clock says
        if changed or (stamp is not None and max(stamp[1:]) >= self._begun - _MARGIN):
            self.against = self.against or f"{path} was changed meanwhile"
        if stamp is not None and libraries.as_installed(path, stamp[0], times):
            folder, _, name = path.rpartition(os.sep)
            found.imported.setdefault(folder, {})[name] = stamp[:2]
            return
        found.sources[path] = (files.content(path), stamp)
        if path.endswith(_COMPILED) and _is_users(path):
            self.against = self.against or f"{os.path.basename(path)} is compiled code, whose reads can't be observed"
        if path.endswith(".py") and _is_users(path) and (why := _suspicious(path)):
            self.against = self.against or f"{os.path.basename(path)} uses {why}"

    def _add_folders(self, found: Dependencies, modules: set[str]) -> None:
        homes = {os.path.dirname(path) for path in modules if _is_users(path)}
        homes |= {path for path in package_folders() if _is_users(f"{path}{os.sep}")}
        homes |= set(map(os.path.abspath, [*sys.path, *sys.path_importer_cache]))
        for folder in homes:
            inside = f"{folder}{os.sep}"
            if folder in libraries.sites() or _is_users(inside):
                found.importable[folder] = files.importable(folder)
        for folder in self._listed:
            inside = f"{folder}{os.sep}"
            if not _is_system(inside) and _is_users(inside):
                found.listings[folder] = files.listing(folder)
                if folder in self._listed_by_user:
                    self._times_read |= {inside + name for name in _names(folder)}
        looked_up = self._looked_up - self._written - found.sources.keys()
        found.kinds |= {path: files.state_without_folder_times(path) for path in looked_up}
        found.states |= {path: files.state(path) for path in self._times_read - self._written}
        looked_up = {*found.sources, *found.kinds, *found.states, *found.listings}
        found.places |= {path: os.path.realpath(path) for path in looked_up}


def _is_users(file: str) -> bool:
    """Return whether a file is the user's: not a library's, Python's or this package's."""
    return not _is_library_code(file)


def _is_library_code(file: str) -> bool:
    """Return whether a file is a library's, Python's or this package's."""
    return file.startswith("<frozen") or libraries.is_library(file) or files.below(file, (_OWN,))


def _is_noted_listing(frame: FrameType | None) -> bool:
    """Return whether a listing matters: not one by an import (`importable` covers these) or by this package."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or f"importlib{os.sep}metadata" in file:
            return False
        if not file.startswith("<frozen") and not libraries.is_standard(file) and file != __file__:
            return not files.below(file, (_OWN,))
        frame = frame.f_back
    return False


def _reads_times(frame: FrameType | None) -> bool:
    """Return whether the model's own code asks for the size, times or permissions of a file."""
    names = set()
    while frame is not None and _is_standard(frame.f_code.co_filename):
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return frame is not None and not names & _KIND_CHECKS and _is_users(frame.f_code.co_filename)


def _is_standard(file: str) -> bool:
    return file.startswith("<frozen") or libraries.is_standard(file)


def _is_import(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _is_system(path: str) -> bool:
    return files.below(path, _SYSTEM) and not files.below(path, _SHARED)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_bytecode(path: str) -> bool:
    return path.endswith(".pyc") or "__pycache__" in path


def _source(path: str) -> str:
    """Return the source file of a .pyc file, which an import opens in its place; other paths unchanged."""
    if not path.endswith(".pyc"):
        return path
    try:
        return source_from_cache(path)
    except ValueError:
        return path


def _path(path: Any) -> str:
    """Return the absolute path of an argument of open, stat, …; empty if it is not a path."""
    try:
        return os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError):
        return ""


def _is_scratch(path: str, homes: Iterable[str]) -> bool:
    """Return whether a written file can be ignored: bytecode, or a temporary file outside of the user's folders."""
    if _is_bytecode(path):
        return True
    return files.below(path, (_scratch(),)) and not files.below(path, (os.getcwd(), *homes))


@cache
def _scratch() -> str:
    """Return the folder of temporary files; cached before the audit hook is added, as finding it opens files."""
    return tempfile.gettempdir()


def _suspicious(path: str) -> str:
    try:
        return suspicious(Path(path).read_bytes())
    except OSError:
        return ""


def _torch_drew() -> bool:
    """Return whether torch's generator was used since it was created or seeded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    fresh = torch.Generator().manual_seed(torch.initial_seed())
    return not bool((torch.get_rng_state() == fresh.get_state()).all())
