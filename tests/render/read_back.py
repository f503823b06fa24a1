"""Reads a document's texts back from each format: what people see, or programs get, by a parser that is not ours.

Each function returns (place, text) in order; a place is `heading`, `text` (a paragraph, an item of a list) or `cell`.
LaTeX has no parser in the extra `test`; its reader is written by the rules of TeX, and knows nothing of the renderer.
"""

import csv
import io
import json
import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt


def from_markdown(text):
    """CommonMark with GitHub's tables and strikethrough."""
    found, open_blocks = [], []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.nesting:
            open_blocks = [*open_blocks, token.tag] if token.nesting == 1 else open_blocks[:-1]
        if token.type == "inline":
            place = "heading" if open_blocks[-1][0] == "h" else "cell" if open_blocks[-1] in {"td", "th"} else "text"
            found.append((place, "".join(child.content for child in token.children)))
        elif token.type in {"fence", "code_block", "html_block", "hr"}:
            found.append((token.type, token.content))
    return found


class _Html(HTMLParser):
    """Texts of the innermost elements that hold any."""

    PLACES = {"p": "text", "li": "text", "b": "text", "td": "cell", "th": "cell", "span": "cell"}  # noqa: RUF012  # not changed

    def __init__(self):
        super().__init__()
        self.found, self.place = [], None

    def handle_starttag(self, tag, attributes):
        place = "heading" if re.fullmatch("h[1-6]", tag) else self.PLACES.get(tag)
        if place:
            self.place = place
            self.found.append((place, ""))

    def handle_endtag(self, tag):
        if tag in self.PLACES or re.fullmatch("h[1-6]", tag):
            self.place = None

    def handle_data(self, data):
        if self.place:
            self.found[-1] = (self.place, self.found[-1][1] + data)


def from_html(text):
    parser = _Html()
    parser.feed(text)
    parser.close()
    return parser.found


_LATEX_TEXT = {
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textasciigrave": "`", "textless": "<",
    "textgreater": ">", "textbar": "|", "textquotesingle": "'", "dots": "…", "times": "×", "ge": "≥", "le": "≤",
    "to": "→", "pm": "±", "checkmark": "✓", "approx": "≈", "cdot": "·", "diamond": "◆", "textmu": "µ", "infty": "∞",
}  # fmt: skip
_LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”", "?`": "¿", "!`": "¡", ",,": "„", "`": "‘"}
_SECTIONS = {"section", "subsection", "subsubsection", "paragraph"}


class _Latex:
    """Reads by TeX's rules: spaces after a command's name are skipped, and some commands look for `*` and `[…]`."""

    def __init__(self, text):
        text = re.sub(r"(?<!\\)((?:\\\\)*)%.*\n?", r"\1", text)
        self.tokens = re.findall(r"\\[a-zA-Z]+\s*|\\.|\n\s*\n|\s+|[{}$&]|[^\\{}$&\s]+", text)
        self.at, self.found, self.parts, self.table = 0, [], [], False

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def option(self, star=False):
        """Skip spaces, `*` and an optional argument, as `\\\\`, `\\item` and the rules of booktabs do."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        rest = "".join(self.tokens[self.at :])
        skipped = re.match(r"\*?\s*(?:\[[^\]]*\])?" if star else r"(?:\[[^\]]*\])?", rest)[0]
        self.tokens[self.at :] = re.findall(r"\\[a-zA-Z]+\s*|\\.|\n\s*\n|\s+|[{}$&]|[^\\{}$&\s]+", rest[len(skipped) :])

    def group(self):
        """The tokens of the group that begins here."""
        assert self.next() == "{"
        start, depth = self.at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.next(), 0)
        return self.tokens[start : self.at - 1]

    def flush(self, place):
        """End a text; a group or a command between two characters keeps a ligature from being made of them."""
        runs, text = re.split("\0", "".join(self.parts)), ""
        for run in runs:
            text += re.sub("|".join(map(re.escape, _LIGATURES)), lambda found: _LIGATURES[found[0]], run)
        self.parts = []
        if place == "cell" or text.strip():
            self.found.append((place, text))

    def read(self):
        while self.at < len(self.tokens):
            piece = self.next()
            if piece.startswith("\\"):
                self.command(piece[1:].strip())
            elif piece in "{}$":
                self.parts.append("\0")
            elif piece == "&":
                self.flush("cell")
            elif piece.isspace() and piece.count("\n") > 1:
                self.flush("text")
            else:
                self.parts.append(" " if piece.isspace() else piece)
        self.flush("text")
        return self.found

    def command(self, name):
        if name == "\\":
            self.flush("cell" if self.table else "text")
            self.option(star=True)
        elif name in {"begin", "end"}:
            self.environment(name, "".join(self.group()))
        elif name in _SECTIONS:
            self.flush("text")
            self.option(star=True)
            inner = _Latex("")
            inner.tokens = self.group()
            self.found += [("heading", text) for _, text in inner.read()]
        elif name == "item":
            self.flush("text")
            self.option()
        elif name.endswith("rule"):
            self.option()
        elif name == "setlength":
            self.group()
            self.group()
        elif name in _LATEX_TEXT:
            self.parts.append(f"\0{_LATEX_TEXT[name].replace('`', chr(1))}\0")
        elif not name.isalpha():
            assert name in {*"{}$&#%_"}, name
            self.parts.append(name)
        else:
            assert name in {"textbf", "texttt", "noindent", "small", "footnotesize", "scriptsize", "tiny"}, name

    def environment(self, name, which):
        self.flush("text")
        if which in {"tabular", "longtable"}:
            self.table = name == "begin"
            if self.table:
                self.option()
                self.group()


def from_latex(text):
    return [(place, text.replace(chr(1), "`")) for place, text in _Latex(text).read()]


def from_text(text):
    """Lines; those around a rule are a table, whose cells are two spaces apart."""
    lines = [line for line in text.splitlines() if line]
    rule = next(i for i, line in enumerate(lines) if set(line) == {"─"})
    found = [("text", line) for line in lines[: rule - 1]]
    table = [line for line in lines[rule - 1 :] if "  " in line.strip()]
    found += [("cell", cell) for line in table for cell in re.split(" {2,}", line.strip())]
    return found + [("text", line) for line in lines[rule + 1 :] if "  " not in line.strip() and set(line) != {"─"}]


def from_csv(text):
    return [("cell", cell) for row in csv.reader(io.StringIO(text, newline=""), strict=True) for cell in row]


def from_json(text):
    table = json.loads(text)["layers"]
    return [("cell", str(cell)) for cell in [*table[0], *(value for row in table for value in row.values())]]


READERS = {
    "text": from_text, "markdown": from_markdown, "csv": from_csv, "json": from_json, "html": from_html,
    "latex": from_latex,
}  # fmt: skip
