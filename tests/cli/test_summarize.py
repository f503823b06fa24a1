import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnncost
from cnncost.cli import main
from cnncost.report.document import to_text

NET = """\
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x).relu()
"""


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch):
    """The same environment everywhere: 80 columns, no wish for colour or for none."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys):
    """Run `cnncost summarize …`: exit status, stdout, stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as exited:
            main(["summarize", *map(str, arguments)])
        return (exited.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path / 'net.py'}:Net"


def lenet5():
    return cnncost.analyze("lenet5")


def test_a_table_by_default(run):
    assert run("lenet5") == (0, to_text(lenet5(), width=80) + "\n", "")


OUTPUTS = [
    pytest.param(["--by", "op"], lambda: to_text(lenet5(), by="op", width=80) + "\n", id="ops"),
    pytest.param(["--by", "layer"], lambda: to_text(lenet5(), by="layer", width=80) + "\n", id="layers"),
    pytest.param(["--depth", "0"], lambda: to_text(lenet5(), depth=0, width=80) + "\n", id="a depth"),
    pytest.param(["--format", "text"], lambda: to_text(lenet5(), width=80) + "\n", id="text is plain in a pipe"),
    pytest.param(["--format", "markdown"], lambda: lenet5().to_markdown(), id="markdown"),
    pytest.param(["--format", "csv"], lambda: lenet5().to_csv(), id="CSV"),
    pytest.param(["--format", "json"], lambda: lenet5().to_json(), id="JSON"),
    pytest.param(["--format", "html"], lambda: lenet5().to_html(), id="HTML"),
    pytest.param(["--explain", "c3"], lambda: lenet5().explain("c3") + "\n", id="an explanation"),
]


@pytest.mark.parametrize(("options", "expected"), OUTPUTS)
def test_stdout(options, expected, run):
    assert run("lenet5", *options) == (0, expected(), "")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        pytest.param("r.md", [], lambda: lenet5().to_markdown(), id="markdown by ending"),
        pytest.param("r.csv", [], lambda: lenet5().to_csv(), id="CSV by ending"),
        pytest.param("r.json", [], lambda: lenet5().to_json(), id="JSON by ending"),
        pytest.param("r.html", [], lambda: lenet5().to_html(), id="HTML by ending"),
        pytest.param("r.txt", ["--format", "csv"], lambda: lenet5().to_csv(), id="a format goes before an ending"),
        pytest.param("r.txt", ["--format", "text"], lambda: to_text(lenet5(), width=80) + "\n", id="a table"),
        pytest.param("r.txt", ["--explain", "c3"], lambda: lenet5().explain("c3") + "\n", id="an explanation"),
    ],
)
def test_output_file(name, options, expected, run, tmp_path):
    assert run("lenet5", *options, "-o", tmp_path / name) == (0, "", "")
    assert (tmp_path / name).read_text(encoding="utf-8") == expected()


def test_a_model_from_a_file_with_input_and_arguments(net, run):
    _, out, _ = run(net, "--input", "2x3x8x8", "--model-args", "width=5", "--format", "json")
    data = json.loads(out)
    assert (data["batch"], data["totals"]["macs"]) == (2, 2 * 5 * 36 * 27)


def test_a_saved_report_is_a_model(run, tmp_path):
    lenet5().save(tmp_path / "saved.json")
    assert run(tmp_path / "saved.json") == (0, to_text(lenet5(), width=80) + "\n", "")


