"""The HTML page of a model with 100,000 modules in Chromium: its size, first paint, and how long interactions take.

    python tests/benchmarks/page.py [modules]

An interaction is timed from its event to the end of the layout that follows, the slower of two runs; a ResNet-50's page
is beside it. The times are those of this machine while nothing else runs.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from playwright.sync_api import Page, sync_playwright
from torch import Tensor, nn

import cnncost

FIND = "const set = (box, value, what) => { box.value = value; box.dispatchEvent(new Event(what)); };"
FIND += "const one = s => document.querySelector(s), all = s => [...document.querySelectorAll(s)];"
STEPS = {
    "choose a row": "all('[data-row] .name').at(-1).click()",
    "sizes by parameters": "set(one('.controls select'), 'params', 'change')",
    "sizes by time": "set(one('.controls select'), 'seconds', 'change')",
    "another device": "set(all('.controls select')[1], 'a100', 'change')",
    "unfold": "all('.tools input[type=checkbox]')[0]?.click()",
    "open all": "all('.tools button').find(b => b.textContent === 'Open all').click()",
    "sort by MACs": "one('[data-column=macs] button').click()",
    "sort by class": "one('[data-column=class] button').click()",
    "sort by name": "one('[data-column=module] button').click()",
    "scroll to the middle": "one('.grid').scrollTop = 1e6; one('.grid').dispatchEvent(new Event('scroll'))",
    "search a path": "set(one('#search'), '77.a', 'input')",
    "search a limit": "set(one('#search'), 'params>300', 'input')",
    "search nothing": "set(one('#search'), '', 'input')",
    "layers only": "all('.tools input[type=checkbox]')[1].click()",
    "sort layers by time": "one('[data-column=seconds] button').click()",
    "a tree again": "all('.tools input[type=checkbox]')[1].click()",
    "choose a band": "all('.band').at(-1).click()",
    "zoom in": "all('.band').at(-1).dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))",
    "zoom out": "one('.icicle .crumbs button')?.click()",
    "another moment": "set(one('.memory input'), one('.memory input').max / 2, 'input')",
    "close all": "all('.tools button').find(b => b.textContent === 'Close all').click()",
}
TIMED = """async () => {
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const start = performance.now();
  { FIND STEP }
  document.body.offsetHeight;
  return performance.now() - start;
}"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


class Block(nn.Module):
    """Five modules with sizes of their own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 8), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.d(self.c(self.b(self.a(x))))


def large(modules: int) -> nn.Module:
    """Groups of 100 blocks, of fifty widths in turn."""
    with torch.device("meta"):
        return nn.Sequential(*[
            nn.Sequential(*[Block(4 + (100 * i + j) % 50) for j in range(100)]) for i in range(modules // 500)
        ])  # fmt: skip


def measured(page: Page) -> dict[str, float]:
    """Milliseconds of each step, the slower of two runs."""
    found: dict[str, float] = {}
    for _ in range(2):
        for name, step in STEPS.items():
            found[name] = max(found.get(name, 0), page.evaluate(TIMED.replace("FIND", FIND).replace("STEP", step)))
    return found


def main() -> None:
    """Print a table."""
    modules = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    reports = {"ResNet-50": cnncost.analyze("resnet50"), f"{modules:,} modules": cnncost.analyze(large(modules), "1x8")}
    columns: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for report in reports.values():
            start = time.perf_counter()
            text = report.to_html()
            written = time.perf_counter() - start
            file = Path(folder) / "page.html"
            file.write_text(text, encoding="utf-8")
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(file.as_uri())
            page.wait_for_selector("[data-row]")
            page.wait_for_timeout(1000)
            loaded = page.evaluate("() => performance.getEntriesByType('navigation')[0].domComplete")
            columns.append({
                "rows": f"{len(report.modules):,}", "size": f"{len(text.encode()) / 1e6:.2f} MB",
                "written in": f"{written:.1f} s", "first paint": f"{page.evaluate(PAINT):.0f} ms",
                "all is drawn": f"{loaded:.0f} ms",
            } | {name: f"{ms:.0f} ms" for name, ms in measured(page).items()})  # fmt: skip
            page.close()
        browser.close()
    print(f"{'':24}" + "".join(f"{name:>18}" for name in reports))
    for name in columns[0]:
        print(f"{name:24}" + "".join(f"{column[name]:>18}" for column in columns))


if __name__ == "__main__":
    main()
