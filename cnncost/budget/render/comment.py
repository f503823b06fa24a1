"""A comment on a pull request: markdown, with a first line by which a workflow finds it again and edits it."""

from __future__ import annotations

from pathlib import Path

from cnncost.render.document import Document
from cnncost.render.markdown import to_markdown

MOST = 65_000
"""Characters: GitHub takes 65,536."""
_CUT = "\n\n*The rest is left out: a comment has room for no more.*\n"


def marker(command: str, file: Path) -> str:
    """`<!-- cnncost check cnncost.toml -->`: the same in every run, and invisible."""
    name = file.as_posix().replace("\n", " ").replace("--", "- -").replace(">", "")
    return f"<!-- cnncost {command} {name} -->"


def to_comment(document: Document, command: str, file: Path) -> str:
    """The document as a comment; one that is too long ends after a whole line."""
    text = f"{marker(command, file)}\n{to_markdown(document)}"
    if len(text) <= MOST:
        return text
    return text[: text.rfind("\n", 0, MOST - len(_CUT))] + _CUT
