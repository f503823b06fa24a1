"""The interactive page in Debian's Chromium, driven by Playwright: no test may see an error or a request."""

import shutil
from functools import cache

import pytest
import torch
from playwright.sync_api import sync_playwright
from torch import nn

import cnncost

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROWS = """() => {
  const grid = document.querySelector('[role=treegrid]');
  const heads = [...grid.querySelectorAll('[role=columnheader]')].map(head => head.dataset.column);
  const found = new Map();
  for (let top = 0; top <= grid.scrollHeight; top += grid.clientHeight / 2) {
    grid.scrollTop = top;
    grid.dispatchEvent(new Event('scroll'));
    for (const row of grid.querySelectorAll('[data-row]')) {
      const cells = [...row.children].map(cell => cell.textContent);
      found.set(Number(row.getAttribute('aria-rowindex')), {
        name: row.firstChild.title, level: Number(row.getAttribute('aria-level')),
        cells: Object.fromEntries(heads.map((head, i) => [head, cells[i]])),
      });
    }
  }
  grid.scrollTop = 0;
  grid.dispatchEvent(new Event('scroll'));
  return [...found].sort(([a], [b]) => a - b).map(([, row]) => row);
}"""


class Blocks(nn.Module):
    """Equal blocks, a second call, own parameters, a module that is never called, and an op without a rule."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(5)))
        self.head = nn.Linear(8, 4)
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x):
        x = self.blocks(self.stem(x)) * self.scale[:, None, None]
        x = self.blocks[0](x)
        return self.head(torch.ops.cnncost_test_page.odd(x).mean((2, 3)))


LIBRARY = torch.library.Library("cnncost_test_page", "DEF")
LIBRARY.define("odd(Tensor x) -> Tensor")
LIBRARY.impl("odd", torch.empty_like, "Meta")


@cache
def analyzed(name):
    """A network of the zoo, its training step, the odd one above, or a long chain."""
    if name == "blocks":
        return cnncost.analyze(Blocks().eval(), "2x3x16x16", name="net")
    if name == "<b>&":
        return cnncost.analyze(nn.Sequential(nn.Linear(2, 2)), "1x2", name="</script><b>&")
    return cnncost.analyze(name.removesuffix(" training"), training=name.endswith(" training"))


analyzed.html = cache(lambda name: analyzed(name).to_html())


@pytest.fixture(scope="session")
def report():
    """Returns the Report of a name; `report.html(name)` is its page."""
    return analyzed


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


# Charts are drawn once their size is known: by an observer, after the first frame, and in the frame that it requests.
FRAMES = """() => new Promise(done => {
    const wait = frames => requestAnimationFrame(() => frames > 1 ? wait(frames - 1) : done());
    wait(3);
})"""


class Opened:
    """Pages that a test has opened, and what went wrong in them."""

    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder
        self.contexts, self.wrong = [], []

    def __call__(self, text, width=1280, height=900, drawn=True, **context):
        """A page with this text, with its charts unless `drawn` is False or scripts are off.

        `context` is Playwright's, such as color_scheme="dark".
        """
        file = self.folder / f"page{len(self.contexts)}.html"
        file.write_text(text, encoding="utf-8")
        made = self.browser.new_context(viewport={"width": width, "height": height}, **context)
        self.contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(("file:", "blob:")) or self.wrong.append(asked.url))
        page.goto(file.as_uri())
        if drawn and context.get("java_script_enabled", True):
            page.evaluate(FRAMES)
        return page


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a page; afterwards there must have been no message, no error and no request in it."""
    pages = Opened(browser, tmp_path)
    yield pages
    for context in pages.contexts:
        context.close()
    assert pages.wrong == []


@pytest.fixture
def rows():
    """The rows of the table of modules, read from the page while it is scrolled through."""
    return lambda page: page.evaluate(ROWS)
