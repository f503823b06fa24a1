"""A torch without numpy: what needs none works, and what needs it says so in a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import json, sys
sys.modules["numpy"] = None  # from here on its import raises ModuleNotFoundError
import cnncost
from cnncost.cli import main
from cnncost.errors import MissingPackageError

told = {}
for line in json.loads(sys.argv[1]):
    try:
        main(line.split())
    except SystemExit as stop:
        told[line] = stop.code
try:
    cnncost.analyze("lenet5").to_pandas()
except MissingPackageError as error:
    told["to_pandas"] = str(error)
print(json.dumps(told))
"""
COMMANDS = {
    "summarize lenet5": 0, "summarize lenet5 --format csv": 0, "summarize lenet5 --format json": 0,
    "memory lenet5": 0, "rf lenet5": 0, "roofline lenet5 --device a100": 0, "compare lenet5 lenet300": 0, "zoo": 0,
    "formula lenet5 --vary batch": 0, "diff lenet5 lenet300": 0, "verify lenet5": 0, "summarize lenet5.onnx": 2,
}  # fmt: skip
"""With the exit code of each."""


@pytest.fixture(scope="module")
def ran() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT, json.dumps(list(COMMANDS))],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
    )  # fmt: skip


@pytest.mark.long
def test_commands_work(ran):
    told = json.loads(ran.stdout.splitlines()[-1])
    said = told.pop("to_pandas")
    assert told == COMMANDS
    assert said == "to_pandas: numpy, which pandas needs, is not installed; pip install numpy"


@pytest.mark.long
def test_an_onnx_file_says_what_is_missing(ran):
    assert ran.stderr == (
        "cnncost: lenet5.onnx: ONNX files need the packages onnx and numpy; install both with: "
        "pip install 'cnncost[onnx]'\n"
    )
