"""check, diff and compare of files: the same figures as by hand, and exit codes for CI."""

import json
import subprocess
import sys

import pytest
from onnx_files import model, node, saved, weight

from cnncost.cli import main

MACS = 2 * 8 * 5 * 5 * 3 * 3 * 3
"""2×3×7×7 to 2×8×5×5 by 3×3."""
WIDE = 2 * 8 * 3 * 3 * 3 * 5 * 5
"""To 2×8×3×3 by 5×5."""


def conv(kernel, batch=2):
    return model([node("Conv", "x w", "y")], [("x", batch, 3, 7, 7)], stored=[weight("w", 8, 3, kernel, kernel)])


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder of three files, which is the working folder: two convolutions, and an op of which nothing is known."""
    saved(tmp_path, conv(3), "small.onnx")
    saved(tmp_path, conv(5), "wide.onnx")
    saved(tmp_path, conv(3, "N"), "open.onnx")
    chain = [node("Conv", "x w", "h"), node("Odd", "h", "z", domain="com.example")]
    saved(tmp_path, model(chain, [("x", 2, 3, 7, 7)], ("h",), [weight("w", 8, 3, 3, 3)]), "odd.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(files, capsys):
    """Run a command in this folder; returns its exit code and output."""

    def command(*arguments):
        with pytest.raises(SystemExit) as found:
            main(list(arguments))
        written = capsys.readouterr()
        return found.value.code or 0, written.out + written.err

    return command


@pytest.mark.parametrize(
    ("name", "line", "code", "told"),
    [
        pytest.param("small", f"macs = {MACS}", 0, "within", id="within"),
        pytest.param("small", f"macs = {MACS - 1}", 1, "over", id="over"),
        pytest.param("small", f'macs = "== {MACS}"', 0, "within", id="equal"),
        pytest.param("small", f"params = {8 * 3 * 3 * 3}", 0, "within", id="parameters"),
        pytest.param("small", f"params = {8 * 3 * 3 * 3 - 1}", 1, "over", id="parameters over"),
        pytest.param("odd", f"macs = {MACS}", 1, "uncertain", id="a lower bound"),
        pytest.param("odd", f"macs = {MACS}\nallow_unknown = true", 0, "allowed", id="a lower bound that may be"),
        pytest.param("open", f"macs = {MACS}\nmodel_args = {{ N = 2 }}", 0, "within", id="an open axis"),
        pytest.param("open", f"macs = {2 * MACS}\ninput = '4x3x7x7'", 0, "within", id="an open axis by shape"),
        pytest.param("open", f"macs = {MACS}", 2, "N", id="an axis left open"),
        pytest.param("smal", f"macs = {MACS}", 2, "small.onnx", id="no such file"),
    ],
)
def test_check(files, run, name, line, code, told):
    (files / "cnncost.toml").write_text(f'[[budget]]\nname = "net"\nmodel = "{name}.onnx"\n{line}\n')
    found, text = run("check")
    assert (found, told in text) == (code, True), text


def test_check_against_a_baseline(files, run):
    """The file changes under its name: 3×3 becomes 5×5."""
    (files / "cnncost.toml").write_text('[[budget]]\nname = "net"\nmodel = "small.onnx"\nparams = "+1%"\n')
    assert run("check", "--update")[0] == 0
    kept = json.loads((files / "cnncost.lock.json").read_text())["models"]["net"]["totals"]
    assert (kept["macs"], kept["params"]) == (MACS, 8 * 3 * 3 * 3)
    assert run("check")[0] == 0
    saved(files, conv(5), "small.onnx")
    code, text = run("check")
    assert code == 1
    assert "over" in text


@pytest.mark.parametrize(("new", "macs", "params", "code"), [("small", MACS, 216, 0), ("wide", WIDE, 600, 1)])
def test_diff(run, new, macs, params, code):
    found, text = run("diff", "small.onnx", f"{new}.onnx", "--exit-code", "--format", "json")
    told = json.loads(text)
    assert found == code
    assert (told["macs"]["old"], told["macs"]["new"], told["macs"]["delta"]) == (MACS, macs, macs - MACS)
    assert (told["params"]["old"], told["params"]["new"]) == (8 * 3 * 3 * 3, params)


def test_diff_marks_lower_bounds(run):
    code, text = run("diff", "small.onnx", "odd.onnx")
    assert code == 0
    assert f"≥{MACS:,}" in text


def test_compare(run):
    code, text = run("compare", "small.onnx", "wide.onnx", "odd.onnx", "--format", "json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(text)["models"]}
    assert {name: (row["macs"], row["params"], row["lower_bound"]) for name, row in rows.items()} == {
        "small.onnx": (MACS, 216, False), "wide.onnx": (WIDE, 600, False), "odd.onnx": (MACS, 216, True),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["compare", "small.onnx", "--batch", "4"], "fixes its batch", id="a batch that the file fixes"),
        pytest.param(["compare", "open.onnx"], "N", id="an open axis"),
        pytest.param(["diff", "small.onnx", "wid.onnx"], "wide.onnx", id="no such file"),
        pytest.param(["diff", "small.onnx", "wide.onnx", "--dtype", "float16"], "dtype", id="a dtype"),
        pytest.param(["compare", "small.onnx", "--autocast", "bf16"], "autocast", id="autocast"),
        pytest.param(["diff", "small.onnx", "wide.onnx", "--trace", "real"], "real", id="a run on data"),
    ],
)
def test_what_files_cannot_do_is_refused(run, arguments, told):
    code, text = run(*arguments)
    assert (code, told in text) == (2, True), text


@pytest.mark.parametrize("arguments", [["diff", "small.onnx", "wide.onnx"], ["compare", "small.onnx", "wide.onnx"]])
def test_torch_is_not_imported(files, arguments):
    code = (
        "import sys, contextlib\nfrom cnncost.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({arguments!r})\nprint('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=files)
    assert found.stdout.splitlines()[-1] == "False"
