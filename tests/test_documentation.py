"""The README and all pages of docs/ are true: commands print what is shown, Python gives what it says, names are there.

The site itself is built, with broken links as errors, by .ci/run.
"""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import zoos
from document_examples import PAGES, ROOT, blocks, doctest_failures, name, piped, prose, run

import cnncost
from cnncost.budget.quantities import QUANTITIES
from cnncost.cli import cli
from cnncost.report.columns import ALWAYS
from cnncost.sweeps.figures import FIGURES

pytest_plugins = ["pytester"]

COMMANDS = {}
"""A command, without what it is piped into: what each page that has it shows. It is run once for all pages."""
for _page in PAGES:
    for _block in blocks(_page, "console"):
        _command, *_shown = _block.rstrip("\n").splitlines()
        _alone, _, _pipe = _command.partition(" | ")
        COMMANDS.setdefault(_alone, []).append((name(_page), _pipe, [_line.rstrip() for _line in _shown]))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_what_is_shown(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert command.startswith("$ ")
    printed = run(command.removeprefix("$ "))

    for page, pipe, shown in COMMANDS[command]:
        found = piped(printed, pipe)
        assert found == shown or matched("\n".join(found), "\n".join(shown)), (page, found)


def matched(printed, shown):
    """With … for any text of a line, and a line of it alone for any lines."""
    if "…" not in shown:
        return False
    anything = re.escape(shown).replace("…", "[^\n]*").replace("\n[^\n]*\\\n", "\n(?:[^\n]*\n)*")
    return re.match(anything, printed) is not None


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "pycon")], ids=name)
def test_a_python_session_gives_what_is_shown(page):
    failures, examples = doctest_failures(page)

    assert failures == ""
    assert examples > 2


def training_loop():
    import torch
    from torch import nn

    model = nn.Sequential(nn.Conv2d(3, 1, 32, stride=32), nn.Flatten(), nn.Linear(49, 10))
    images, labels = torch.zeros(64, 3, 224, 224), torch.zeros(64, dtype=torch.long)
    optimizer = torch.optim.SGD(model.parameters())
    return {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "loader": [(images, labels)] * 12}


def onnx_file():
    from onnx_files import model, node, saved

    saved(Path(), model([node("Relu", "images", "y")], [("images", "batch", 3, 640, 640)]), "model.onnx")
    return {}


def models_by_name():
    """Skips without Transformers; with it, a stand-in takes the place of what torchvision compiles."""
    (missing,) = zoos.needs("transformers").args
    if missing:
        pytest.skip("needs transformers: pip install '.[zoos]'")
    return {}


PROGRAMS = {
    "docs/formula.md": dict,
    "docs/jobs/training.md": training_loop,
    "docs/onnx.md": onnx_file,
    "docs/serving.md": models_by_name,
    "docs/split.md": models_by_name,
}
"""What a page's Python blocks need of the reader's own."""


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python") and p.name != "ci.md"], ids=name)
def test_a_program_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"cnncost": cnncost, **PROGRAMS[name(page)]()}
    before = set(names)
    for block in blocks(page, "python"):
        exec(compile(block, name(page), "exec"), names)  # noqa: S102  # our own pages
    assert set(names) > before  # it has run, and left what it defines


@pytest.mark.long
def test_the_tests_shown_for_the_plugin_pass(pytester):
    (source,) = blocks(ROOT / "docs" / "jobs" / "ci.md", "python")
    net = "from torch import nn\nNet = lambda: nn.Conv2d(3, 8, 3)\n"
    pytester.makepyfile(test_shown=f"import pytest\n{net}\n{source}")
    quiet = ["-p", "no:randomly", "-p", "no:xdist", "-p", "no:hypothesispytest"]

    pytester.runpytest_subprocess(*quiet, "--complexity-update").assert_outcomes(passed=3)
    pytester.runpytest_subprocess(*quiet).assert_outcomes(passed=3)


def budget(path):
    from cnncost.budget import file

    return file.read(path).budgets


def claims(path):
    from cnncost.lecture import read

    return read.read(path)


def devices(path):
    from cnncost.devices.read import read

    return read(path)


def grid(path):
    from cnncost.sweeps.read import from_file

    return from_file(str(path))


READERS = {"budget": budget, "slide": claims, "mine": devices, "models": grid}
"""A key of a TOML block: what reads such a file."""


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=name)
def test_a_file_shown_is_read(page, tmp_path):
    for block in blocks(page, "toml"):
        (key,) = READERS.keys() & tomllib.loads(block).keys()
        (path := tmp_path / "cnncost.toml").write_text(block.replace("torchvision:", ""), encoding="utf-8")
        assert READERS[key](path)


def lines_with_commands():
    """Commands in shell blocks, indented blocks and sentences, of all pages."""
    found = {}
    for page in PAGES:
        shell = "".join(blocks(page, "sh") + blocks(page, "console"))
        indented = re.findall(r"^ {4,}(cnncost .+)$", prose(page), re.MULTILINE)
        fenced = re.findall(r"(?:^|\$ |&& )(cnncost .+)$", shell, re.MULTILINE)
        for line in [*re.findall(r"`(cnncost [^`]+)`", prose(page)), *fenced, *indented]:
            found.setdefault(" ".join(line.split()), name(page))
    return found


