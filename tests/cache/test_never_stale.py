"""Whatever an answer depends on is changed, one thing at a time: the cache never gives the old answer.

The expected answer is always that of the same command line without the cache.
"""

import os
import py_compile
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.samples import examples, sample

NET = """
import torch
from torch import nn
{imports}
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        {build}
        self.conv = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return self.conv(x)
"""


def project(folder, imports="", build="", **files):
    (folder / "net.py").write_text(NET.format(imports=imports, build=build))
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def macs(server, folder, *argv, cache=True, **env):
    found = server.run(folder, "summarize", "net.py:Net", "--input", "1x3x8x8", *argv, cache=cache, **env)
    assert found.code == 0, found.err
    return found.out, any("from the cache" in line for line in found.told), found.told


def edit(name, old, new):
    """A change a moment later: Python takes its compiled code for a file's of the same size and second."""

    def change(folder):
        path = folder / name
        text, then = path.read_text(), path.stat().st_mtime
        assert old in text
        path.write_text(text.replace(old, new))
        os.utime(path, (then + 1, then + 1))

    return change


def write(name, text):
    def change(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


CONSTANT = {"helper_dot_py": "WIDTH = 4\n"}
PACKAGE = {
    "pkg____init___dot_py": "", "pkg__base_dot_py": "from pkg.root import WIDTH\n", "pkg__root_dot_py": "WIDTH = 4\n",
}  # fmt: skip
CHANGES = [
    pytest.param({}, edit("net.py", "3)", "5)"), {}, id="one character of the model's file"),
    pytest.param(
        {"imports": "from helper import WIDTH", "build": "width = WIDTH", **CONSTANT},
        edit("helper.py", "4", "6"), {}, id="one character of an imported helper, its size unchanged",
    ),
    pytest.param(
        {"imports": "import pkg.base", "build": "width = pkg.base.WIDTH", **PACKAGE},
        edit("pkg/root.py", "4", "6"), {}, id="a module that a helper of a package imports",
    ),
    pytest.param(
        {"imports": "import json", "build": "width = json.load(open('conf.json'))['w']", "conf_dot_json": '{"w": 4}'},
        edit("conf.json", "4", "6"), {}, id="a JSON file that the constructor opens",
    ),
    pytest.param(
        {"imports": "from pathlib import Path", "build": "width = int(Path('w.txt').read_text())", "w_dot_txt": "4"},
        edit("w.txt", "4", "6"), {}, id="a text file, by pathlib",
    ),
    pytest.param(
        {"imports": "import yaml", "build": "width = yaml.safe_load(open('c.yaml'))['w']", "c_dot_yaml": "w: 4"},
        edit("c.yaml", "4", "6"), {}, id="a YAML file",
    ),
    pytest.param(
        {"imports": "import os", "build": "width = int(os.environ['WIDTH'])"},
        None, {"WIDTH": "6"}, id="an environment variable",
    ),
    pytest.param(
        {"imports": "import os", "build": "width = 6 if os.getenv('WIDER') else 4"},
        None, {"WIDER": "1"}, id="an environment variable that was not set",
    ),
    pytest.param(
        {"imports": "import os", "build": "width = 6 if os.path.exists('wide') else 4"},
        write("wide", ""), {}, id="a file that was not there",
    ),
    pytest.param(
        {"imports": "from pathlib import Path", "build": "width = 6 if Path('wide').is_dir() else 4"},
        write("wide/x", ""), {}, id="a folder that was not there, by pathlib",
    ),
    pytest.param(
        {"imports": "import os", "build": "width = len(os.listdir('blocks'))", "blocks__a": "", "blocks__b": ""},
        write("blocks/c", ""), {}, id="the names in a folder",
    ),
    pytest.param(
        {"imports": "from pathlib import Path", "build": "width = len(list(Path('.').glob('*.cfg')))", "a_dot_cfg": ""},
        write("b.cfg", ""), {}, id="the files that fit a pattern",
    ),
    pytest.param(
        {"imports": "import os", "build": "width = os.path.getsize('size')", "size": "four"},
        write("size", "sixsix"), {}, id="the size of a file",
    ),
    pytest.param(
        {"imports": "import sixer", "build": "width = sixer.WIDTH", "sub__sixer_dot_py": "WIDTH = 6\n",
         "sixer_dot_py": "WIDTH = 4\n"},
        write("sixer/__init__.py", "WIDTH = 6\n"), {}, id="a package that shadows a module",
    ),
    pytest.param(
        {"imports": "import tabulate", "build": "width = getattr(tabulate, 'WIDTH', 4)"},
        write("tabulate.py", "WIDTH = 6\n"), {}, id="a module that shadows an installed one",
    ),
    pytest.param(
        {"imports": "try:\n    import maybe\nexcept ImportError:\n    maybe = None",
         "build": "width = 6 if maybe else 4"},
        write("maybe.py", ""), {}, id="a module that was not there",
    ),
    pytest.param(
        {"imports": "exec(open('conf.py').read())", "build": "width = WIDTH", "conf_dot_py": "WIDTH = 4\n"},
        edit("conf.py", "4", "6"), {}, id="Python code that is read as a configuration",
    ),
    pytest.param(
        {"imports": "import importlib", "build": "width = importlib.import_module('late').WIDTH",
         "late_dot_py": "WIDTH = 4\n"},
        edit("late.py", "4", "6"), {}, id="a module that the constructor imports",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("made", "change", "env"), sample(CHANGES, 9))
def test_a_change_is_seen(server, tmp_path, made, change, env):
    project(tmp_path, **made)
    before = {"WIDTH": "4"} if made.get("build", "").endswith("['WIDTH'])") else {}
    first, cached, told = macs(server, tmp_path, **before)
    assert not cached
    again, cached, told = macs(server, tmp_path, **before)
    assert cached, told
    assert again == first
    if change is not None:
        change(tmp_path)
    found, cached, told = macs(server, tmp_path, **{**before, **env})
    expected, _, _ = macs(server, tmp_path, cache=False, **{**before, **env})
    assert not cached, told
    assert found == expected
    assert found != first


@pytest.mark.parametrize(
    ("imports", "build"),
    [
        pytest.param("import random", "width = random.randint(4, 400)", id="random"),
        pytest.param("import numpy as np", "width = int(np.random.randint(4, 400))", id="numpy's random numbers"),
        pytest.param("", "width = int(torch.randint(4, 400, ()).item())", id="torch's random numbers"),
        pytest.param("import os", "width = 4 + os.urandom(1)[0]", id="the system's random numbers"),
        pytest.param("import time", "width = 4 + int(time.time_ns() // 1000) % 400", id="a clock"),
        pytest.param("from datetime import datetime", "width = 4 + datetime.now().microsecond % 400", id="a date"),
        pytest.param("import uuid", "width = 4 + uuid.uuid4().int % 400", id="a uuid"),
        pytest.param("import os", "width = 4 + os.getpid() % 400", id="the process"),
        pytest.param("import subprocess", "subprocess.run(['true'])", id="another program"),
        pytest.param("import os", "os.system('true')", id="another program, by os"),
        pytest.param("import os", "width = len(os.environ)", id="all environment variables"),
        pytest.param("", "open('out.txt', 'w').write('x')", id="a file is written"),
        pytest.param("", "open(0, closefd=False)", id="standard input"),
        pytest.param(
            "import posix", "width = int(posix.environ.get(b'WIDTH', b'4'))", id="the variables of the C library"
        ),
        pytest.param("import os", "os.makedirs('made', exist_ok=True)", id="a folder is made"),
        pytest.param(
            "import cnncost\n@cnncost.rule('demo::none')\ndef f(*given): return None",
            "",
            id="a rule of the model's own",
        ),
    ],
)
def test_what_cannot_be_checked_is_not_kept(server, tmp_path, imports, build):
    project(tmp_path, imports, build)
    for _ in range(2):
        _, cached, told = macs(server, tmp_path)
        assert not cached
    assert "not stored in the cache: " in told[-1]


def test_compiled_modules_of_ones_own_are_not_kept(server, tmp_path):
    """Nobody sees in bytecode that the module asks for the time."""
    project(tmp_path, "import clock", "width = 4 + clock.NOW")
    (tmp_path / "clock.txt").write_text("import time\nNOW = time.time_ns() // 1000 % 400\n")
    py_compile.compile(str(tmp_path / "clock.txt"), str(tmp_path / "clock.pyc"), doraise=True)
    _, cached, told = macs(server, tmp_path)
    assert not cached
    assert "clock.pyc is compiled code" in told[-1]


CHANGES_WHILE_WATCHED = """
import sys
from pathlib import Path
from cnncost.cache.watch import Watch

folder = Path(sys.argv[1])
watch = Watch()
watch.start()
watch._begun += 3600 * 10**9
for name in ("a", "b"):
    (folder / name).read_text()
watch.pause()
(folder / "b").write_text("6")
watch.dependencies()
watch.stop()
print(watch.obstacle)
"""


def test_a_change_during_the_analysis_is_noticed_whatever_the_file_systems_clock_says(tmp_path):
    """Files on a server have its times: here an hour before this machine's."""
    (tmp_path / "a").write_text("4"), (tmp_path / "b").write_text("4")
    # in a process of its own: in this one torch, and all tests, were imported before
    command = [sys.executable, "-c", CHANGES_WHILE_WATCHED, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{tmp_path / 'b'} changed during the analysis"


def test_other_arguments_are_other_requests(server, tmp_path):
    project(tmp_path)
    asked = [
        [], ["--batch", "2"], ["--model-args", "width=6"], ["--dtype", "bf16"], ["--training"],
        ["--autocast", "bf16"], ["--trace", "static"],
    ]  # fmt: skip
    answers = [macs(server, tmp_path, *each)[0] for each in asked]
    for each, before in zip(asked, answers, strict=True):
        again, cached, told = macs(server, tmp_path, *each)
        assert cached, told
        assert again == before == macs(server, tmp_path, *each, cache=False)[0]


def test_real_runs_are_not_cached(server, tmp_path):
    project(tmp_path)
    for _ in range(2):
        assert not macs(server, tmp_path, "--trace", "real")[1]


def test_an_old_recording_trusts_times_and_a_touched_file_its_content(server, tmp_path):
    project(tmp_path)
    macs(server, tmp_path)
    os.utime(tmp_path / "net.py", ns=(time.time_ns(), time.time_ns()))
    assert macs(server, tmp_path)[1]


def test_files_beside_the_model_that_nobody_reads_change_nothing(server, tmp_path):
    project(tmp_path)
    macs(server, tmp_path)
    (tmp_path / "net.html").write_text("a report")
    assert macs(server, tmp_path)[1]


FILES = {
    "net.py": "from pkg.base import Base\nfrom helper import KERNEL\nclass Net(Base):\n    kernel = KERNEL\n",
    "helper.py": "KERNEL = {0}\n",
    "pkg/__init__.py": "SCALE = {0}\n",
    "pkg/base.py": (
        "import json, os\nfrom torch import nn\nfrom pkg import SCALE\nclass Base(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        wide = json.load(open('conf.json'))['wide'] * SCALE + int(os.environ.get('MORE', 0))\n"
        "        self.conv = nn.Conv2d(3, wide + len(os.listdir('parts')), self.kernel)\n"
        "    def forward(self, x):\n        return self.conv(x)\n"
    ),
    "conf.json": '{{"wide": {0}}}',
    "parts/a": "{0}",
}


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.sampled_from([*FILES, "parts/b", "parts/c", "MORE", "nothing"]), st.integers(1, 3)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_random_edits_of_a_project(server, tmp_path_factory, edits):
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.format(1))
    more = None
    for name, number in [("nothing", 0), *edits]:
        if name == "MORE":
            more = str(number)
        elif name != "nothing":
            (folder / name).write_text(FILES.get(name, "{0}").format(number))
        found, _, told = macs(server, folder, MORE=more)
        assert found == macs(server, folder, cache=False, MORE=more)[0], told
        again, cached, told = macs(server, folder, MORE=more)
        assert cached, told
        assert again == found
