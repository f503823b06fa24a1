"""What an answer depends on in ways that are easily missed: after each change the answer is that without the cache.

Whether the cache knows of the change or never keeps such a model is its own affair here.
"""

import os
import py_compile
import zipfile
from pathlib import Path

import pytest

from tests.samples import sample

NET = """
import os, sys
from pathlib import Path
import torch
from torch import nn
{imports}
class Net(nn.Module):
    def __init__(self, width=4, **given):
        super().__init__()
        {build}
        self.conv = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return self.conv(x)
"""


def wide(name, number):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(f"WIDTH = {number}\n")


def zipped(number):
    with zipfile.ZipFile("lib.zip", "w") as file:
        file.writestr("inzip.py", f"WIDTH = {number}\n")


def compiled(number):
    wide("source.txt", number)
    py_compile.compile("source.txt", "helper.pyc", doraise=True)


def with_bytecode(name, number, ns=None):
    """A module whose bytecode is there already, as after another program's run, so that its source is never opened."""
    wide(name, number)
    os.utime(name, ns=(ns, ns))
    py_compile.compile(name, doraise=True)


def releases(number):
    """Two releases, of which a link names one: their code is equal, what lies beside it is not."""
    for each in (4, 6):
        wide(f"releases/{each}/net.py", each)
        Path(f"releases/{each}/net.py").write_text(Path("net.py").read_text())
        Path(f"releases/{each}/width").write_text(str(each))
    Path("current").unlink(missing_ok=True)
    Path("current").symlink_to(f"releases/{number}")


def link_to(number):
    Path("named").unlink(missing_ok=True)
    Path("named").symlink_to(f"w{number}")


def as_link():
    Path("conf").rename("elsewhere")
    Path("conf").symlink_to("elsewhere")


def dotenv(number):
    Path(".env").write_text(f"WIDTH={number}\n")


def text(name, content):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(content)


def times(name, ns):
    text(name, "x")
    os.utime(name, ns=(ns, ns))


def shared(number):
    SHARED.write_text(str(number))


SHARED = Path(f"/dev/shm/cnncost-test-{os.getpid()}")  # noqa: S108  # the folder itself is what is tested


def same_times(name, content):
    before = Path(name).stat()
    text(name, content)
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))


