"""Executes the notebooks in examples/ and lays what they print beside what they show.

`python tests/notebooks.py` exits with 1 where they differ; with `--write` it stores what they print now. It needs the
extra `docs`.
"""

import base64
import gzip
import json
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def executed(path):
    """A copy of the notebook with the outputs of a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where, coalesce_streams=True).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
    notebook.metadata.language_info = {"name": "python"}  # without the version, which differs
    return notebook


def unpacked(value):
    """Text with the data of an interactive page in it as it was before zlib, and without its program."""
    if not isinstance(value, str):
        return value
    return re.sub(r"&lt;!doctype html.*?id=&quot;packed&quot;&gt;([^&]*)&lt;[^\"]*", data_of, value, flags=re.DOTALL)


def data_of(frame):
    _style, _program, data = json.loads(gzip.decompress(base64.b64decode(frame[1])))
    return data


def shown(notebook):
    """What each cell shows: text as it is, pictures by their kind alone, as they differ with the fonts."""
    return [
        [
            (
                output.get("text"),
                {k: None if k.startswith("image/") else unpacked(v) for k, v in output.get("data", {}).items()},
            )
            for output in cell.get("outputs", ())
        ]
        for cell in notebook.cells
    ]


def differences(path):
    """Cells that show something else than what is stored, in words."""
    before, after = nbformat.read(path, as_version=4), executed(path)
    pairs = enumerate(zip(shown(before), shown(after), strict=True), 1)
    return [f"{path.name}, cell {number}: stored {old}, now {new}" for number, (old, new) in pairs if old != new]


def main(write):
    found = []
    for path in NOTEBOOKS:
        if write:
            nbformat.write(executed(path), path)
        else:
            found += differences(path)
        print(path.name, "is written" if write else "is executed")
    print(*found, sep="\n")
    return 1 if found or not NOTEBOOKS else 0


if __name__ == "__main__":
    os.environ |= {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "NO_COLOR": "1"}
    sys.exit(main("--write" in sys.argv[1:]))
