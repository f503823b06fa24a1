"""Versions of torch: too old, too new, of one's own build; and that figures say which one made them."""

import json
import subprocess
import sys
import warnings

import pytest
import torch

import cnncost
from cnncost import versions
from cnncost.cli import main
from cnncost.errors import CnncostError, UntestedTorchWarning
from cnncost.frontends.torch import version
from cnncost.report.model import Report


@pytest.mark.parametrize("found", ["1.13.1", "2.0.0+cu118", "2.8.0", "2.8.1a0+git55"])
def test_too_old(found):
    with pytest.raises(CnncostError, match=rf"^torch {found.replace('+', '.')} is too old: cnncost needs torch 2\.9"):
        version.check(found)


@pytest.mark.parametrize("found", ["2.9.0", "2.9.1+cpu", "2.13.0", "2.13.2+cu130", "a build of my own"])
def test_known(found):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        version.check(found)


@pytest.mark.parametrize("found", ["2.99.0", "2.100.0a0+git1234", "3.0.1"])
def test_newer_than_what_is_proved(found):
    newest = versions.text(versions.NEWEST)
    with pytest.warns(UntestedTorchWarning, match=f"is newer than {newest}, the newest that cnncost is tested with"):
        version.check(found)


STAND_IN = """
import sys, torch
torch.__version__ = {found!r}
from cnncost.cli import main
main(["summarize", "lenet5", "--format", "json"])
"""


def with_torch(found):
    return subprocess.run(
        [sys.executable, "-c", STAND_IN.format(found=found)], capture_output=True, text=True, check=False
    )


@pytest.mark.long
def test_the_command_line_says_so_in_one_line():
    old, new = with_torch("2.8.0"), with_torch("9.0.0")
    assert (old.returncode, old.stdout, old.stderr.count("\n")) == (2, "", 1)
    assert old.stderr.startswith("cnncost: torch 2.8.0 is too old")
    assert (new.returncode, new.stderr.count("\n")) == (0, 1)
    assert new.stderr.startswith("cnncost: torch 9.0.0 is newer than")
    assert json.loads(new.stdout)["totals"]["macs"] == 325_680


def test_versions_are_told(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"cnncost, version {cnncost.__version__}, torch {torch.__version__}\n"


def test_the_version_is_told_without_importing_torch():
    ask = "import sys; from cnncost import versions; print(versions.torch_version(), 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
    assert told == f"{torch.__version__} False\n"


def test_a_saved_report_says_what_it_was_made_with():
    report = cnncost.analyze("lenet5")
    made = {"cnncost": cnncost.__version__, "torch": torch.__version__}
    assert json.loads(report.to_json())["made_with"] == report.made_with == made
    older = {"cnncost": "0.0.1", "torch": "2.9.0"}
    data = json.loads(report.to_json()) | {"made_with": older}
    assert Report.from_json(json.dumps(data)).made_with == older
    del data["made_with"]  # of a version that did not say
    assert Report.from_json(json.dumps(data)).made_with == {}
