"""Observes what an analysis reads while it is made: files, folders, environment variables, modules."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from cnncost.cache import files, libraries
from cnncost.cache.dependencies import NATIVE, Dependencies, beginning_with, value_of
from cnncost.cache.environment import Observed
from cnncost.cache.suspects import suspicious

_SYSTEM = ("/proc", "/sys", "/dev")
"""Folders of the kernel: what they say of the machine is part of the request."""
_OUTSIDE = (
    "socket.", "subprocess.", "urllib.", "http.", "ftplib.", "smtplib.", "os.system", "os.exec", "os.fork", "os.spawn",
    "os.posix_spawn", "os.startfile", "sqlite3.", "webbrowser.",
)  # fmt: skip
"""Beginnings of audit events of what comes from outside of files."""
_WRITES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.")
_MODES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MARGIN = 20_000_000
"""Nanoseconds by which a file's time may be behind the clock."""
_OWN = str(Path(__file__).parents[1])


class Watch:
    """Observes this process from `start` on; what several analyses read is each one's.

    Attributes:
        against: why nothing observed here may be kept, for the user; empty if it may.
    """

    def __init__(self) -> None:
        self.against = ""
        self._begun = 0
        self._opened: set[str] = set()
        self._written: set[str] = set()
        self._listed: set[str] = set()
        self._asked: set[str] = set()
        self._seen: set[Any] = set()  # paths as they were asked about: thousands, most of them many times
        self._environment = Observed(_is_not_the_users)
        self._on = False
        self._restored: list[tuple[str, Callable[..., Any]]] = []
        self._draws: Any = None

    def start(self) -> None:
        """Begin. Only a process in which torch is not imported yet can be observed as a whole."""
        self._on = self._environment.on = True
        self._draws = random.getstate()
        if self._begun:
            return
        self._begun = time.time_ns()
        _scratch()
        if "torch" in sys.modules:
            self.against = "torch was imported before"
        sys.addaudithook(self._event)
        self._environment.enter()
        for name in ("stat", "lstat", "access"):
            self._replace(name)

    def pause(self) -> None:
        """Stop observing: what follows is none of an analysis."""
        self._on = self._environment.on = False

    def stop(self) -> None:
        """Stop for good, and leave everything as it was; the audit hook stays, without effect."""
        self.pause()
        self._environment.leave()
        while self._restored:
            name, own = self._restored.pop()
            setattr(os, name, own)

    def _replace(self, name: str) -> None:
        own = getattr(os, name)
        self._restored.append((name, own))

        def observed(path: Any, *given: Any, **named: Any) -> Any:
            if self._on and path not in self._seen:
                self._ask(path)
            return own(path, *given, **named)

        setattr(os, name, observed)

    def _ask(self, path: Any) -> None:
        self._seen.add(path)
        if (text := _path(path)) and not files.below(text, _SYSTEM) and not libraries.is_library(text):
            self._asked.add(text)

    def _event(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            self._open(*given)
        elif event in {"os.listdir", "os.scandir"}:
            if _is_listed_by_others(sys._getframe(1)) and (text := _path(given[0] if given[0] is not None else ".")):
                self._listed.add(text)
        elif event.startswith(_OUTSIDE):
            self.against = self.against or f"it called {event}"
        elif event.startswith(_WRITES) and given and (text := _path(given[0])):
            self._written.add(text)

    def _open(self, path: Any, mode: Any, flags: Any = 0) -> None:
        text = _path(path)
        if not text or text.startswith(f"{os.devnull}"):
            return
        if text in {"/dev/urandom", "/dev/random"}:
            self.against = self.against or "it draws random numbers"
        elif any(each in (mode or "") for each in "wax+") or (isinstance(flags, int) and flags & _MODES):
            self._written.add(text)
        elif not files.below(text, _SYSTEM):
            self._opened.add(text)

    def dependencies(self) -> Dependencies:
        """What was read so far. What may not be kept is told by `against` afterwards."""
        self.pause()
        found = Dependencies(
            environment={name: value_of(name) for name in self._environment.read},
            walks={each: beginning_with((each,)) for each in self._environment.walks},
            native=beginning_with(NATIVE),
        )
        self.against = self.against or self._environment.against
        modules, times = _module_files(), dict[str, float]()
        for path in sorted(modules | (self._opened - self._written)):
            if not path.endswith(".pyc") and not libraries.is_standard(path):
                self._add(path, found, times)
        for site in libraries.sites():
            found.installed[site] = libraries.described(site)
        self._add_folders(found, modules)
        if written := sorted(path for path in self._written if not _is_scratch(path, found.importable)):
            self.against = self.against or f"it wrote {written[0]}"
        if self._draws != random.getstate() or _torch_drew():
            self.against = self.against or "it draws random numbers"
        return found

    def _add(self, path: str, found: Dependencies, times: dict[str, float]) -> None:
        """A file, by its content, or as one of an installed package."""
        stamp = files.stamp(path)
        if stamp is not None and max(stamp[1:]) >= self._begun - _MARGIN:
            self.against = self.against or f"{path} was changed meanwhile"
        if stamp is not None and libraries.as_installed(path, stamp[0], times):
            folder, _, name = path.rpartition(os.sep)
            found.imported.setdefault(folder, {})[name] = stamp[:2]
            return
        found.sources[path] = (files.content(path), stamp)
        if path.endswith(".py") and not _is_not_the_users(path) and (why := _suspicious(path)):
            self.against = self.against or f"{os.path.basename(path)} uses {why}"

    def _add_folders(self, found: Dependencies, modules: set[str]) -> None:
        homes = {os.path.dirname(path) for path in modules if not _is_not_the_users(path)}
        for folder in homes | {os.path.abspath(path) for path in sys.path}:
            if folder not in libraries.sites() and not libraries.is_standard(f"{folder}{os.sep}"):
                found.importable[folder] = files.importable(folder)
        for folder in self._listed:
            inside = f"{folder}{os.sep}"
            if not files.below(inside, _SYSTEM) and not _is_not_the_users(inside):
                found.listings[folder] = files.listing(folder)
        found.kinds |= {path: files.kind(path) for path in self._asked - self._written - found.sources.keys()}


def _is_not_the_users(file: str) -> bool:
    """Whether a file is a library's, Python's or this package's."""
    return file.startswith("<frozen") or libraries.is_library(file) or files.below(file, (_OWN,))


def _is_listed_by_others(frame: FrameType | None) -> bool:
    """Whether a folder is listed by neither an import nor this package: what can be imported is known otherwise."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") or "importlib" in Path(file).parts:
            return False
        if not file.startswith("<frozen") and not libraries.is_standard(file) and file != __file__:
            return not files.below(file, (_OWN,))
        frame = frame.f_back
    return False


def _path(path: Any) -> str:
    """An absolute path of what was opened or asked about; empty for what is no path."""
    try:
        return os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError):
        return ""


def _is_scratch(path: str, homes: Iterable[str]) -> bool:
    """Whether nobody would read a file that was written: compiled code, or temporary and not among the user's own."""
    if path.endswith(".pyc") or "__pycache__" in path:
        return True
    return files.below(path, (_scratch(),)) and not files.below(path, (os.getcwd(), *homes))


@cache
def _scratch() -> str:
    """The folder of temporary files: found before an event asks, as finding it opens files itself."""
    return tempfile.gettempdir()


def _module_files() -> set[str]:
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {os.path.abspath(file) for file in found if isinstance(file, str)}


def _suspicious(path: str) -> str:
    try:
        return suspicious(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""


def _torch_drew() -> bool:
    """Whether a number was drawn from torch's generator since it was made or seeded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    fresh = torch.Generator().manual_seed(torch.initial_seed())
    return not bool((torch.get_rng_state() == fresh.get_state()).all())
