"""MODEL as the name of a network in the reference zoo, which also defines its input."""

from __future__ import annotations

import re
from pathlib import Path

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.source import ModelSource


def load(name: str) -> ModelSource:
    """Return the source of a zoo network. Raises SourceError, which suggests similar names, for an unknown name."""
    from cnncost import zoo

    try:
        entry = zoo.entry(name)
    except zoo.UnknownNetworkError:
        near = _suggestion_from_files(name) or suggestion(name, zoo.names())
        raise SourceError(
            f"{name}: no network of this name{near}; "
            "`cnncost zoo` lists all; give your own network as package.module:factory or path/to/file.py:Class"
        ) from None
    return ModelSource("zoo", name, entry.build, entry.input)


def _suggestion_from_files(name: str) -> str:
    """Suggest `net.py:Net` for `net.Net` or `Net` if a file in the working directory defines it.

    Files are read, not run.
    """
    module, _, attribute = name.rpartition(".")
    if not attribute.isidentifier():
        return ""
    defines = re.compile(rf"^(?:class|def)\s+{attribute}\b|^{attribute}\s*=", re.MULTILINE)
    if module:
        files = [Path(*module.split(".")).with_suffix(".py")]
    else:
        files = sorted(each for each in Path().glob("*.py") if each.stat().st_size < _MAX_BYTES)[:_MAX_FILES]
    matches = [f"{file}:{attribute}" for file in files if file.is_file() and defines.search(_read(file))]
    return f"; did you mean {', '.join(matches[:3])}?" if matches else ""


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


_MAX_FILES, _MAX_BYTES = 200, 1_000_000
"""Maximum number of files read for a suggestion, and size limit of each in bytes."""