ENTRIES = "src/demo-1.dist-info/entry_points.txt"
SECOND = 1_700_000_000_000_000_000
CONF = "import importlib.util as u\ns = u.spec_from_file_location('c', 'conf.py')\nc = u.module_from_spec(s)\n"
DOTENV = "for line in open('.env'):\n    os.environ.setdefault(*line.strip().split('='))"
CHANGES = [
    pytest.param(
        "sys.path.insert(0, 'lib.zip')\nimport inzip", "width = inzip.WIDTH", lambda: zipped(4), lambda: zipped(6), {},
        id="a module in a zip file",
    ),
    pytest.param(
        "import helper", "width = helper.WIDTH", lambda: compiled(4), lambda: compiled(6), {},
        id="bytecode without its source",
    ),
    pytest.param(
        f"{CONF}s.loader.exec_module(c)", "width = c.WIDTH", lambda: with_bytecode("conf.py", 4, SECOND),
        lambda: with_bytecode("conf.py", 6, 2 * SECOND), {}, id="a module that no table of modules has",
    ),
    pytest.param(
        "import gone\nWIDTH = gone.WIDTH\ndel sys.modules['gone']", "width = WIDTH",
        lambda: with_bytecode("gone.py", 4, SECOND), lambda: with_bytecode("gone.py", 6, 2 * SECOND), {},
        id="a module that is unloaded again",
    ),
    pytest.param(
        "import space.one.two", "width = getattr(space, 'WIDTH', 4)", lambda: text("space/one/two.py", ""),
        lambda: wide("space/__init__.py", 6), {}, id="a namespace that becomes a package",
    ),
    pytest.param(
        "sys.path.insert(0, 'extra')\ntry:\n    import maybe\nexcept ImportError:\n    maybe = None\nsys.path.pop(0)",
        "width = 6 if maybe else 4", lambda: text("extra/x", ""), lambda: text("extra/maybe.py", ""), {},
        id="a module in a folder that imports look into for a moment",
    ),
    pytest.param(
        "", "width = int((Path(__file__).resolve().parent / 'width').read_text())", lambda: releases(4),
        lambda: releases(6), {}, id="a link to another release with equal code",
    ),
    pytest.param(
        "", "width = int(os.readlink('named')[1:])", lambda: link_to(4), lambda: link_to(6), {}, id="a link's target",
    ),
    pytest.param(
        "", "width = 6 if os.path.lexists('named') else 4", lambda: None, lambda: link_to(6), {},
        id="a link to nothing",
    ),
    pytest.param(
        "", "width = 6 if os.path.islink('conf') else 4", lambda: text("conf", "x"), as_link, {},
        id="a file that becomes a link to itself",
    ),
    pytest.param(
        "", "width = 4 + os.path.getmtime('conf') % 2 + len(open('conf').read()) - 1; width = int(width)",
        lambda: times("conf", SECOND), lambda: times("conf", SECOND + 10**9), {}, id="the time of a file that is read",
    ),
    pytest.param(
        "", "width = 4 + int(os.path.getmtime('conf') % 2)",
        lambda: (text("conf/x", ""), os.utime("conf", ns=(SECOND, SECOND))),
        lambda: os.utime("conf", ns=(SECOND + 10**9, SECOND + 10**9)), {}, id="the time of a folder",
    ),
    pytest.param(
        "", "width = 6 if os.access('tool', os.X_OK) else 4", lambda: text("tool", ""),
        lambda: Path("tool").chmod(0o755), {}, id="a permission",
    ),
    pytest.param(
        "", "width = sum(each.stat().st_size for each in os.scandir('parts'))", lambda: text("parts/a", "four"),
        lambda: text("parts/a", "sixsix"), {}, id="sizes of files in a folder",
    ),
    pytest.param(
        "", "width = 4 + len(list(os.walk('parts')))", lambda: text("parts/a/x", ""),
        lambda: (Path("parts/a/x").unlink(), Path("parts/a").rmdir(), text("parts/a", "")), {},
        id="a folder that becomes a file",
    ),
    pytest.param(
        "import importlib.resources as r\nimport pkg", "width = len(list(r.contents(pkg)))",
        lambda: (text("pkg/__init__.py", ""), text("pkg/a.cfg", "")), lambda: text("pkg/b.cfg", ""), {},
        id="a package's resources",
    ),
    pytest.param(
        "", "width = len(os.listdir(os.open('parts', os.O_RDONLY)))", lambda: text("parts/a", ""),
        lambda: text("parts/b", ""), {}, id="a folder that was opened",
    ),
    pytest.param(
        "", f"width = int(Path({str(SHARED)!r}).read_text())", lambda: shared(4), lambda: shared(6), {},
        id="a file in shared memory",
    ),
    pytest.param(
        "os.chdir('sub')", "width = 6 if os.path.exists('wide') else 4", lambda: text("sub/a", ""),
        lambda: text("sub/wide", ""), {}, id="a file in another working folder",
    ),
    pytest.param(
        "os.environ['WIDTH'] = str(int(os.environ.get('WIDTH', 3)) + 1)", "width = int(os.environ['WIDTH'])",
        lambda: None, lambda: None, {"WIDTH": "4"}, id="a variable that the model sets",
    ),
    pytest.param(
        DOTENV, "width = int(os.environ['WIDTH'])", lambda: dotenv(4), lambda: dotenv(6), {},
        id="a file of variables",
    ),
    pytest.param(
        "from configparser import ConfigParser", "width = int(ConfigParser(os.environ).defaults().get('wide', 4))",
        lambda: None, lambda: None, {"WIDE": "6"}, id="all variables, by a module of Python's",
    ),
    pytest.param(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--depth', type=int, default=4)",
        "width = p.parse_known_args()[0].depth", lambda: None, ["--depth", "6"], {}, id="the command line itself",
    ),
    pytest.param(
        "", "width = 6 if isinstance(given.get('k'), tuple) else 4", ["--model-args", "k=[1, 2]"],
        ["--model-args", "k=(1, 2)"], {}, id="an argument of another type",
    ),
    pytest.param(
        "", "width = 6 if next(iter(given)) == 'a' else 4", ["--model-args", "b=1,a=1"],
        ["--model-args", "a=1,b=1"], {}, id="the order of arguments",
    ),
    pytest.param(
        "", "width = int(os.getenvb(b'WIDTH', b'4'))", lambda: None, lambda: None, {"WIDTH": "6"},
        id="a variable in bytes",
    ),
    pytest.param(
        "", "width = int(os.path.expandvars(b'$WIDTH').replace(b'$WIDTH', b'4'))", lambda: None, lambda: None,
        {"WIDTH": "6"}, id="a variable in a path of bytes",
    ),
    pytest.param(
        "", "width = int(os.read(os.open('w', os.O_RDONLY, dir_fd=os.open('parts', os.O_RDONLY)), 9))",
        lambda: text("parts/w", "4"), lambda: text("parts/w", "6"), {}, id="a file relative to an opened folder",
    ),
    pytest.param(
        "", "width = 6 if os.access('w', os.F_OK, dir_fd=os.open('parts', os.O_RDONLY)) else 4",
        lambda: text("parts/x", ""), lambda: text("parts/w", ""), {}, id="whether there is a file in an opened folder",
    ),
    pytest.param(
        "", "width = torch.UntypedStorage.from_file('w', False, 1)[0] - 48", lambda: text("w", "4"),
        lambda: text("w", "6"), {}, id="a file that torch opens in C++",
    ),
    pytest.param(
        "import numpy as np", "width = int(np.fromfile('w', np.uint8)[0]) - 48", lambda: text("w", "4"),
        lambda: text("w", "6"), {}, id="a file that numpy opens",
    ),
    pytest.param(
        "import numpy as np", "width = int(np.memmap('w', np.uint8, 'r')[0]) - 48", lambda: text("w", "4"),
        lambda: text("w", "6"), {}, id="a file that numpy maps",
    ),
    pytest.param(
        "from importlib.metadata import entry_points\nsys.path.insert(0, 'src')",
        "width = int(entry_points(group='widths')['w'].value)", lambda: text(ENTRIES, "[widths]\nw = 4\n"),
        lambda: text(ENTRIES, "[widths]\nw = 6\n"), {}, id="an entry point",
    ),
    pytest.param(
        "from importlib.metadata import entry_points\nsys.path.insert(0, 'src')",
        "width = 4 + len(entry_points(group='widths'))", lambda: text("src/x", ""),
        lambda: text(ENTRIES, "[widths]\nw = 6\n"), {}, id="a package that comes to a folder",
    ),
    pytest.param(
        "", "width = len(os.listdir('parts')[0])", lambda: text("parts/four", ""),
        lambda: Path("parts/four").rename("parts/sixsix"), {}, id="a name in a folder",
    ),
    pytest.param(
        "", "width = int(Path('w').read_text())", lambda: text("w", "4"), lambda: same_times("w", "6"), {},
        id="a content of equal size, with the time set back",
    ),
    pytest.param(
        "", "width = int(Path('w').read_text())", lambda: (text("w", "4"), text("w6", "6")),
        lambda: (Path("w").unlink(), Path("w").symlink_to("w6")), {}, id="a file that becomes a link to another",
    ),
]  # fmt: skip


