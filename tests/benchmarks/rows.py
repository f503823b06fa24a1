"""Reports of 10,000 and of 100,000 rows: seconds of each format, and what ten times the rows take.

    python tests/benchmarks/rows.py

Also a difference in which every layer changed, and a budget that limits every module, against a baseline with the same
names and against one in which all modules have others.
"""

import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import cnncost
from cnncost.budget import lock as locks
from cnncost.budget.check import check, new_baseline
from cnncost.budget.diff import Diff
from cnncost.budget.file import read
from cnncost.budget.measure import of_budget
from cnncost.budget.render import check as check_document
from cnncost.budget.render import diff as diff_document
from cnncost.budget.render import diff_page
from cnncost.budget.snapshot import of_report
from cnncost.garbage import gc_disabled
from cnncost.render import formats

BUDGET = """
[[budget]]
model = "net.py:Net"
params = "+1%"
macs = "<= 1T"
modules = { "**" = { params = "<= 1M", macs = "+1%" } }
"""


rendered = gc_disabled()(formats.rendered)
"""As the command line calls it."""


def model(rows, width=8, within=""):
    """Modules in tens, as networks nest them: a tenth of the rows are containers."""
    with torch.device("meta"):
        net = nn.Sequential(
            *(nn.Sequential(*(layer for _ in range(5) for layer in (nn.Linear(width, width), nn.ReLU())))
              for _ in range(rows // 10))
        )  # fmt: skip
    if not within:
        return net
    outer = nn.Sequential()
    outer.add_module(within, net)
    return outer


def seconds(function):
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def measure(rows):
    net = model(rows)
    times = {}
    times["analyze"], report = seconds(lambda: cnncost.analyze(net, (1, 8)))
    for form in ("text", "markdown", "csv", "json", "html"):
        write = getattr(report, f"to_{form}") if form != "text" else lambda: str(report)
        times[form], text = seconds(write)
        times[form + " MB"] = len(text) / 1e6
    times["diff"], _ = seconds(lambda: list(Diff(of_report(report), of_report(report)).changes))
    times["read json"], _ = seconds(lambda: type(report).from_json(report.to_json()))
    times |= changed(report, cnncost.analyze(model(rows, width=4), (1, 4)))
    for name, old in (("", report), (", renamed", cnncost.analyze(model(rows, within="body"), (1, 8)))):
        times |= checked(old, report, name)
    return times


def changed(old, new):
    """A difference of every layer, in each format; finding it, and each rendering."""
    diff = Diff(of_report(old), of_report(new))
    times = {}
    times["changes"], found = seconds(lambda: diff.changes)
    assert len(found) >= len(old.layers)
    for form in ("text", "markdown", "csv", "json", "html"):
        page = diff_page.page if form == "html" else diff_document.document
        times[f"diff {form}"], _ = seconds(lambda page=page, form=form: rendered(page(diff, ("old", "new")), form))
    return times


def checked(old, new, name):
    """A check of an analyzed model, with writing and reading its baseline, and its text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cnncost.toml"
        path.write_text(BUDGET)
        file = read(path)

        def baseline():
            locks.write(file.baseline, new_baseline([of_budget(file.budgets[0], old)]))
            return locks.read(file.baseline)

        times = {}
        times[f"baseline{name}"], lock = seconds(baseline)
        times[f"check{name}"], found = seconds(lambda: check(file, [of_budget(file.budgets[0], new)], lock))
        assert found.exit_code == 0
        assert found.models[0].judged[-1].modules >= len(new.layers)
        times[f"check{name}, text"], _ = seconds(lambda: rendered(check_document.document(found), "text"))
        return times


def main():
    measure(1_000)
    few, many = measure(10_000), measure(100_000)
    for name, large in many.items():
        ratio = large / few[name] if few[name] else 0.0
        print(f"{name:20} 10k {few[name]:8.2f}   100k {large:8.2f}   ratio {ratio:6.1f}")


if __name__ == "__main__":
    main()
