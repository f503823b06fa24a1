"""Commands that a signal ends while a model hangs: by the signal, without a traceback, and nothing is left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.samples import WHOLE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
GIT = shutil.which("git")
CODE = "from cnncost.cli import main; main()"
HANGS = """
import os, time
from pathlib import Path
from torch import nn

class Hangs(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)
        Path(os.environ["HANGS_READY"]).touch()
        time.sleep(10**6)

class Second(Hangs):
    pass
"""
BUDGETS = '[[budget]]\nmodel = "net.py:Hangs"\ninput = "1x4"\nmacs = "<= 1G"\n'
SWEEP = "sweep net.py:Hangs net.py:Second --input 1x4 --jobs 2 -o table.csv"
COMMANDS = {
    "a model in this process": "summarize net.py:Hangs --input 1x4 -o table.md",
    "a sweep in processes": SWEEP,
    "a sweep with a limit of time": "sweep net.py:Hangs --input 1x4 --jobs 1 --timeout 1h",
    "budgets in processes": "check --jobs 2",
    "a model at a revision": "diff --rev HEAD~1..HEAD net.py:Hangs --input 1x4",
}
SIGNALS = {
    "Ctrl-C in a terminal, which its whole group gets": ("SIGINT", True),
    "a terminal that is closed": ("SIGHUP", True),
    "kill, to the command alone": ("SIGTERM", False),
    "kill -9": ("SIGKILL", False),
}
PAIRS = [
    (command, list(SIGNALS)[(i + j) % len(SIGNALS)]) for j in range(len(SIGNALS)) for i, command in enumerate(COMMANDS)
]
"""Each command with each signal. The first ones are each command once, and each signal at least once."""


def files(folder):
    """All files but Python's and git's, and a journal, by which the same sweep goes on."""
    passed = ("__pycache__", ".git")
    found = (path for path in folder.rglob("*") if path.is_file() and not set(path.parts) & set(passed))
    return {path for path in found if path.suffix != ".journal"}


@pytest.fixture
def project(tmp_path):
    """A repository with two revisions."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "net.py").write_text(HANGS)
    (folder / "cnncost.toml").write_text(BUDGETS + BUDGETS.replace("Hangs", "Second"))
    who = ["-c", "user.name=N", "-c", "user.email=n@example.org"]
    subprocess.run([GIT, "init", "-q", folder], check=True)
    subprocess.run([GIT, "-C", folder, "add", "."], check=True)
    for message in "12":
        subprocess.run([GIT, "-C", folder, *who, "commit", "-q", "--allow-empty", "-m", message], check=True)
    return folder


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def is_over(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.long
@pytest.mark.parametrize(("command", "how"), PAIRS if WHOLE else PAIRS[: len(COMMANDS)])
def test_nothing_is_left_behind(project, tmp_path, command, how):
    name, to_group = SIGNALS[how]
    number, ready, temporary = getattr(signal, name), tmp_path / "ready", tmp_path / "tmp"
    temporary.mkdir()
    words = COMMANDS[command].split()
    own = {"HANGS_READY": str(ready), "TMPDIR": str(temporary), "CNNCOST_NO_CACHE": "1"}
    before = files(project)
    with subprocess.Popen(
        [sys.executable, "-c", CODE, *words], cwd=project, env={**os.environ, **own}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # a shell's job may ignore it
    ) as process:  # fmt: skip
        try:
            assert until(ready.exists, 120)
            children = psutil.Process(process.pid).children(recursive=True)
            (os.killpg if to_group else os.kill)(process.pid, number)
            printed, said = process.communicate(timeout=60)  # the pipes end when the last process has gone
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == (130 if name == "SIGINT" else -number)
    assert (printed, "Traceback" in said) == ("", False)
    assert until(lambda: all(map(is_over, children)), 30)
    assert files(project) == before
    assert until(lambda: not list(temporary.glob("cnncost-*")), 10)
