"""The files of `onnx_cases.py`: what is derived by hand, what cnncost says, what onnx-tool says.

    python tests/peers/onnx_pitfalls.py     reports/onnx_pitfalls.md

needs onnx-tool (`pip install onnx-tool`).
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx_tool
from onnx_cases import CASES, Case, write

import cnncost

PAGE = Path(__file__).resolve().parents[2] / "reports" / "onnx_pitfalls.md"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(folder), encoding="utf-8")
    print(f"written: reports/{PAGE.name}")


def page(folder: str) -> str:
    rows, right = [], {"cnncost": 0, "onnx-tool": 0}
    for case in CASES:
        path = f"{folder}/case.onnx"
        write(case, path)
        totals = cnncost.analyze(path).totals
        said = {"cnncost": (totals.macs, totals.params), "onnx-tool": of_onnx_tool(path)}
        for name, found in said.items():
            right[name] += found == (case.macs, case.params)
        rows.append(_row(case, said))
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnx", "onnx-tool"))
    lines = [
        "# Pitfalls of ONNX files",
        "",
        (f"{len(CASES)} small files on which counters differ, each with its figures derived by hand "
        "(`tests/peers/onnx_cases.py`; `tests/peers/test_onnx_cases.py` holds cnncost to them). A number in bold is "
        "another than the derived one. Not all of them are errors: onnx-tool counts additions, comparisons and "
        "exponentials as multiply-accumulates, by its own weights."),
        "",
        f"`python tests/peers/onnx_pitfalls.py` · {packages}",
        "",
        "| file | MACs, derived | cnncost | onnx-tool | parameters, derived | cnncost | onnx-tool |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        f"| **both as derived** | | {right['cnncost']} of {len(CASES)} | {right['onnx-tool']} of {len(CASES)} | | | |",
        "",
        "| file | derivation | elsewhere |",
        "|---|---|---|",
        *(f"| {case.name} | {case.derivation} | {case.why} |" for case in CASES),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def of_onnx_tool(path: str) -> tuple[int, int] | str:
    """MACs and parameters; the error's class if it fails."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = onnx_tool.Model(path).graph
            graph.shape_infer(None)
            graph.profile()
    except Exception as error:  # noqa: BLE001  # a failing peer is a result
        return type(error).__name__
    return sum(int(node.macs[0]) for node in graph.nodemap.values()), int(graph.params)


def _row(case: Case, said: dict[str, tuple[int, int] | str]) -> str:
    cells = [case.name]
    for at, derived in enumerate((case.macs, case.params)):
        cells.append(f"{derived:,}")
        for found in said.values():
            if isinstance(found, str):
                cells.append(f"**fails**: {found}")
            else:
                cells.append(f"{found[at]:,}" if found[at] == derived else f"**{found[at]:,}**")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
