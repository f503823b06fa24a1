"""The command line as a whole process, beside `python -c "import torch"`.

    python tests/benchmarks/startup.py

Wall time of `cnncost summarize lenet5` (to a pipe and to a terminal) and of `cnncost --help`, in turns
with the import; and the peak memory of `cnncost summarize vgg19` above that of the import.
"""

import os
import pty
import statistics
import subprocess
import sys
import time

IMPORT = [sys.executable, "-c", "import torch"]
CNNCOST = [sys.executable, "-m", "cnncost"]
PEAK = "import resource,sys;{};print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,file=sys.stderr)"


def piped(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def in_terminal(command):
    start = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:  # the child is gone
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return time.perf_counter() - start


def peak_mib(code):
    out = subprocess.run([sys.executable, "-c", PEAK.format(code)], capture_output=True, text=True, check=True)
    return int(out.stderr.split()[-1]) / 1024


def main():
    lenet = [*CNNCOST, "summarize", "lenet5"]
    runs = {
        "import torch": lambda: piped(IMPORT),
        "summarize lenet5, piped": lambda: piped(lenet),
        "summarize lenet5, terminal": lambda: in_terminal(lenet),
        "--help": lambda: piped([*CNNCOST, "--help"]),
    }
    times = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(9):
        for name, run in runs.items():
            times[name].append(run())
    base = statistics.median(times["import torch"])
    for name, values in times.items():
        middle = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(values, times["import torch"], strict=True))
        print(f"{name:<28} {1e3 * middle:8.0f} ms   {ratio:5.2f} of the import ({1e3 * base:.0f} ms)")
    torch = peak_mib("import torch")
    summarize = (
        "import contextlib,os;from cnncost.cli import main;f=open(os.devnull,'w')\n"
        "with contextlib.suppress(SystemExit),contextlib.redirect_stdout(f): main(['summarize','vgg19'])\n"
    )
    code = f"exec({summarize!r})"
    print(f"peak memory of summarize vgg19: {peak_mib(code) - torch:.1f} MiB above import torch ({torch:.0f} MiB)")


if __name__ == "__main__":
    main()
