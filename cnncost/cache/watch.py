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

from cnncost.cache import callers, files, libraries
from cnncost.cache.dependencies import NATIVE, Dependencies, beginning_with, value_of
from cnncost.cache.environment import Arguments, EnvironmentWatch
from cnncost.cache.imported import module_files, package_folders
from cnncost.cache.suspects import suspicious

_SYSTEM = ("/proc", "/sys", "/dev")
"""Folders in which the operating system presents its state as files.

What libraries read there describes the machine, which is part of each recording's file name (`recordings._machine`).
A model whose own code opens a file there is not cached.
"""
_SHARED = ("/dev/shm",)  # noqa: S108  # only compared with paths
"""Folders inside `_SYSTEM` that hold ordinary files of users."""
_OUTSIDE = (
    "socket.", "subprocess.", "urllib.", "http.", "ftplib.", "smtplib.", "os.system", "os.exec", "os.fork", "os.spawn",
    "os.posix_spawn", "os.startfile", "sqlite3.", "webbrowser.",
)  # fmt: skip
"""Prefixes of audit events (`sys.addaudithook`) that read or run something other than a file."""
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.")
"""Prefixes of audit events that change files or folders without opening them."""
_COMPILED = (".pyc", ".pyo", ".so", ".pyd")
"""Suffixes of modules without source, which can't be searched for suspicious code."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
"""Flags with which `os.open` may change a file."""
_MARGIN = 20_000_000
"""Nanoseconds by which a file's modification time may lag behind the clock."""


