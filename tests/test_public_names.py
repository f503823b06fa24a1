"""`import cnncost` alone: what can be named after it, and what `dir` and completion show."""

import subprocess
import sys

import pytest

import cnncost


def after_import(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nimport cnncost\n{code}"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip(), done.stderr


def test_all_names_are_listed_before_first_use():
    names = "{*cnncost.__all__, 'meter'}"  # cnncost.meter.lightning is what README names
    out, err = after_import(f"print(sorted({names} - set(dir(cnncost))), 'torch' in sys.modules)")
    assert (out, err) == ("[] False", "")


def test_nothing_else_is_listed():
    out, _ = after_import("print(*[name for name in dir(cnncost) if not name.startswith('__')])")
    assert {*out.split()} == {name for name in (*cnncost.__all__, "meter") if not name.startswith("__")}


@pytest.mark.parametrize(
    "name", ["meter.cost.StepCosts", "zoo.names", "graph.Graph", "errors.InputError", "devices.find"]
)
def test_parts_come_when_they_are_named(name):
    out, err = after_import(f"print(callable(cnncost.{name}) or cnncost.{name} is not None)")
    assert (out, err) == ("True", "")


@pytest.mark.parametrize("name", ["no_such", "analyse", "_HOME_", "__wrapped__"])
def test_what_is_not_there_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'cnncost' has no attribute '{name}'"):
        getattr(cnncost, name)


def test_a_part_that_lacks_a_package_says_which(monkeypatch):
    for loaded in [m for m in sys.modules if m.startswith(("lightning", "cnncost.meter.lightning"))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(vars(cnncost.meter), "lightning", raising=False)  # to ask for it would import it
    with pytest.raises(cnncost.errors.MissingPackageError, match=r"pip install 'cnncost\[lightning\]'"):
        cnncost.meter.lightning  # noqa: B018
