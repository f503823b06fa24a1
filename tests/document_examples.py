"""The examples of README.md and docs/: found, run as a reader would, and laid beside what the page shows.

`python tests/document_examples.py` writes the output of the commands into the pages.
"""

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from versions import facts

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, kind):
    """The contents of a page's fenced blocks of one kind."""
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == kind]


def prose(page):
    """A page without its fenced blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def made_with_this_torch(baseline):
    """Whether a baseline is of the torch at hand: without --any-torch, no other is compared."""
    at = json.loads(baseline.read_text(encoding="utf-8"))["torch"]
    return tuple(map(int, at.split(".")[:2])) == facts.AT


def text_of(stream):
    return stream.buffer.getvalue().decode()


def run(command):
    """What a command line of a console block prints into a pipe, as lines."""
    from cnncost.cli import main

    program, *arguments = shlex.split(command)
    assert program == "cnncost", command
    if arguments[0] == "check" and not made_with_this_torch(ROOT / "cnncost.lock.json"):
        arguments.append("--any-torch")  # the figures are to be the same
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    said = [line for line in text_of(err).splitlines() if "triton not found" not in line]  # torch's, of its CUDA builds
    assert (ended.value.code, said) == (0, []), command
    return [line.rstrip() for line in text_of(out).splitlines()]


def piped(lines, pipe):
    """What `head -N` or `tail -N` leaves of lines; all of them without a pipe."""
    if not pipe:
        return lines
    end, count = re.fullmatch(r"(head|tail) -(\d+)", pipe).groups()
    return lines[: int(count)] if end == "head" else lines[-int(count) :]


def doctest_failures(page):
    """What the page's Python sessions give that the page does not show; all blocks in one namespace, in their order."""
    test = doctest.DocTestParser().get_doctest("\n".join(blocks(page, "pycon")), {}, name(page), str(page), 0)
    failures = []  # verbose=False: left to itself, the runner looks for -v among pytest's own arguments
    doctest.DocTestRunner(verbose=False, optionflags=doctest.FAIL_FAST).run(test, out=failures.append)
    return "".join(failures), len(test.examples)


def refresh(page):
    """Write into the page what its commands print now."""

    def printed(block):
        kind, text = block.groups()
        if kind != "console" or "…" in text:
            return block[0]
        first = text.splitlines()[0]
        command, _, pipe = first.removeprefix("$ ").partition(" | ")
        return "\n".join(["```console", first, *piped(run(command), pipe), "```"])

    text = page.read_text(encoding="utf-8")
    if (fresh := BLOCK.sub(printed, text)) != text:
        page.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    for path in [Path(given).absolute() for given in sys.argv[1:]] or PAGES:
        refresh(path)
