"""cnncost beside other tools: what each counts, and what that takes.

    python tests/peers/run.py               reports/peers.md and reports/pitfalls.md
    python tests/peers/run.py pitfalls      the second alone

All tools get the same built models, each in a process forked from the one that built them: some tools leave torch
changed. A tool that is not installed is left out. Times are CPU seconds of one thread, for the machine may have other
work, of runs back to back, with the garbage collector on; memory is what the process grew by.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from cases import CASES, inputs_of
from networks import NETWORKS, Network
from tools import Tool, counted, forked, present, quiet

REPORTS = Path(__file__).resolve().parents[2] / "reports"
ROUNDS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="?", choices=["all", "peers", "pitfalls"], default="all")
    which = parser.parse_args().which
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torchvision_cpu

    torchvision_cpu.install()
    tools = present()
    with quiet():  # once, not in each forked process
        for name in ("torch._dynamo", "torch.jit", "fvcore.nn", "cnncost.verify", *(tool.package for tool in tools)):
            importlib.import_module(name)
    for name, page in (("pitfalls", pitfalls_page), ("peers", peers_page)):
        if which in {"all", name}:
            (REPORTS / f"{name}.md").write_text(page(tools), encoding="utf-8")
            print(f"written: reports/{name}.md")


def machine(tools: tuple[Tool, ...]) -> str:
    """Processor, Python, versions."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    versions = dict.fromkeys(f"{tool.distribution} {version(tool.distribution)}" for tool in tools)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}; " + ", ".join(versions)


# ---- what they count


