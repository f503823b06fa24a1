"""Editors and shells of Windows begin text files with a mark of byte order: each file of a user's may have one."""

import json

import pytest

import cnncost
from cnncost.cli import main

BUDGET = '[[budget]]\nmodel = "lenet5"\nmacs = "+0"\n'
INPUTS = '[{"shape": [2, 1, 32, 32]}]'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return run


def marked(path):
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@pytest.mark.parametrize(
    ("name", "text", "arguments", "told"),
    [
        pytest.param("r.json", None, ("summarize", "r.json"), "325,680", id="a report"),
        pytest.param("r.json", None, ("compare", "r.json", "lenet1"), "325,680", id="a report beside a model"),
        pytest.param("i.json", INPUTS, ("summarize", "lenet5", "--inputs-json", "i.json"), "651,360", id="inputs"),
        pytest.param("a.csv", "model,top1\nlenet5,99\n", ("compare", "lenet5", "--join", "a.csv"), "99", id="a table"),
        pytest.param("grid.toml", 'models = ["lenet5"]\n', ("sweep", "--grid", "grid.toml"), "325,680", id="a grid"),
    ],
)
def test_a_mark_is_no_text(run, tmp_path, name, text, arguments, told):
    path = tmp_path / name
    cnncost.analyze("lenet5").save(path) if text is None else path.write_text(text)
    marked(path)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert told in out


def test_budget_and_baseline(run, tmp_path):
    (tmp_path / "cnncost.toml").write_text(BUDGET)
    marked(tmp_path / "cnncost.toml")
    assert run("check", "--update")[0] == 0
    lock = tmp_path / "cnncost.lock.json"
    marked(lock)
    code, out, err = run("check", "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["models"][0]["limits"][0]["used"] == 325_680
    assert run("check", "--update")[0] == 0
    assert not lock.read_bytes().startswith(b"\xef"), "written without a mark"