def test_commands_and_options_that_pages_name_are_there():
    context = click.Context(cli)
    unknown = []
    lines = lines_with_commands()
    for line, page in lines.items():
        words = line.split()
        command = cli.get_command(context, words[1])
        if command is None:
            unknown += [(page, line)] * (words[1] not in {"COMMAND", "--help", "--version"})
            continue
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown += [(page, line) for option in re.findall(r"(?<!\S)--[a-z-]+", line) if option not in options]

    assert unknown == []
    assert len(lines) > 60


def test_every_command_of_the_program_is_told():
    from cnncost.cli import _COMMANDS

    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [command for command in _COMMANDS if f"cnncost {command}" not in text] == []


def prose_code():
    """The Python that stands in sentences: what names cnncost or a report."""
    found = {}
    for text in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", "\n".join(prose(page) for page in PAGES)):
        code = " ".join(text.split()).replace("…", "...").lstrip("@")
        try:
            tree = ast.parse(code, mode="eval")
        except SyntaxError:
            continue
        is_file = code.endswith((".toml", ".json", ".html"))
        if not is_file and any(isinstance(n, ast.Name) and n.id in {"cnncost", "report"} for n in ast.walk(tree)):
            found[code] = tree
    return found


PROSE = prose_code()


@pytest.mark.long
def test_what_sentences_name_is_there():
    """After `import cnncost` alone: a fresh program that comes as far as each name goes."""
    chains = {
        ast.unparse(node)
        for tree in PROSE.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.fullmatch(r"(cnncost|report)(\.\w+)+", ast.unparse(node))
    }
    assert len(chains) > 30
    code = ["import cnncost", "report = cnncost.analyze('lenet5', training=True)", "failed = []"]
    for chain in sorted(chains):  # an extra that is not installed says so itself, behind the name
        code += [f"try: {chain}", "except cnncost.errors.MissingPackageError: pass", "except AttributeError as e:"]
        code += ["    failed.append(str(e))"]
    code.append("print(failed)")
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("[]\n", "")


RESNET18 = 11_689_512
"""Parameters, as torchvision states them."""
CALLS = {
    "cnncost.arguments((1, 3, 32, 32), scale=2)": lambda found: found is not None,
    "cnncost.clear_caches()": lambda found: found is None,
    "cnncost.placement()": lambda found: found.__enter__() is None and not found.__exit__(None, None, None),
    "cnncost.literal((16, 16))": lambda found: found is not None,
    "report.explain('conv1')": lambda found: "MACs  = N·K·P·(C/g)·R = 1·64·12544·3·49" in found,
    "report.log_dict()": lambda found: found["complexity/params"] == RESNET18,
    "report.with_masks()": lambda found: found.totals.params == RESNET18,
    "report.to_pandas()": lambda found: found["params"].sum() == RESNET18,
    "report.to_json()": lambda found: cnncost.Report.from_json(found).totals.params == RESNET18,
}
"""Whole lines of the prose that run as they stand, and what comes of them."""
NOT_ALONE = (
    "Trainer(", "cnncost.analyze(model, inputs)", "cnncost.meter.transformers.add_meter(trainer)",
    "cnncost.custom_rules({Correlation", "cnncost.Meter(model", "report.explain('layers.0.linear1')",
    "cnncost.sweep(['torchvision:resnet*']", "cnncost.pipelined(schedule, inputs)",
)  # fmt: skip
"""Lines that need a name of the reader's own or a package that not all have, or write files: other tests run those."""


@pytest.mark.parametrize("code", [ast.unparse(tree) for code, tree in PROSE.items() if "..." not in code])
def test_whole_lines_in_sentences_run(code):
    if "(" not in code or code.startswith(NOT_ALONE):
        return
    assert CALLS[code](eval(code, {"cnncost": cnncost, "report": cnncost.analyze("resnet18")}))  # noqa: S307


def anchors(page):
    """The fragments that a page's headings have, on the site as on a code host."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_files_and_headings_lead_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(\s*([^)\s]+)\s*\)", prose(page)):
        path, _, fragment = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (fragment and fragment not in anchors(Path(target))):
            broken.append(link)

    assert broken == []


def listed(page, first, last):
    """Names in backquotes between two pieces of text, in order."""
    text = (ROOT / page).read_text()
    start = text.index(first)
    return re.findall(r"`(\w+)`", text[start : text.index(last, start)])


def test_pages_list_all_figures():
    always = [column.name for column in ALWAYS]
    assert listed("docs/jobs/ci.md", "by its name in CSV", "exit code") == list(QUANTITIES)
    own = listed("docs/sweep.md", "and `bytes_written`), ", "top-1 ")
    assert own[1:] == [name for name in FIGURES if name not in always]
    assert own[0] in always


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.parent != ROOT]
    reports = [name(page) for page in (ROOT / "reports").glob("*.md")]  # docs/site.py brings them in

    assert [page for page in [*pages, *reports] if f" {page}\n" not in navigation] == []
