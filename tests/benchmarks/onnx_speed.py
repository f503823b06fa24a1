"""A file's count beside onnx-tool's of the same file: as processes of their own, and within one.

    python tests/benchmarks/onnx_speed.py FILE.onnx … [--runs 10]

needs onnx-tool. Runs alternate; times are medians. The first run of each is not counted: it compiles the modules.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

FLOOR = "import numpy, onnx, onnx.shape_inference"
WHOLE = {
    "cnncost": "import cnncost; cnncost.analyze(FILE)",
    "cnncost summarize": "from cnncost.cli import main; main(['summarize', FILE])",
    "onnx-tool": "import onnx_tool; onnx_tool.model_profile(FILE)",
    FLOOR: FLOOR,
    "import torch": "import torch",
}
COUNTING = {
    "cnncost": (
        f"{FLOOR}\nimport cnncost.analysis, cnncost.frontends.onnx, cnncost.sources.onnx",
        "cnncost.analysis.analyze(FILE)",
    ),
    "onnx-tool": ("import onnx_tool", "m = onnx_tool.Model(FILE).graph; m.shape_infer(None); m.profile()"),
}
"""What is imported, and what is timed: the first and the second time in a process."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    for file in given.files:
        print(f"{Path(file).name}, {Path(file).stat().st_size / 2**20:.1f} MiB, medians of {given.runs} runs in turns:")
        measured(file, given.runs)


def run(file: str, code: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    text = f"FILE = {file!r}\n{code}"
    return subprocess.run(
        [sys.executable, "-P", "-c", text], check=False, capture_output=True, text=True, env=environment
    )


def measured(file: str, runs: int) -> None:
    walls: dict[str, list[float]] = {name: [] for name in WHOLE}
    phases: dict[str, list[list[float]]] = {name: [] for name in COUNTING}
    for i in range(runs + 1):
        for name, code in WHOLE.items():
            begun = time.perf_counter()
            failed = run(file, code)
            if i and not failed.returncode:
                walls[name].append(time.perf_counter() - begun)
        for name, (imports, counting) in COUNTING.items():
            timed = f"t = time.perf_counter()\n{counting}\nprint('seconds', time.perf_counter() - t)\n"
            done = run(file, f"import time\n{imports}\n{timed}{timed}")
            lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("seconds ")]
            if i:
                phases[name].append([float(text) for text in lines])
    whole = {name: statistics.median(seconds) for name, seconds in walls.items() if seconds}
    for name in WHOLE:
        print(f"  process: {name:42} " + (f"{whole[name] * 1e3:7.0f} ms" if name in whole else "not installed"))
    own = {name: whole[name] - whole[FLOOR] for name in ("cnncost", "onnx-tool")}
    print(f"  processes: {whole['onnx-tool'] / whole['cnncost']:.1f} times as long by onnx-tool")
    print(f"  beyond the imports that both need: {own['onnx-tool'] / own['cnncost']:.1f} times as long by onnx-tool")
    for at, when in enumerate(("first", "second")):
        medians = {name: statistics.median(each[at] for each in found) for name, found in phases.items()}
        shown = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in medians.items())
        ratio = medians["onnx-tool"] / medians["cnncost"]
        print(f"  {when} count in a process: {shown}; {ratio:.1f} times as long by onnx-tool")


if __name__ == "__main__":
    main()
