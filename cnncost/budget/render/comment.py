"""A comment on a pull request: markdown whose first line lets a workflow find its earlier comment and edit it."""

from __future__ import annotations

from pathlib import Path

from cnncost.render.document import Document
from cnncost.render.markdown import to_markdown

MAX_LENGTH = 65_000
"""Maximum length in characters; GitHub accepts 65,536."""
_CUT = "\n\n*The rest is left out: the comment would be too long.*\n"


def marker(command: str, file: Path) -> str:
    """Return the invisible first line, the same in every run: `<!-- cnncost check cnncost.toml -->`."""
    # remove what would end the HTML comment
    name = file.as_posix().replace("\n", " ").replace("--", "- -").replace(">", "")
    return f"<!-- cnncost {command} {name} -->"


def to_comment(document: Document, command: str, file: Path) -> str:
    """Return the document as a comment; if it is too long, it is cut at the end of a line."""
    text = f"{marker(command, file)}\n{to_markdown(document)}"
    if len(text) <= MAX_LENGTH:
        return text
    return text[: text.rfind("\n", 0, MAX_LENGTH - len(_CUT))] + _CUT
