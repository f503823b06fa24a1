"""What a recording depended on, and the check that none of it has changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cnncost.cache import files, libraries

NATIVE = ("ATEN", "CUDA", "DNNL", "MKL", "OMP", "ONEDNN", "PYTORCH", "TORCH")
"""Prefixes of environment variables that compiled code may read without being observed."""


@dataclass(slots=True)
class Dependencies:
    """What an analysis read.

    Attributes:
        made: time of the recording, in nanoseconds since the epoch.
        sources: digest and stamp, by path, of each imported or opened file that is not in `imported`.
        imported: size and modification time, by folder and name, of each imported or opened file that is still as an
            installation wrote it.
        installed: `libraries.digests` of what is installed, by folder of packages.
        importable: digest of the names that can be imported from a folder, by its path.
        listings: digest of the names in each folder that was listed.
        kinds: `files.state_without_folder_times` of each path that was looked up.
        states: `files.state` of each path whose size or times may have been used.
        places: the real path of each path in `sources`, `kinds`, `states` and `listings`; it may contain links.
        environment: digest of each environment variable that was read; None if it was not set.
        native: digests of the variables that compiled code may have read (`NATIVE`).
        walks: digests of all variables with a prefix, by the prefix that a library looked for.
    """

    made: int = field(default_factory=time.time_ns)
    sources: dict[str, Any] = field(default_factory=dict)
    imported: dict[str, dict[str, Any]] = field(default_factory=dict)
    installed: dict[str, dict[str, Any]] = field(default_factory=dict)
    importable: dict[str, str] = field(default_factory=dict)
    listings: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    native: dict[str, str] = field(default_factory=dict)
    walks: dict[str, dict[str, str]] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Dependencies:
        """Restore dependencies from `to_data`. Raises TypeError for other data."""
        return cls(**data)

    def changed(self) -> str:
        """Return the name of a dependency that has changed; empty if none has."""
        return next(self._changes(), "")

    def _changes(self) -> Iterator[str]:
        for name, before in self.environment.items():
            if value_of(name) != before:
                yield f"the environment variable {name}"
        for prefix, found in self.walks.items():
            if beginning_with((prefix,)) != found:
                yield f"an environment variable {prefix}…"
        if beginning_with(NATIVE) != self.native:
            yield "an environment variable of torch"
        yield from self._changed_sources()
        yield from (path for path, before in self.places.items() if os.path.realpath(path) != before)
        yield from (p for p, before in self.kinds.items() if files.state_without_folder_times(p) != before)
        yield from (path for path, before in self.states.items() if files.state(path) != before)
        yield from (path for path, before in self.importable.items() if files.importable(path) != before)
        yield from (path for path, before in self.listings.items() if files.listing(path) != before)
        yield from (name for site, before in self.installed.items() if (name := libraries.changed(site, before)))
        yield from self._changed_imports()

    def _changed_sources(self) -> Iterator[str]:
        for path, (content, before) in self.sources.items():
            now = files.stamp(path)
            same = before is not None and now is not None and list(now) == list(before)  # JSON has no tuples
            # a file that changed just before the recording may have changed again without getting a new timestamp
            if same and now is not None and max(now[1:]) + files.SAME_TIME_NS < self.made:
                continue
            if files.content(path) != content:
                yield path

    def _changed_imports(self) -> Iterator[str]:
        installed_at: dict[str, int] = {}  # cache of `is_as_installed`
        for folder, names in self.imported.items():
            for name, (size, time_ns) in names.items():
                path = f"{folder}{os.sep}{name}"
                found = files.stamp(path)
                same = found is not None and found[0] == size and found[1] == time_ns
                if not same and not libraries.is_as_installed(path, size, installed_at):
                    yield path


def value_of(name: str, variables: Mapping[str, str] = os.environ) -> str | None:
    """Return a digest of an environment variable's value (which may be a secret); None if it is not set."""
    value = variables.get(name)
    return None if value is None else files.digest(value.encode(errors="surrogateescape"))


def beginning_with(prefixes: tuple[str, ...], variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return digests of the values of all environment variables whose names have one of these prefixes."""
    names = [name for name in list(variables) if name.startswith(prefixes)]
    return {name: value for name in names if (value := value_of(name, variables)) is not None}
