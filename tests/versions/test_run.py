"""The matrix of torch's versions: what is run, what is kept, and the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.versions import facts, page, run
from tests.versions.figures import FIGURES, NETWORKS, figures

ALL = ("2.13.0", "2.14.1", "2.15.0")


def entry(version, failed=(), code="now", **changes):
    values = {name: dict.fromkeys(FIGURES, 7) for name in NETWORKS}
    for place, value in changes.items():
        name, _, figure = place.partition("/")
        values[name][figure] = value
    tests = {
        "tests/ops": {"passed": 1200, "skipped": 1, "failed": [], "seconds": 9, "code": code},
        "tests/cli": {"passed": 40, "skipped": 2, "failed": list(failed), "seconds": 9, "code": code},
    }
    whole = sorted(tests)
    return {"version": version, "torch": f"{version}+cpu", "python": "3.12.1", "code": code, "figures": values,
            "tests": tests, "whole": whole}  # fmt: skip


def row(text, begin):
    return next(line for line in text.splitlines() if line.startswith(f"| {begin}"))


def test_a_version_is_a_row():
    text = page.page([entry("2.13.0"), entry("2.15.0", failed=["tests.cli.test_x::test_y[1]"])], ALL, "now")
    assert row(text, "2.13.0") == "| 2.13.0+cpu | 3.12.1 | 1,240 | 3 | 0 | all |"
    assert row(text, "2.14.1") == "| 2.14.1 | – | – | – | – | not run |"
    assert row(text, "2.15.0") == "| 2.15.0+cpu | 3.12.1 | 1,240 | 3 | 1 | all |"
    assert "- 2.15.0: `tests.cli.test_x::test_y[1]`" in text


def test_a_version_on_another_python_is_a_row_of_its_own():
    newest = entry("2.15.0-python3.14") | {"torch": "2.15.0+cpu", "python": "3.14.1"}
    text = page.page([entry("2.15.0"), newest], (*ALL, "2.15.0-python3.14"), "now")
    assert row(text, "2.15.0+cpu | 3.12.1") == "| 2.15.0+cpu | 3.12.1 | 1,240 | 3 | 0 | all |"
    assert row(text, "2.15.0+cpu | 3.14.1") == "| 2.15.0+cpu | 3.14.1 | 1,240 | 3 | 0 | all |"
    assert "A single number is that of all of 2.15.0." in text


def without(version, *parts):
    found = entry(version)
    found["tests"] = {name: told for name, told in found["tests"].items() if name not in parts}
    found["whole"] = [*found["whole"], "tests/report"]
    return found


@pytest.mark.parametrize(
    ("found", "share"),
    [
        pytest.param(entry("2.13.0"), "all", id="all"),
        pytest.param(without("2.13.0"), "without tests/report", id="most"),
        pytest.param(without("2.13.0", "tests/ops"), "only tests/cli", id="a part"),
        pytest.param(
            without("2.13.0", "tests/ops", "tests/cli"), "none of it: the networks' figures alone", id="figures alone"
        ),
        pytest.param(
            entry("2.13.0", code="before"), "all; on an earlier state of the code", id="before the code was changed"
        ),
    ],
)
def test_what_was_not_run_is_said(found, share):
    assert row(page.page([found], ALL, "now"), "2.13.0").endswith(f" | {share} |")


def test_figures_are_written_once_where_they_are_equal():
    text = page.page([entry("2.13.0"), entry("2.15.0")], ALL, "now")
    assert row(text, "LeNet-5") == "| LeNet-5 | 7 | 7 | 7 | 7 | 7 |"
    assert "A single number is that of all of 2.13.0, 2.15.0." in text
    assert page.unexplained([entry("2.13.0"), entry("2.15.0")]) == []


def test_a_figure_that_differs_is_explained_or_pointed_at():
    place = "attention without a batch"
    entries = [
        entry("2.13.0"),
        entry("2.14.1", **{f"{place}/inference_peak": 5}),
        entry("2.15.0", **{"VGG-16/macs": 9}),
    ]
    text = page.page(entries, ALL, "now")
    assert row(text, place) == f"| {place} | 7 | 7 | 7 | 7; from 2.14.1 on 5; from 2.15.0 on 7 | 7 |"
    assert row(text, "VGG-16") == "| VGG-16 | 7 | 7; from 2.15.0 on 9 | 7 | 7 | 7 |"
    assert "- attention without a batch: from 2.14 on `scaled_dot_product_attention` takes its kernel" in text
    assert "- VGG-16: **MACs: not explained**." in text
    assert page.unexplained(entries) == [("VGG-16", "macs")]


@pytest.mark.parametrize("name", ["LeNet-5", "LSTM of two layers", "attention without a batch"])
def test_figures_of_a_network(name):
    """The parameters by hand."""
    gates = 4 * 64
    params = {
        "LeNet-5": 60_000,  # of the paper: trainable ones
        "LSTM of two layers": gates * (32 + 64 + 2) + gates * (64 + 64 + 2) + 64 * 10 + 10,
        "attention without a batch": 64 * 64 + 64 + 2 * (64 * 16 + 16),
    }
    found = figures(name)
    assert tuple(found) == FIGURES == tuple(page.COLUMNS)
    assert found["params"] == params[name]


def test_the_figures_of_the_torch_at_hand_are_those_of_the_page():
    """What stands in reports/versions.md for this version, of a network that needs no time."""
    written = (run.ROOT / "reports" / "versions.md").read_text()
    found = figures("attention without a batch")
    cells = row(written, "attention without a batch").split(" | ")[1:]
    assert [f"{found[figure]:,}" in cell for figure, cell in zip(FIGURES, cells, strict=True)] == [True] * 5


# ---- running and resuming


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Nothing is kept yet; two folders of tests; what is run is written down and not done."""
    done = []
    monkeypatch.setattr(run, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(run, "PAGE", tmp_path / "versions.md")
    monkeypatch.setattr(run, "VERSIONS", ALL)
    monkeypatch.setattr(run, "code", lambda: "now")
    monkeypatch.setattr(run, "parts", lambda paths: tuple(paths or ("tests/cli", "tests/ops")))

    def prepared(version, folder, options):
        done.append(f"prepare {version}")
        folder.mkdir(parents=True)

    def networks(python):
        done.append("figures")
        return {key: entry("2.13.0")[key] for key in ("torch", "python", "figures")}

    def tests(python, part, jobs):
        done.append(part)
        if part in place_fails:
            place_fails.remove(part)
            raise KeyboardInterrupt
        return {"passed": 3, "skipped": 0, "failed": [], "seconds": 1}

    place_fails = []
    monkeypatch.setattr(run, "prepare", prepared)
    monkeypatch.setattr(run, "figures", networks)
    monkeypatch.setattr(run, "tested", tests)
    return tmp_path, done, place_fails


def at(folder, *arguments):
    return run.main(["--environments", str(folder / "environments"), "--only", "2.13", *arguments])


def test_from_nothing(place):
    folder, done, _ = place
    assert at(folder) == 0
    assert done == ["prepare 2.13.0", "figures", "tests/cli", "tests/ops"]
    assert row((folder / "versions.md").read_text(), "2.13.0").endswith(" | 6 | 0 | 0 | all |")
    assert list((folder / "environments").iterdir()) == []  # they are large


def test_what_is_kept_is_not_run_again(place):
    folder, done, _ = place
    at(folder)
    done.clear()
    assert at(folder) == 0
    assert done == []
    at(folder, "--fresh")
    assert done == ["prepare 2.13.0", "figures", "tests/cli", "tests/ops"]


def test_it_goes_on_where_it_was_interrupted(place):
    folder, done, fails = place
    fails.append("tests/ops")
    with pytest.raises(KeyboardInterrupt):
        at(folder)
    assert list((folder / "environments").iterdir()) == []
    done.clear()
    assert at(folder) == 0
    assert done == ["prepare 2.13.0", "tests/ops"]


def test_after_a_change_of_the_code_all_is_run_again(place, monkeypatch):
    folder, done, _ = place
    at(folder)
    done.clear()
    monkeypatch.setattr(run, "code", lambda: "later")
    assert at(folder, "--report") == 0
    assert done == []
    assert "on an earlier state of the code" in (folder / "versions.md").read_text()
    at(folder)
    assert done == ["prepare 2.13.0", "figures", "tests/cli", "tests/ops"]


def test_an_environment_that_is_there_is_taken_and_left(place):
    folder, done, _ = place
    (folder / "environments" / "torch-2.13.0").mkdir(parents=True)
    at(folder, "--no-tests")
    assert done == ["figures"]
    assert [path.name for path in (folder / "environments").iterdir()] == ["torch-2.13.0"]


def test_a_test_that_fails_is_an_exit_code(place, monkeypatch):
    folder, _, _ = place
    monkeypatch.setattr(run, "tested", lambda *_: {"passed": 1, "skipped": 0, "failed": ["tests.ops::a"], "seconds": 1})
    assert at(folder) == 1


def test_versions_are_asked_for_by_their_first_numbers(monkeypatch):
    matrix = ("2.1.2", "2.10.0", "2.13.0", "2.13.0-python3.14")
    monkeypatch.setattr(run, "VERSIONS", matrix)
    assert run.chosen(None) == matrix
    assert run.chosen(["2.1"]) == ("2.1.2",)
    assert run.chosen(["2.13.0", "2.10"]) == ("2.13.0", "2.10.0")
    assert run.chosen(["2.13"]) == ("2.13.0", "2.13.0-python3.14")
    assert run.chosen(["2.13.0-python3.14"]) == ("2.13.0-python3.14",)
    with pytest.raises(SystemExit, match=r"--only 2\.2: expected one of 2\.1\.2, 2\.10\.0, 2\.13\.0, "):
        run.chosen(["2.2"])


def test_each_version_that_is_supported_is_in_the_matrix():
    from cnncost import versions

    found = list(dict.fromkeys(versions.numbers(version) for version in run.VERSIONS))
    (first, oldest), (last, newest) = versions.OLDEST, versions.NEWEST
    assert first == last == 2
    assert set(found) >= {(2, minor) for minor in range(oldest, newest + 1)}
    assert found == [(2, minor) for minor in range(oldest, oldest + len(found))]  # newer ones, too, until all pass
    assert facts.AT >= versions.OLDEST


def test_commands_that_make_an_environment(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append([str(part) for part in command]))
    python = str(tmp_path / "bin" / "python")
    run.prepare("2.13.0", tmp_path, run.arguments(["--index-url", "https://torch.example"]))
    assert ran[0][1:] == ["-m", "venv", str(tmp_path)]
    assert ran[1] == [python, "-m", "pip", "install", "-q", "--index-url", "https://torch.example", "torch==2.13.0"]
    asked = ran[2]
    assert asked[:5] == [python, "-m", "pip", "install", "-q"]
    assert not any(part.startswith("torch") for part in asked)
    assert {"pytest>=8", "fvcore>=0.1.5.post20221221"} <= set(asked)
    assert ran[3][5:] == ["--no-deps", "-e", str(run.ROOT)]
    ran.clear()
    run.prepare("2.13.0", tmp_path, run.arguments(["--prepare", "make it --quickly"]))
    assert ran[0] == ["make", "it", "--quickly", "2.13.0", str(tmp_path), sys.executable]
    assert len(ran) == 3
    ran.clear()
    run.prepare("2.13.0-python3.14", tmp_path, run.arguments(["--index-url", "https://torch.example"]))
    assert ran[0] == ["python3.14", "-m", "venv", str(tmp_path)]
    assert ran[1][-1] == "torch==2.13.0"


def test_constraints_leave_torch_free(tmp_path):
    names = [line.partition("==")[0] for line in run.constraints(tmp_path).read_text().splitlines()]
    assert "pytest" in names
    assert {"torch", "torchvision", "torchmetrics"}.isdisjoint(names)


def test_the_suite_is_all_folders_and_files_with_tests():
    found = run.parts(None)
    assert {"tests/frontends", "tests/ops", "tests/test_*.py", "tests/versions"} <= set(found)
    given = [run.ROOT / path for part in found for path in run.files(part)]
    assert all(any(path.is_relative_to(each) for each in given) for path in run.ROOT.glob("tests/**/test_*.py"))
    assert run.ROOT / "tests" / "test_graph.py" in given
    assert all(path.exists() for path in given)
    assert run.parts(["tests/ops"]) == ("tests/ops",)


XML = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_one"/><testcase classname="tests.a" name="test_two[x-y]"><failure/></testcase>
<testcase classname="tests.b" name="test_three"><skipped/></testcase>
<testcase classname="" name="tests.c"><error/></testcase>
</testsuite></testsuites>"""


def test_what_pytest_writes(tmp_path):
    path = tmp_path / "tests.xml"
    path.write_text(XML)
    assert run.counts(path) == {"passed": 1, "skipped": 1, "failed": ["tests.a::test_two[x-y]", "::tests.c"]}


def test_tests_are_run_in_the_environment(tmp_path, monkeypatch):
    import sys

    (tmp_path / "test_two.py").write_text("def test_a():\n    pass\n\n\ndef test_b():\n    assert False\n")
    found = run.tested(Path(sys.executable), str(tmp_path / "test_two.py"), "0")
    assert (found["passed"], found["skipped"], len(found["failed"])) == (1, 0, 1)
    assert "assert False" in found["said"]
    assert json.dumps(found)