def answer(server, folder, *argv, cache=True, **env):
    model = "current/net.py:Net" if (folder / "current").exists() else "net.py:Net"
    found = server.run(folder, "summarize", model, "--input", "1x3x8x8", *argv, cache=cache, **env)
    assert found.code == 0, found.err
    return found.out, found.told


@pytest.mark.parametrize(("imports", "build", "before", "change", "env"), sample(CHANGES, 12))
def test_a_hidden_change_is_seen(server, tmp_path, monkeypatch, request, imports, build, before, change, env):
    monkeypatch.chdir(tmp_path)
    request.addfinalizer(lambda: SHARED.unlink(missing_ok=True))
    (tmp_path / "net.py").write_text(NET.format(imports=imports, build=build))
    options = [[], []]
    for i, step in enumerate((before, change)):
        if isinstance(step, list):
            options[i] = step
    if not isinstance(before, list):
        before()
    first, told = answer(server, tmp_path, *options[0], WIDTH=None)
    if not isinstance(change, list):
        change()
    found, told = answer(server, tmp_path, *options[1], **{"WIDTH": None, **env})
    expected, _ = answer(server, tmp_path, *options[1], cache=False, **{"WIDTH": None, **env})
    assert found == expected, told
    assert found != first


def test_a_model_that_ran_after_another_is_not_kept(server, tmp_path):
    text(tmp_path / "net.py", NET.format(imports="", build=""))
    text(tmp_path / "double.py", NET.format(imports="torch.set_default_dtype(torch.float64)", build=""))
    assert server.run(tmp_path, "compare", "double.py:Net", "net.py:Net", "--input", "1x3x8x8").code == 0
    assert answer(server, tmp_path)[0] == answer(server, tmp_path, cache=False)[0]
