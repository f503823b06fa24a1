"""A process that answers command lines from the cache or anew, in which the package `lookups` is installed."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


class Server:
    def __init__(self, folder):
        packages = folder / "site-packages"
        packages.mkdir()
        shutil.copy(Path(__file__).with_name("lookups.py"), packages)
        around = {name: value for name, value in os.environ.items() if name not in {"CI", "CNNCOST_NO_CACHE"}}
        around |= {"CNNCOST_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}"}
        around["OMP_NUM_THREADS"] = "1"
        around.pop("PYTHONDONTWRITEBYTECODE", None)  # as users have it: imports write files, too
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("driver.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=around,
        )  # fmt: skip

    def run(self, folder, *argv, cache=True, **env):
        time.sleep(0.03)  # what was written just before would count as changed while it is read
        request = {"argv": list(argv), "folder": str(folder), "env": env, "cache": cache, "now": time.time_ns()}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return SimpleNamespace(**json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("recordings"))
    yield found
    found.process.stdin.close()
    found.process.wait(30)
    found.process.stdout.close()