REFUSED = [
    pytest.param(["lenet6"], "cnncost: lenet6: no network of this name; did you mean lenet5", id="an unknown model"),
    pytest.param(
        ["lenet5", "--explain", "c33"],
        "cnncost: module 'c33': .*; did you mean c3",
        id="an unknown path has near names",
    ),
    pytest.param(["lenet5", "-o", "r.pdf"], "cnncost: r.pdf: expected a name that ends in .md", id="an unknown ending"),
    pytest.param(
        ["lenet5", "-o", "missing/r.md"], "cnncost: missing/r.md: folder missing does not exist", id="no folder"
    ),
    pytest.param(["lenet5", "-o", "."], "cnncost: .: is a folder; name a file in it", id="a folder"),
    pytest.param(["missing.json"], "cnncost: missing.json: can't be read: No such file", id="no saved report"),
    pytest.param(["broken.json"], "cnncost: broken.json: report file: not JSON", id="a broken saved report"),
    pytest.param(["lenet5", "--model-args", "4"], "cnncost: --model-args '4': expected NAME=VALUE", id="bad arguments"),
    pytest.param(["lenet5", "--input", "1x"], "cnncost: input '1x': expected a shape", id="a bad shape"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.match(message, err)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]


@pytest.mark.parametrize(("form", "row"), [("markdown", "| `c1` |"), ("latex", "\\texttt{c1} &"), ("text", "c1 ")])
def test_a_depth_asks_for_the_tree(form, row, run):
    """As the table of a paper has it: `cnncost summarize resnet50 --depth 1 -o table.tex`."""
    code, out, err = run("lenet5", "--depth", "1", "--format", form)
    assert (code, err) == (0, "")
    assert any(line.strip().startswith(row) for line in out.splitlines())
    assert run("lenet5", "--depth", "1", "--by", "module", "--format", form)[1] == out


USAGE = [
    pytest.param(
        ["--format", "xml"], "cnncost: Invalid value for '--format': 'xml' is not one of", id="an unknown format"
    ),
    pytest.param(["--by", "kind"], "cnncost: Invalid value for '--by': 'kind' is not one of", id="an unknown view"),
    pytest.param(["--depth", "-1"], "cnncost: Invalid value for '--depth'", id="a depth below 0"),
    pytest.param(["--depth", "1", "--by", "op"], "cnncost: --depth is for the module tree", id="a depth of no tree"),
    pytest.param(["--depth", "1", "--format", "csv"], "cnncost: --depth is for the module tree", id="a depth of CSV"),
    pytest.param(
        ["--by", "op", "--format", "json"], "cnncost: --by: json holds modules, layers and ops", id="a view of JSON"
    ),
    pytest.param(
        ["--explain", "c3", "--by", "op"], "cnncost: --explain describes one module in words", id="a view of words"
    ),
]


@pytest.mark.parametrize(("options", "message"), USAGE)
def test_wrong_usage(options, message, run):
    code, out, err = run("lenet5", *options)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(message)


def test_options_for_models_do_not_go_with_a_saved_report(run, tmp_path):
    lenet5().save(tmp_path / "saved.json")
    code, _, err = run(tmp_path / "saved.json", "--input", "1x1x32x32")
    assert (code, "is a saved report" in err) == (2, True)


def test_an_old_file_survives_a_model_that_fails(run, tmp_path):
    (tmp_path / "r.md").write_text("old")
    code, _, _ = run("lenet5", "--input", "1x3x2x2", "-o", tmp_path / "r.md")
    assert (code, (tmp_path / "r.md").read_text()) == (2, "old")


@pytest.mark.parametrize(
    ("environment", "colored"),
    [
        pytest.param({"FORCE_COLOR": "1"}, True, id="colour is asked for"),
        pytest.param({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="no colour is asked for"),
        pytest.param({}, False, id="a pipe"),
    ],
)
def test_colour(environment, colored, run, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _, out, _ = run("lenet5")
    assert ("\x1b[" in out) is colored


@pytest.mark.parametrize(
    ("terminal", "colored"),
    [pytest.param("xterm-256color", True, id="a terminal"), pytest.param("dumb", False, id="a dumb one")],
)
def test_colour_in_a_terminal(terminal, colored, run, monkeypatch):
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _, out, _ = run("lenet5")
    assert ("\x1b[" in out) is colored


def test_ascii_where_stdout_has_no_more(python):
    """Two commands of one process: most of its time goes by before the first."""
    code = (
        "from cnncost.cli import main\n"
        "for options in [], ['--explain', 'f6']:\n"
        "    try: main(['summarize', 'lenet5', *options])\n"
        "    except SystemExit as end: assert end.code == 0"
    )
    around = {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*python, "-c", code], capture_output=True, check=False, env=around)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"total" in done.stdout
    assert b"MACs  = M*I*O = 1*120*84" in done.stdout


def test_documents_are_utf_8_in_any_locale(python):
    command = [*python, "-m", "cnncost", "summarize", "lenet5", "--format", "html"]
    done = subprocess.run(command, capture_output=True, check=False, env={"PYTHONIOENCODING": "ascii"})
    assert done.stdout.decode() == lenet5().to_html()


@pytest.mark.long
def test_a_pipe_does_not_wait_for_what_it_does_not_need():
    """Nor does CSV for pandas."""
    code = (
        "import sys; from cnncost.cli import main\n"
        "try: main(['summarize', 'lenet5'])\n"
        "except SystemExit: sys.stderr.write(str(sorted({'rich', 'pandas', 'fvcore', 'html'} & sys.modules.keys())))\n"
        "try: main(['summarize', 'lenet5', '--format', 'csv'])\n"
        "except SystemExit: sys.stderr.write(str('pandas' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]False"
    assert "\npath,class," in done.stdout