def pitfalls_page(tools: tuple[Tool, ...]) -> str:
    """The cases of `cases.py`: the count derived by hand, and what each tool says."""
    others = [tool for tool in tools if tool.name != "cnncost"]
    right = dict.fromkeys((tool.name for tool in tools), 0)
    rows = []
    for case in CASES:
        torch.manual_seed(0)
        model, inputs = case.build().eval(), inputs_of(case)
        said = {tool.name: counted(tool, model, inputs) for tool in tools}
        for name, value in said.items():
            right[name] += value == case.macs
        rows.append((case, said))
    lines = [
        "# Pitfalls",
        "",
        (f"{len(CASES)} small models on which counters of multiply-accumulates differ, each with its count derived by "
        "hand (`tests/peers/cases.py`; `tests/peers/test_cases.py` holds cnncost to them). A number in bold is another "
        "than the derived one. Not all of them are errors: a tool may count biases or norms as multiply-accumulates "
        "by its own convention, which the last table tells."),
        "",
        f"`python tests/peers/run.py pitfalls` · {machine(tools)}",
        "",
        "| model | derived | " + " | ".join(tool.name for tool in tools) + " |",
        "|---|---:|" + "---:|" * len(tools),
        *(f"| {case.name} | {case.macs:,} | " + " | ".join(_said(v, case.macs) for v in said.values()) + " |"
          for case, said in rows),
        "| **as derived** | | " + " | ".join(f"{right[tool.name]} of {len(CASES)}" for tool in tools) + " |",
        "",
        "| model | derivation | what goes wrong elsewhere |",
        "|---|---|---|",
        *(f"| {case.name} | {case.derivation} | {case.why} |" for case, _ in rows),
        "",
        "| tool | what its number is |",
        "|---|---|",
        *(f"| {tool.name} | {tool.counts} |" for tool in (tools[0], *others)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _said(value: int | str, expected: int) -> str:
    if isinstance(value, str):
        return f"**fails**: {value}"
    return f"{value:,}" if value == expected else f"**{value:,}**"


# ---- what that takes


def peers_page(tools: tuple[Tool, ...]) -> str:
    """Counts, times and memory on the networks."""
    results = {network.name: _measured(network, tools, train=False) for network in NETWORKS}
    training = {network.name: _measured(network, tools, train=True) for network in NETWORKS}
    names = [tool.name for tool in tools]
    head = ["| network | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    lines = [
        "# cnncost beside other tools",
        "",
        f"`python tests/peers/run.py peers` · {machine(tools)}",
        "",
        ("All tools count the same built models with weights, each in a process forked from the one that built them. "
        f"CPU seconds of one thread, the median of {ROUNDS} runs back to back after a first one that is not counted "
        "(it imports). cnncost cold is with an empty memo, and warm from the third time on; others keep nothing "
        "between runs. In brackets: how many times cnncost's cold, and its warm time."),
        "",
        "## CPU milliseconds, of models as they are built: in train mode",
        "",
        *_times(training, names),
        "",
        "## CPU milliseconds, in eval mode",
        "",
        *_times(results, names),
        "",
        "## MACs that each reports, in millions (eval mode)",
        "",
        *head,
        *("| " + " | ".join([name, *(_count(result[n]["count"]) for n in names)]) + " |"
          for name, result in results.items()),
        "",
        "## Memory that a process grows by, in MiB (eval mode)",
        "",
        ("From before a run to its peak; the model and what is imported are there already, and cnncost's memo is "
        "empty. In brackets: how many times cnncost's."),
        "",
        *head,
        *(_memory_row(name, result, names) for name, result in results.items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _times(results: dict[str, dict[str, Any]], names: list[str]) -> list[str]:
    return [
        "| network | cnncost warm | cnncost cold | " + " | ".join(names[1:]) + " |",
        "|---|---:|---:|" + "---:|" * (len(names) - 1),
        *(_time_row(name, result, names) for name, result in results.items()),
    ]


def _measured(network: Network, tools: tuple[Tool, ...], train: bool) -> dict[str, dict[str, Any]]:
    torch.manual_seed(0)
    model = network.build().train(train)
    inputs = tuple(
        torch.zeros(s[:-1], dtype=torch.int64) if s[-1] == "int64" else torch.rand(s) for s in network.inputs
    )
    failed = {"times": [], "warm": [], "memory": None}
    found: dict[str, dict[str, Any]] = {}
    for tool in tools:
        said = forked(lambda t=tool: _run(t, model, inputs))
        found[tool.name] = said if isinstance(said, dict) else {"count": said, **failed}
        if isinstance(said, dict) and not train:  # in a process of its own, in which nothing ran before
            memory = forked(lambda t=tool: _grown(lambda: t.count(model, inputs)))
            found[tool.name]["memory"] = memory if isinstance(memory, float) else None
    return found


def _run(tool: Tool, model: torch.nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The work of a forked process: the count, and the times of some runs."""
    count, warm = tool.count(model, inputs), list[float]()
    if tool.name != "cnncost":
        return {"count": count, "times": [_clocked(tool, model, inputs) for _ in range(ROUNDS)], "warm": warm}
    times = []
    for _ in range(ROUNDS):
        _forget()
        times.append(_clocked(tool, model, inputs))
    for turn in range(ROUNDS + 2):  # the second prepares what the later ones use
        took = _clocked(tool, model, inputs)
        if turn >= 2:
            warm.append(took)
    return {"count": count, "times": times, "warm": warm}


def _clocked(tool: Tool, model: torch.nn.Module, inputs: tuple[Any, ...]) -> float:
    begun = time.process_time()
    tool.count(model, inputs)
    return time.process_time() - begun


def _forget() -> None:
    from cnncost.frontends.torch import memo, skeleton_cache
    from cnncost.ops.registry import forget_costs

    memo.clear()
    skeleton_cache.clear()
    forget_costs()


def _grown(work: Callable[[], Any]) -> float | None:
    """MiB by which this process's resident memory grows at its peak while it works; None where that can't be told."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    _forget()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    """A line of /proc/self/status, in KiB."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1])


def _time_row(name: str, result: dict[str, dict[str, Any]], names: list[str]) -> str:
    cold, warm = (statistics.median(result["cnncost"][key]) for key in ("times", "warm"))
    cells = [f"{1e3 * warm:.1f}", f"{1e3 * cold:.1f}"]
    for other in names[1:]:
        times = result[other]["times"]
        if not times:
            cells.append("fails")
            continue
        took = statistics.median(times)
        cells.append(f"{1e3 * took:.0f} ({took / cold:.1f}×, {took / warm:.1f}×)")
    return "| " + " | ".join([name, *cells]) + " |"


def _count(value: int | str) -> str:
    return "fails" if isinstance(value, str) else f"{value / 1e6:,.1f}"


def _memory_row(name: str, result: dict[str, dict[str, Any]], names: list[str]) -> str:
    own = result["cnncost"]["memory"]
    cells = []
    for tool in names:
        grown = result[tool]["memory"]
        ratio = f" ({grown / own:.1f}×)" if grown and own and tool != "cnncost" else ""
        cells.append("–" if grown is None else f"{grown:.1f}{ratio}")
    return "| " + " | ".join([name, *cells]) + " |"


if __name__ == "__main__":
    main()
