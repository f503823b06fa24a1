"""Standard output that can't be written to: one line on stderr and exit code 2; a reader that has gone is no error."""

import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import cnncost
from cnncost.cli.stdout import errors_translated
from cnncost.errors import CnncostError

LINUX = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
TOLD = "cnncost: standard output can't be written to: {}; write to a file with -o FILE\n"
COMMANDS = [
    # (arguments): one for each way in which commands print; of what is soon there: a saved report, one network
    pytest.param("summarize saved.json", id="click's echo"),
    pytest.param("summarize saved.json --format json", id="bytes"),
    pytest.param("compare saved.json saved.json --format csv", id="few bytes, that stay in the buffer"),
    pytest.param("diff saved.json saved.json", id="styled lines"),
    pytest.param("zoo fc10", id="the zoo"),
    pytest.param("--help", id="help"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    place = tmp_path_factory.mktemp("saved")
    cnncost.analyze("lenet5").save(place / "saved.json")
    return place


@pytest.fixture(autouse=True)
def _beside_a_saved_report(saved, monkeypatch):
    monkeypatch.chdir(saved)


@pytest.fixture
def ran(python):
    """A function that gives the exit code of cnncost and stderr, by a shell that has the redirection."""
    around = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as users have it

    def run(arguments, redirection, before=""):
        shell = f"{before}{shlex.join(python)} -m cnncost {arguments} {redirection}"
        command = ["bash", "-c", shell]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=around)  # our own code
        return done.returncode, done.stderr

    return run


@LINUX
@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_full_disk(ran, arguments):
    assert ran(arguments, ">/dev/full") == (2, TOLD.format("No space left on device"))


@pytest.mark.parametrize("arguments", COMMANDS)
def test_closed(ran, arguments):
    assert ran(arguments, ">&-") == (2, TOLD.format("it is closed"))


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_reader_that_has_gone(ran, arguments):
    assert ran(arguments, "| true; exit ${PIPESTATUS[0]}") == (0, "")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_not_standard_outputs_fault(number):
    """As processes of `check --jobs` that can't be started have it: an OSError without a file name, too."""
    with pytest.raises(CnncostError, match="raise the limit, for example with ulimit -n 1024"), errors_translated():
        raise OSError(number, os.strerror(number))


def test_a_file_is_written_without_it(ran, tmp_path):
    assert ran(f"summarize lenet5 -o {tmp_path / 'r.csv'}", ">&-") == (0, "")
    assert "c3" in (tmp_path / "r.csv").read_text()


def test_an_error_is_told_without_it(ran):
    code, err = ran("summarize lenet6", ">&-")
    assert code == 2
    assert err.startswith("cnncost: lenet6: no network")
    assert err.count("\n") == 1


@LINUX
@pytest.mark.parametrize("arguments", ["summarize lenet6", "summarize --nothing", "check", "completion"])
def test_a_wrong_call_has_its_code_where_standard_error_is_full(ran, arguments):
    assert ran(arguments, "2>/dev/full") == (2, "")


@pytest.mark.skipif(sys.platform == "win32", reason="a working folder can't be removed there")
@pytest.mark.parametrize(
    "arguments",
    ["summarize lenet5", "compare lenet5 alexnet -o a.csv", "check", "sweep lenet5", "diff --rev HEAD lenet5"],
)
def test_a_working_folder_that_is_gone(ran, arguments, tmp_path):
    gone = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && "
    told = "cnncost: the working folder has been removed; change to one that exists: cd ~\n"
    assert ran(arguments, "", before=gone) == (2, told)
