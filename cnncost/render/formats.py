"""The output formats of documents and timelines; a format is declared here, and only here.

Its renderer is the function `to_NAME` of `cnncost.render.NAME`. The commands' `--format`, the endings of `-o`, help and
messages, and the formats that tests cover are derived from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnncost.errors import OutputError

if TYPE_CHECKING:
    from cnncost.render.document import Document
    from cnncost.render.timeline import Timeline


class Format(NamedTuple):
    """An output format.

    Attributes:
        name: name for `--format`.
        endings: its file endings, the usual one first; empty: the format can only be chosen by name.
        tree: whether it shows the module tree, so that `--depth` applies.
        whole: whether it shows modules, layers and ops at once, so that `--by` does not apply.
        meaning: description for `--help`.
        written_as: for a format without endings of its own, the name of the format that its files are written in, whose
            endings they may have; else empty.
    """

    name: str
    endings: tuple[str, ...] = ()
    tree: bool = False
    whole: bool = False
    meaning: str = ""
    written_as: str = ""


@dataclass(frozen=True)
class Formats:
    """The formats that a command offers.

    Attributes:
        declared: the formats. The first is the terminal's default; its ending (.txt) is accepted with any `--format`,
            and messages name it last.
    """

    declared: tuple[Format, ...]

    def also(self, *further: Format) -> Formats:
        """Return these formats plus others, which only some commands offer and write themselves."""
        return Formats((*self.declared, *further))

    def __iter__(self) -> Iterator[Format]:
        return iter(self.declared)

    def __getitem__(self, name: str) -> Format:
        """Return the format with this name. Raises ValueError if there is none."""
        for form in self.declared:
            if form.name == name:
                return form
        raise ValueError(f"no format {name!r}; there are {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the formats."""
        return tuple([form.name for form in self.declared])

    @property
    def endings(self) -> Mapping[str, str]:
        """Names of formats by file ending."""
        return {ending: form.name for form in self._default_last() for ending in form.endings}

    @property
    def usual_endings(self) -> str:
        """The usual ending of each format, in words: `.md, .csv or .txt`."""
        return listed([form.endings[0] for form in self._default_last() if form.endings], "or")

    def _default_last(self) -> tuple[Format, ...]:
        first, *others = self.declared
        return (*others, first)

    def of_file(self, path: str | Path) -> str:
        """Return the name of the format for a file's ending. Raises OutputError for an unknown ending, or a folder."""
        ending = Path(path).suffix.lower()
        if ending in self.endings:
            return self.endings[ending]
        if Path(path).is_dir():
            from cnncost.files import folder_error

            raise folder_error(path)
        raise OutputError(
            f"{path}: expected a name that ends in {self.usual_endings}, got {ending or 'no ending'}"
        )  # fmt: skip

    def choose(self, name: str | None, path: str | Path | None) -> str:
        """Return the name of the format to write: the requested one, else that of the file's ending, else the first.

        Args:
            name: the value of `--format`; None if it was not given.
            path: the file; None for the terminal.

        Raises:
            OutputError: name and ending contradict each other, or there is no name and the ending is unknown.
        """
        if path is None:
            return name or self.declared[0].name
        if name is None:
            return self.of_file(path)
        form = self[name]
        endings = form.endings or (self[form.written_as].endings if form.written_as else ())
        other = self.endings.get(Path(path).suffix.lower(), name)
        if endings and other not in {name, form.written_as, self.declared[0].name}:
            raise OutputError(
                f"{path}: the name says {other}, and --format says {name}; leave --format out, or give a name that "
                f"ends in {endings[0]}"
            )
        return name


FORMATS = Formats((
    Format("text", (".txt",), tree=True),
    Format("markdown", (".md", ".markdown"), tree=True),
    Format("csv", (".csv",)),
    Format("json", (".json",), whole=True),
    Format("html", (".html", ".htm"), tree=True, whole=True),
    Format("latex", (".tex",), tree=True),
))  # fmt: skip
"""Formats of documents; every command offers them."""
TRACE = Format(
    "trace", meaning="ops and memory over predicted time, for Perfetto and chrome://tracing", written_as="json"
)
SPEEDSCOPE = Format("speedscope", meaning="flame graphs, for speedscope.app", written_as="json")
VIEWERS = (TRACE, SPEEDSCOPE)
"""Formats of timelines; commands that can make a timeline offer them by `FORMATS.also`."""


def listed(names: Sequence[str], word: str = "and") -> str:
    """Return `a, b and c`."""
    *some, last = names
    return f"{', '.join(some)} {word} {last}" if some else last


def rendered(document: Document, form: str) -> str:
    """Return the document in one of the formats. Only its renderer is imported; text has the document's own width.

    Raises:
        ValueError: there is no such format, or the format is CSV and the document has no table of data.
    """
    if FORMATS[form].name == "text":
        from cnncost.render.text import to_text

        return to_text(document, document.width) + "\n"
    return _renderer(form)(document)


def viewed(timeline: Timeline, form: str) -> str:
    """Return the timeline in the format with this name, one of `VIEWERS`."""
    return _renderer(form)(timeline)


def _renderer(form: str) -> Callable[[Any], str]:
    render: Callable[[Any], str] = getattr(import_module(f"cnncost.render.{form}"), f"to_{form}")
    return render
