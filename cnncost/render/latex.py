r"""A document as LaTeX to be `\input` in a paper; tables use booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cnncost.render.document import MARKUP, Curve, Document, Equations, Heading, Note, Notes, Part, Picture, Table
from cnncost.render.latex_table import begun, table_lines
from cnncost.render.layout import end, printable

_SIGNS = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "×": r"$\times$", "≥": r"$\ge$", "≤": r"$\le$", "±": r"$\pm$", "−": "$-$", "–": "--",
    "→": r"$\to$", "·": r"$\cdot$", "…": r"\dots{}", "µ": r"\textmu{}", "≈": r"$\approx$", "∞": r"$\infty$",
    "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}", "⁴": r"\textsuperscript{4}",
    "⌈": r"$\lceil$", "⌉": r"$\rceil$", "⌊": r"$\lfloor$", "⌋": r"$\rfloor$",
    "`": r"\textasciigrave{}",
    "◆": r"$\diamond$", "✓": r"$\checkmark$", "✅": r"$\checkmark$", "✗": r"$\times$", "❌": r"$\times$", "❔": "?",
})  # fmt: skip
"""LaTeX code for characters that LaTeX would interpret, or that its fonts lack."""
_LIGATURES = re.compile(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)")
"""Places between two characters that LaTeX would print as one."""
_PACKAGES = {
    "amsmath": r"\begin{align*}", "amssymb": r"\checkmark", "array": r"\arraybackslash", "booktabs": r"\toprule",
    "longtable": r"\begin{longtable}", "pdflscape": r"\begin{landscape}",
}  # fmt: skip
"""Packages, each with a command that shows that the text needs it."""
_BREAKS = re.compile(r"(?<=, )|(?= [+-] )")
"""Places at which a formula may be broken if they are outside braces and brackets."""
_OPEN, _CLOSE = re.compile(r"(?<!\\){|\\left\b"), re.compile(r"(?<!\\)}|\\right\b")
_INVISIBLE = re.compile(r"\\[a-z]+|[\\{}^ ]")
"""Parts of a formula that print nothing."""
_GLYPHS = 42
"""Number of a formula's printed characters that fit on a line."""
_LEVELS = ("section", "subsection", "subsubsection", "paragraph")


def to_latex(document: Document) -> str:
    """Return a LaTeX fragment: the packages it needs as a comment, then headings, notes and tables."""
    lines = []
    if document.title:
        lines += [rf"\section*{{{escaped(document.full_title)}}}", ""]
    if document.subtitle:
        lines += [escaped(document.subtitle) + end(document.subtitle), ""]
    for part in document.shown(MARKUP):
        lines += [*_lines(part), ""]
    text = "\n".join(lines).rstrip("\n") + "\n"
    packages = [package for package, command in _PACKAGES.items() if command in text]
    return (rf"% needs \usepackage{{{','.join(packages)}}}" + "\n\n" if packages else "") + text


def _lines(part: Part) -> Iterator[str]:
    match part:
        case Table():
            yield from table_lines(part, escaped)
        case Equations():
            yield from _equations(part)
        case Notes(listed=True):
            if part.intro is not None:
                yield _sentence(part.intro)
            if part.unconditional:
                yield r"\begin{itemize}"
                yield from (rf"  \item {begun(_note(note))}" for note in part.unconditional)
                yield r"\end{itemize}"
        case Notes():
            yield from ([_sentence(part.intro)] if part.intro is not None else [])
            yield from (_sentence(note) for note in part.unconditional)
        case Heading():
            yield rf"\{_LEVELS[min(part.level, len(_LEVELS) - 1)]}*{{{escaped(part.text)}}}"
        case Picture() | Curve():
            pass


def _equations(part: Equations) -> Iterator[str]:
    """Yield an `align*` with a line for each name; equations without LaTeX are left out."""
    lines = [
        rf"  \text{{{escaped(name)}}} &= {_in_lines(each.latex)}"
        for each in part.equations if each.latex for name in each.names
    ]  # fmt: skip
    if lines:
        yield r"\begin{align*}"
        yield " \\\\\n".join(lines)
        yield r"\end{align*}"


def _in_lines(formula: str) -> str:
    """Break a long formula into lines, after a comma or before + and − outside braces and brackets."""
    lines, depth = [""], 0
    for piece in _BREAKS.split(formula):
        if not depth and len(_INVISIBLE.sub("", lines[-1] + piece)) > _GLYPHS and lines[-1]:
            lines.append("")
        lines[-1] += piece
        depth += len(_OPEN.findall(piece)) - len(_CLOSE.findall(piece))
    return " \\\\\n    &\\quad ".join(line.strip() for line in lines)


def _note(note: Note) -> str:
    return escaped(note.text) + (rf"\texttt{{{escaped(note.code)}}}" if note.code else "")


def _sentence(note: Note) -> str:
    return _note(note) + end(note.text)


def escaped(text: str) -> str:
    """Escape a text so that LaTeX prints it literally."""
    return "{}".join(run.translate(_SIGNS) for run in _LIGATURES.split(printable(text)))