class Watch:
    """Observes this process from `start` on. What one analysis reads also counts as a dependency of all later ones.

    Attributes:
        obstacle: why the analysis can't be cached, as shown to the user; empty if it can.
    """

    def __init__(self) -> None:
        self.obstacle = ""
        self._begun = 0  # time of the first start, in nanoseconds since the epoch; 0: not started
        self._opened: dict[str, files.Stamp | None] = {}  # files opened for reading, and their stamps at that time
        self._written: set[str] = set()  # files or folders that were written, created, renamed or removed
        self._listed: set[str] = set()  # folders that were listed
        self._scanned: set[str] = set()  # listed folders whose entries (os.DirEntry) may have revealed sizes or times
        self._looked_up: set[str] = set()  # paths passed to os.stat, os.lstat or os.access
        self._looked_up_by_user: set[str] = set()  # those passed by the user's code, see `Caller.by_user`
        self._times_read: set[str] = set()  # paths whose size or times may have been used
        # thousands of look-ups are repeats, so two kinds are skipped: calls of `_look_up` with the same arguments, and
        # paths (as passed) for which there is nothing more to record, whoever looks them up
        self._handled: set[tuple[Any, ...]] = set()
        self._settled: set[str | bytes] = set()
        self._environment = EnvironmentWatch()
        self._on = False
        self._replaced: list[tuple[str, Callable[..., Any]]] = []
        self._random_state: Any = None  # the state of Python's `random` at the last start

    def start(self) -> None:
        """Start observing. If torch has already been imported, its reads were missed, and nothing can be cached."""
        self._on = self._environment.on = True
        self._random_state = random.getstate()
        if self._begun:
            return
        self._begun = time.time_ns()
        for cached in (_temporary_folder, libraries.sites, libraries.standard):
            cached()  # call these before the observation: to find the folders, Python opens files
        if "torch" in sys.modules:
            self.obstacle = "torch was already imported"
        sys.addaudithook(self._event)
        self._environment.enter()
        sys.argv = Arguments(sys.argv, self._note_arguments)
        for name in ("stat", "lstat", "access"):
            self._replace(name)

    def pause(self) -> None:
        """Stop observing until `start`: what follows is not part of an analysis."""
        self._on = self._environment.on = False

    def stop(self) -> None:
        """Stop for good and restore what was replaced. The audit hook remains, but does nothing from now on."""
        self.pause()
        self._environment.leave()
        if isinstance(sys.argv, Arguments):
            sys.argv = sys.argv.original
        while self._replaced:
            name, original = self._replaced.pop()
            setattr(os, name, original)

    def _note_arguments(self, file: str) -> None:
        """Record that the code in a file reads `sys.argv`."""
        if self._on and callers.is_users(file):
            self.obstacle = self.obstacle or "it reads the command line"

    def _replace(self, name: str) -> None:
        """Wrap a function of `os` that looks up a path, to record the path: Python has no audit event for it."""
        original = getattr(os, name)
        self._replaced.append((name, original))

        def observed(path: Any, *args: Any, **kwargs: Any) -> Any:
            # only a str is hashed: other path-like objects may be mutable
            if self._on and (kwargs or type(path) is not str or path not in self._settled):
                caller = callers.caller_of_look_up(sys._getframe(1))
                times = caller.may_use_times and name != "access"
                if times and kwargs.get("dir_fd") is not None:
                    self.obstacle = self.obstacle or f"it looks up {path} relative to a folder's file descriptor"
                self._look_up(path, times, caller.by_user)
            return original(path, *args, **kwargs)

        setattr(os, name, observed)

    def _look_up(self, path: Any, times: bool, by_user: bool) -> None:
        """Record that a path was looked up.

        Args:
            path: the path as passed.
            times: whether the caller may use the size or times in the result.
            by_user: as in `Caller`.
        """
        try:
            look_up = os.fspath(path), times, by_user
        except TypeError:  # an int, which is a file descriptor, or an argument that the look-up itself rejects
            if times and isinstance(path, int):
                self.obstacle = self.obstacle or "it reads the size or times of an open file"
            return
        if look_up in self._handled:
            return
        self._handled.add(look_up)
        text = _path(path)
        is_irrelevant = not text or _is_system(text) or libraries.is_library(text)
        if is_irrelevant or (times and by_user):  # the path belongs in none of the sets below, or in all of them
            self._settled.add(look_up[0])
        if is_irrelevant:
            return
        self._looked_up.add(text)
        if times:
            self._times_read.add(text)
        if by_user:
            self._looked_up_by_user.add(text)

    def _event(self, event: str, args: tuple[Any, ...]) -> None:
        """Handle an audit event, with the arguments that Python documents for it."""
        if not self._on or event == "sys._getframe":  # caused by the calls below
            return
        if event == "open":
            self._open(*args, frame=sys._getframe(1))
        elif event in {"os.listdir", "os.scandir"}:
            self._list(event, args[0], sys._getframe(1))
        elif event == "os.chdir":
            self._handled.clear()  # relative paths have a different meaning from now on
            self._settled.clear()
            if callers.is_users(callers.calling_file(sys._getframe(1))):
                self.obstacle = self.obstacle or "it changes the working folder"
        elif event == "compile":
            self._compile(args[0], sys._getframe(1))
        elif event.startswith(_OUTSIDE):
            self.obstacle = self.obstacle or f"it called {event}"
        elif event.startswith(_CHANGES):
            self._written |= {text for each in args[:2] if isinstance(each, (str, bytes)) and (text := _path(each))}

    def _list(self, event: str, folder: Any, frame: FrameType) -> None:
        """Record that a folder was listed. `folder` is a path, a file descriptor, or None for the working folder."""
        if not callers.may_use_names(frame):
            return
        if isinstance(folder, int):
            self.obstacle = self.obstacle or "it lists a folder by its file descriptor"
        elif text := _path(folder if folder is not None else "."):
            self._listed.add(text)
            # entries reveal sizes and times without a call of os.stat; Python's os.walk, glob, … don't return entries
            # to their callers, but in a thread of Python's own (without a caller) they may be returned
            stay_in_python = libraries.is_standard(frame.f_code.co_filename) and callers.calling_file(frame)
            if event == "os.scandir" and not stay_in_python:
                self._scanned.add(text)

    def _compile(self, source: Any, frame: FrameType) -> None:
        """Check source that is compiled without an import, such as code that the model passes to `exec`."""
        if not isinstance(source, (str, bytes)) or callers.is_import(frame):
            return
        if callers.is_users(callers.calling_file(frame)) and (why := suspicious(source)):
            self.obstacle = self.obstacle or f"code that it compiles uses {why}"

    def _open(self, path: Any, mode: Any, flags: Any = 0, *, frame: FrameType) -> None:
        """Record that a file was opened, by `open` with a mode or by `os.open` with flags (`mode` is then None)."""
        text = _path(path)
        # the import system also opens descriptors, to write bytecode
        if isinstance(path, int) and not callers.is_import(frame) and callers.is_users(callers.calling_file(frame)):
            self.obstacle = self.obstacle or f"it opens file descriptor {path}"  # such as 0, standard input
        if not text or text.startswith(os.devnull):
            return
        if text in {"/dev/urandom", "/dev/random"}:
            self.obstacle = self.obstacle or "it draws random numbers"
        elif any(letter in (mode or "") for letter in "wax+") or (isinstance(flags, int) and flags & _WRITING):
            self._written.add(text)
        elif not _is_system(text):
            if (source := _source(text)) not in self._opened:
                self._opened[source] = files.stamp(source)
        elif callers.is_users(callers.calling_file(frame)):
            self.obstacle = self.obstacle or f"it reads {text}"

    def dependencies(self) -> Dependencies:
        """Return what has been read so far. Afterwards, `obstacle` says why the analysis can't be cached."""
        self.pause()
        before = self._environment.before
        found = Dependencies(
            environment={name: value_of(name, before) for name in self._environment.read},
            walks={each: beginning_with((each,), before) for each in self._environment.walks},
            native=beginning_with(NATIVE, before),
        )
        self.obstacle = self.obstacle or self._environment.obstacle
        modules, installed_at = module_files(), dict[str, int]()
        for path in sorted(modules | (self._opened.keys() - self._written)):
            if not libraries.is_standard(path):
                self._add(path, found, installed_at)
        for site in libraries.sites():
            found.installed[site] = libraries.digests(site)
        self._add_folders(found, modules)
        read = self._opened.keys() | self._looked_up_by_user
        if both := sorted(path for path in self._written & read if not _is_bytecode(path)):
            self.obstacle = self.obstacle or f"it reads and writes {both[0]}"
        if written := sorted(path for path in self._written if not _is_ignored_write(path, found.importable)):
            self.obstacle = self.obstacle or f"it wrote {written[0]}"
        if self._random_state != random.getstate() or _torch_drew():
            self.obstacle = self.obstacle or "it draws random numbers"
        return found

    def _add(self, path: str, found: Dependencies, installed_at: dict[str, int]) -> None:
        """Add a file to `found`: by size and time if it is still as an installation wrote it, else by its content."""
        stamp = files.stamp(path)
        if not files.can_be_read_again(path):
            self.obstacle = self.obstacle or f"it reads {path}, which is not a regular file"
            return
        changed = path in self._opened and self._opened[path] != stamp  # whatever the file system's clock says
        if changed or (stamp is not None and max(stamp[1:]) >= self._begun - _MARGIN):
            self.obstacle = self.obstacle or f"{path} changed during the analysis"
        if stamp is not None and libraries.is_as_installed(path, stamp[0], installed_at):
            folder, _, name = path.rpartition(os.sep)
            found.imported.setdefault(folder, {})[name] = stamp[:2]
            return
        found.sources[path] = (files.content(path), stamp)
        if path.endswith(_COMPILED) and callers.is_users(path):
            self.obstacle = self.obstacle or f"{os.path.basename(path)} is compiled code, whose reads can't be observed"
        if path.endswith(".py") and callers.is_users(path) and (why := _suspicious(path)):
            self.obstacle = self.obstacle or f"{os.path.basename(path)} uses {why}"

    def _add_folders(self, found: Dependencies, modules: set[str]) -> None:
        """Add folders that imports search, listed folders, and looked-up paths to `found`."""
        # `is_users` expects a file: with a trailing separator, a folder is treated like a file in it
        searched = {os.path.dirname(path) for path in modules if callers.is_users(path)}
        searched |= {path for path in package_folders() if callers.is_users(f"{path}{os.sep}")}
        searched |= set(map(os.path.abspath, [*sys.path, *sys.path_importer_cache]))
        for folder in searched:
            inside = f"{folder}{os.sep}"
            if folder in libraries.sites() or callers.is_users(inside):
                found.importable[folder] = files.importable(folder)
        for folder in self._listed:
            inside = f"{folder}{os.sep}"
            if not _is_system(inside) and callers.is_users(inside):
                found.listings[folder] = files.listing(folder)
                if folder in self._scanned:
                    self._times_read |= {inside + name for name in _names(folder)}
        looked_up = self._looked_up - self._written - found.sources.keys()
        found.kinds |= {path: files.state_without_folder_times(path) for path in looked_up}
        found.states |= {path: files.state(path) for path in self._times_read - self._written}
        paths = {*found.sources, *found.kinds, *found.states, *found.listings}
        found.places |= {path: os.path.realpath(path) for path in paths}


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
    """Return the source file of a .pyc file, because an import opens only the latter; other paths unchanged."""
    if not path.endswith(".pyc"):
        return path
    try:
        return source_from_cache(path)
    except ValueError:
        return path


def _path(path: Any) -> str:
    """Return an argument of open, stat, … as an absolute path; empty if it is not a path."""
    try:
        return os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError, OSError):  # OSError: a relative path in a working folder that was removed
        return ""


def _is_ignored_write(path: str, user_folders: Iterable[str]) -> bool:
    """Return whether a model that wrote this file can be cached nevertheless.

    It can if the file is bytecode, or if it is in the temporary folder and not in the working folder or another of the
    user's folders.
    """
    if _is_bytecode(path):
        return True
    return files.below(path, (_temporary_folder(),)) and not files.below(path, (os.getcwd(), *user_folders))


@cache
def _temporary_folder() -> str:
    """Return the folder of temporary files."""
    return tempfile.gettempdir()


def _suspicious(path: str) -> str:
    try:
        return suspicious(Path(path).read_bytes())
    except OSError:
        return ""


def _torch_drew() -> bool:
    """Return whether torch's default generator has been used since it was created or seeded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    fresh = torch.Generator().manual_seed(torch.initial_seed())
    return not bool((torch.get_rng_state() == fresh.get_state()).all())
