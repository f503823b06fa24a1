"""A file's summary beside onnx-tool's profile of the same file: in processes of their own, and the counting alone.

    python tests/benchmarks/onnx_speed.py FILE.onnx [--runs 10]

needs onnx-tool. Runs alternate; times are medians. The first run of each is not counted: it compiles the modules.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

WHOLE = {
    "cnncost summarize": "from cnncost.cli import main; main(['summarize', FILE])",
    "onnx_tool.model_profile": "import onnx_tool; onnx_tool.model_profile(FILE)",
    "import numpy, onnx": "import numpy, onnx, onnx.shape_inference",
    "import torch": "import torch",
}
COUNTING = {
    "cnncost": ("import cnncost, cnncost.frontends.onnx, cnncost.report.model", "cnncost.analyze(FILE)"),
    "onnx-tool": ("import onnx_tool", "m = onnx_tool.Model(FILE).graph; m.shape_infer(None); m.profile()"),
}
"""What is imported, and what is timed: the first and the second time in a process."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run(code: str) -> subprocess.CompletedProcess[str]:
        text = f"FILE = {given.file!r}\n{code}"
        return subprocess.run(
            [sys.executable, "-c", text], check=False, capture_output=True, text=True, env=environment
        )

    walls: dict[str, list[float]] = {name: [] for name in WHOLE}
    phases: dict[str, list[list[float]]] = {name: [] for name in COUNTING}
    for i in range(given.runs + 1):
        for name, code in WHOLE.items():
            begun = time.perf_counter()
            failed = run(code)
            if i and not failed.returncode:
                walls[name].append(time.perf_counter() - begun)
        for name, (imports, counting) in COUNTING.items():
            timed = f"t = time.perf_counter()\n{counting}\nprint('seconds', time.perf_counter() - t)\n"
            done = run(f"import time\n{imports}\n{timed}{timed}")
            if i:
                lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("seconds ")]
                phases[name].append([float(text) for text in lines])
    print(f"whole processes, median of {given.runs}:")
    for name, seconds in walls.items():
        print(f"  {name:26} {statistics.median(seconds) * 1e3:7.0f} ms" if seconds else f"  {name:26} not installed")
    for at, when in enumerate(("first in a process", "second in a process")):
        medians = {name: statistics.median(each[at] for each in found) for name, found in phases.items()}
        shown = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in medians.items())
        print(f"counting alone, {when}: {shown}; {medians['onnx-tool'] / medians['cnncost']:.1f} times")


if __name__ == "__main__":
    main()
