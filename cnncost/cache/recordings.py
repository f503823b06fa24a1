"""Returns the recording for a request: from disk if no dependency has changed, else a new one, which is stored."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from cnncost.cache import files, store
from cnncost.cache.dependencies import Dependencies
from cnncost.cache.watch import Watch
from cnncost.errors import CnncostError
from cnncost.recording import Recording
from cnncost.sources.attempts import BUILT_WITH_WEIGHTS
from cnncost.sources.find import is_user_module
from cnncost.versions import __version__

_SCHEMA = 2
"""Version of the layout of entries. Increment it with each change, so that older entries are no longer found."""


class Recordings:
    """The cache as used by one run of the command line.

    Attributes:
        messages: lines on which models came from the cache, and why others were analyzed again or are not cached.
        answered: time of the recording (ISO 8601) of each model that came from the cache.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.answered: dict[str, str] = {}
        self._watch = Watch()
        self._user_model = ""  # the last recorded model that the user's own code builds

    def find(self, model: str, settings: dict[str, Any]) -> Recording | None:
        """Return an earlier recording if there is one and nothing that it depends on has changed; else None.

        Args:
            model: the model's specification, as the user wrote it.
            settings: all settings of the request: numbers, strings, None, and tuples, lists and dicts of these.
        """
        name = _name(model, settings)
        entry = store.read(name)
        if entry is None:
            return None
        try:
            dependencies = Dependencies.from_data(entry["dependencies"])
            if changed := dependencies.changed():
                self.messages.append(f"{model}: analyzed again, because {changed} has changed")
                return None
            recording = Recording.from_data(entry["recording"])
        except (CnncostError, KeyError, TypeError, ValueError, AttributeError):
            return None
        store.mark_used(name)
        made = datetime.fromtimestamp(dependencies.made / 1e9).astimezone().isoformat(timespec="seconds")
        self.messages.append(f"{model}: from the cache, analyzed at {made}; --no-cache analyzes it again")
        self.answered[model] = made
        return replace(recording, cached=made)

    def make(self, model: str, settings: dict[str, Any], record: Callable[[], Recording]) -> Recording:
        """Make a recording, and cache it if all its dependencies can be checked.

        Raises:
            CnncostError: as `record` does; nothing is stored.
        """
        from cnncost.ops.registry import epoch

        rules = epoch()  # replaced by another object as soon as a rule is added
        name = _name(model, settings)  # computed first: a model may change the working folder or sys.path
        earlier = self._user_model
        ran_before = f"{earlier} ran before in this process and may have affected it" if earlier else ""
        if is_user_module(model):
            self._user_model = model
        with self.observed():
            recording = record()
        adds_rules = "it adds rules" if epoch() is not rules else ""
        dependencies = self._watch.dependencies()
        if why := self._watch.obstacle or ran_before or adds_rules or _obstacle(recording):
            self.messages.append(f"{model}: not stored in the cache: {why}")
        else:
            entry = {"dependencies": dependencies.to_data(), "recording": recording.to_data()}
            store.write(name, entry)
        return recording

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Observe all reads in this context.

        `make` enters it; imports before the first recording also have to run in it.
        """
        self._watch.start()
        try:
            yield
        finally:
            self._watch.pause()

    def close(self) -> None:
        """Stop observing this process for good."""
        self._watch.stop()


_ACTIVE: list[Recordings] = []


@contextmanager
def caching() -> Iterator[Recordings]:
    """In this context, `recording` uses the cache; enter it before torch is imported."""
    recordings = Recordings()
    _ACTIVE.append(recordings)
    try:
        yield recordings
    finally:
        _ACTIVE.remove(recordings)
        recordings.close()


def active() -> Recordings | None:
    """Return the cache in use; None if there is none."""
    return _ACTIVE[-1] if _ACTIVE else None


def recording(model: str, settings: dict[str, Any], record: Callable[[], Recording]) -> Recording:
    """Return a recording from the cache, or a new one; see `Recordings.find` and `Recordings.make`."""
    cache = active()
    if cache is None:
        return record()
    return cache.find(model, settings) or cache.make(model, settings, record)


def _obstacle(recording: Recording) -> str:
    """Return why a recording can't be cached; empty if it can."""
    for graph in (recording.graph, recording.step):
        if graph is not None and graph.real is not None:
            return "it ran on values"
        if graph is not None and any(note.startswith(BUILT_WITH_WEIGHTS) for note in graph.notes):
            return "it was built with its weights"
    return ""


def _name(model: str, settings: dict[str, Any]) -> str:
    """Return the entry's name for a request: a digest of the request, the versions and the machine."""
    language = [os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")]  # they decide how text is decoded
    request = [
        _SCHEMA, __version__, sys.version, sys.prefix, sys.path, os.getcwd(), tuple(sys.flags),
        os.environ.get("PYTHONHASHSEED"), language, _machine(), model, settings,
    ]  # fmt: skip
    # not json.dumps, because only repr distinguishes a tuple from a list
    return files.digest(repr(request).encode(errors="surrogateescape"))


def _machine() -> list[str]:
    """Return facts about the machine on which an analysis may depend.

    They are the platform, the processor's features, the number of cores, the number of those that this process may use,
    and whether a GPU driver is present.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(4096)  # the entry of the first core, which contains the flags
    except OSError:
        text = ""
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    gpu = os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd")
    return [sys.platform, flags, str(os.cpu_count()), str(cores), str(gpu)]
