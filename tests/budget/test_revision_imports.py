"""Whose code a revision's process imports: the revision's, however the working tree's is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnncost.budget.installed_copies import notes_on_copies
from cnncost.cli import main
from tests.samples import sample

ROOT = Path(__file__).parents[2]
PROJECT = '[project]\nname = "my.pkg"\nversion = "1"\n'
PROGRAM = """
import json, sys
from pathlib import Path
from cnncost.budget.revision_imports import RevisionImports
from cnncost.budget.revision_paths import RevisionPaths
tree, top, ignored, code = sys.argv[1:]
imports = RevisionImports(RevisionPaths(Path(tree), Path(top)), Path.cwd(), lambda path: path in ignored.split())
imports.install()
try:
    namespace = {}
    exec(code, namespace)
    found = namespace["found"]
except Exception as error:
    found = f"{type(error).__name__}: {error}"
print(json.dumps([found, sorted(imports.built), sorted(imports.read)]))
"""
FINDER = """
import sys
from importlib.util import spec_from_file_location

class Finder:  # as setuptools' editable installs have it
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "my_pkg":
            return spec_from_file_location(name, "TOP/my_pkg/__init__.py", submodule_search_locations=["TOP/my_pkg"])

sys.meta_path.append(Finder)
"""
EDITABLE = {"site/usercustomize.py": "", "site/sitecustomize.py": FINDER}
COPY = {
    "site/site-packages/my_pkg/__init__.py": "width = 'copy'",
    "site/site-packages/my_pkg/net.py": "width = 'copy'",
    "site/site-packages/my_pkg-1.dist-info/METADATA": "Name: my-pkg\n",
    "site/site-packages/my_pkg-1.dist-info/RECORD": "my_pkg/__init__.py,,\nmy_pkg/net.py,,\n",
}
URL = {"site/site-packages/my_pkg-1.dist-info/direct_url.json": '{"url": "file://TOP", "dir_info": {}}'}
BELOW = {"site/site-packages/my_pkg-1.dist-info/direct_url.json": '{"url": "file://TOP/a%20b", "dir_info": {}}'}


def both(path, text="width = 'SIDE'"):
    """A file of the revision and of the working tree."""
    return {f"{side}/{path}": text.replace("SIDE", side) for side in ("tree", "top")}


FLAT = both("my_pkg/__init__.py") | both("my_pkg/net.py")
SRC = both("src/my_pkg/__init__.py") | both("src/my_pkg/net.py")
LACKS = "NotAtRevisionError: No module named 'my_pkg' at this revision, but in the working tree"
READ = "from my_pkg.net import width as found"
CASES = [
    # files, folders on PYTHONPATH, code, its result, modules that a build made
    pytest.param(FLAT | EDITABLE, "site", READ, "tree", [], id="editable, by a finder"),
    pytest.param(FLAT, "top", READ, "tree", [], id="editable, by a path"),
    pytest.param(SRC, "top/src", READ, "tree", [], id="editable, by a path to src"),
    pytest.param(FLAT | COPY | URL, "site/site-packages", READ, "tree", [], id="pip install ."),
    pytest.param(SRC | COPY | URL, "site/site-packages", READ, "tree", [], id="pip install . of src"),
    pytest.param(FLAT | COPY | both("pyproject.toml", PROJECT), "site/site-packages", READ, "tree", [], id="its wheel"),
    pytest.param(
        both("a b/lib/my_pkg/__init__.py") | both("a b/lib/my_pkg/net.py") | COPY | BELOW, "site/site-packages", READ,
        "tree", [], id="pip install of a project below, whose code is in lib",
    ),
    pytest.param(
        FLAT | COPY | both("pyproject.toml", PROJECT.replace("my.pkg", "other")), "site/site-packages", READ, "copy",
        [], id="a distribution that is not of this repository",
    ),
    pytest.param(
        FLAT | {"top/my_pkg/new.py": "width = 'top'"} | EDITABLE, "site", "import my_pkg.new",
        LACKS.replace("my_pkg", "my_pkg.new"), [], id="a module that the revision does not have yet",
    ),
    pytest.param(
        both("README.md") | {"top/my_pkg/__init__.py": ""} | COPY | URL, "site/site-packages", "import my_pkg",
        LACKS, [], id="a package that the revision does not have yet",
    ),
    pytest.param(
        both("README.md") | {"top/my_pkg/__init__.py": ""} | EDITABLE, "site", "import my_pkg",
        LACKS, [],
        id="an editable package that the revision does not have yet",
    ),
    pytest.param(
        FLAT | {"tree/my_pkg/older.py": "width = 'tree'"} | EDITABLE, "site", "from my_pkg.older import width as found",
        "tree", [], id="a module that only the revision has",
    ),
    pytest.param(
        FLAT | {"top/my_pkg/_version.py": "width = 'top'"} | EDITABLE, "site",
        "from my_pkg._version import width as found", "top", ["my_pkg._version"],
        id="what a build wrote into the working tree",
    ),
    pytest.param(
        FLAT | COPY | URL | {"site/site-packages/my_pkg/_made.py": "width = 'copy'"}, "site/site-packages",
        "from my_pkg._made import width as found", "copy", ["my_pkg._made"], id="what a build wrote into the copy",
    ),
    pytest.param(
        both("ns/part/__init__.py"), "top", "from ns.part import width as found", "tree", [], id="a namespace package",
    ),
    pytest.param(
        both("ns/part/__init__.py") | {"site/site-packages/ns/other.py": "width = 'other'"}, "site/site-packages:top",
        "from ns.part import width; from ns.other import width as other; found = width + other", "treeother", [],
        id="a namespace package with parts elsewhere",
    ),
    pytest.param(
        FLAT | both("my_pkg/data.txt", "SIDE") | EDITABLE, "site",
        "from importlib.resources import files; found = (files('my_pkg') / 'data.txt').read_text()", "tree", [],
        id="data of a package",
    ),
    pytest.param(FLAT | both("sitecustomize.py"), "top", "from sitecustomize import width as found", "tree", [],
                 id="sitecustomize"),
    pytest.param(
        FLAT | {"top/.venv/lib/site-packages/dep.py": "width = 'dep'"}, "top/.venv/lib/site-packages",
        "from dep import width as found", "dep", [], id="an environment inside of the repository",
    ),
]  # fmt: skip


def imported(folder, files, search, code):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("TOP", str(folder / "top")))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # a revision's process starts with the revision's folders, as `revisions` maps the variable
    if "sitecustomize.py" in "".join(files) and search == "top":
        search = "tree"
    places = [str(folder / each) for each in search.split(":")]
    variables["PYTHONPATH"] = os.pathsep.join([*places, str(ROOT)])
    arguments = [str(folder / "tree"), str(folder / "top"), "my_pkg/_version.py my_pkg/_made.py", code]
    done = subprocess.run(
        [sys.executable, "-B", "-P", "-c", PROGRAM, *arguments], cwd=folder / "tree", env=variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize(("files", "search", "code", "found", "built"), CASES)
def test_imports_are_the_revisions(tmp_path, files, search, code, found, built):
    assert imported(tmp_path, files, search, code) == [found, built, []]


@pytest.mark.parametrize(
    ("path", "read"),
    [("top/conf.json", ["conf.json"]), ("tree/conf.json", []), ("top/weights.bin", []), ("top/.git/HEAD", [])],
)
def test_files_of_the_working_tree_that_the_revision_has_are_noticed(tmp_path, path, read):
    files = both("conf.json") | {"top/weights.bin": "", "top/.git/HEAD": "", "tree/.git/HEAD": ""}
    code = f"found = open({str(tmp_path / path)!r}).close()"
    assert imported(tmp_path, files, "site", code) == [None, [], read]
    assert imported(tmp_path, files, "site", code.replace(")", ", 'r+b')", 1)) == [None, [], []]


@pytest.mark.parametrize(
    ("path", "read"), [("top/data", ["data"]), ("top", ["."]), ("tree/data", []), ("top/made", []), ("top/.git", [])]
)
@pytest.mark.parametrize("call", ["os.listdir(F)", "[*os.scandir(F)]", "[*Path(F).glob('*')]", "[*os.walk(F)]"])
def test_folders_of_the_working_tree_that_the_revision_has_are_noticed(tmp_path, path, read, call):
    files = both("data/a.json") | {"top/made/a.json": "", "top/.git/HEAD": "", "tree/.git/HEAD": ""}
    code = f"import os; from pathlib import Path; F = {str(tmp_path / path)!r}; {call}; found = None"
    found, built, noticed = imported(tmp_path, files, "site", code)
    walked = ["data"] if (call, path) == ("[*os.walk(F)]", "top") else []
    assert (found, built, noticed) == (None, [], [*read, *walked])


def git(folder, *arguments):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


NET = """
from torch import nn

class Net(nn.Linear):
    def __init__(self):
        super().__init__(8, WIDTH, bias=False)
"""
BUDGET = '[[budget]]\nmodel = "scripts/net.py:Net"\ninput = "1x8"\nmacs = "<= 1M"\n'


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A project whose script imports its package, which is installed as a copy; it is 8→2 at `old` and 8→5 now."""
    top = tmp_path / "top"
    files = {"cnncost.toml": BUDGET, "scripts/net.py": "from my_pkg.net import Net\n", "my_pkg/__init__.py": ""}
    for name, text in (files | {"my_pkg/net.py": NET.replace("WIDTH", "2")}).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    git(top, "init", "-q"), git(top, "add", "-A"), git(top, "commit", "-qm", "x"), git(top, "tag", "old")
    (top / "my_pkg" / "net.py").write_text(NET.replace("WIDTH", "5"))
    git(top, "commit", "-qam", "x")
    for name, text in (COPY | URL).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("width = 'copy'", NET.replace("WIDTH", "5")).replace("TOP", str(top)))
    (tmp_path / "site/site-packages/my_pkg/__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site" / "site-packages"), str(ROOT)]))
    monkeypatch.chdir(top)
    return top


@pytest.mark.long
def test_a_copy_in_the_environment_does_not_hide_what_changed(installed, capsys):
    with pytest.raises(SystemExit) as left:
        main(["diff", "--rev", "old..HEAD", "--format", "json"])
    (net,) = json.loads(capsys.readouterr().out)["models"]
    assert (left.value.code or 0, net["params"]["old"], net["params"]["new"]) == (0, 8 * 2, 8 * 5)


@pytest.mark.long
@pytest.mark.parametrize(
    "command", sample([("diff", "--rev", "HEAD"), ("check", "--baseline-rev", "HEAD"),
                       ("diff", "scripts/net.py:Net", "--rev", "HEAD", "--input", "1x8")], 1),
)  # fmt: skip
def test_a_copy_that_is_not_the_working_trees_is_told_of(installed, capsys, monkeypatch, command):
    monkeypatch.syspath_prepend(str(installed.parent / "site" / "site-packages"))
    for text, told in ((NET.replace("WIDTH", "5"), False), (NET.replace("WIDTH", "9"), True)):
        (installed / "my_pkg" / "net.py").write_text(text)
        with pytest.raises(SystemExit):
            main([*command])
        assert ("my_pkg is installed in " in (err := capsys.readouterr().err)) is told, err
        monkeypatch.delitem(sys.modules, "my_pkg.net", raising=False)
        monkeypatch.delitem(sys.modules, "my_pkg", raising=False)


@pytest.mark.parametrize(
    ("root", "package", "file"),
    [
        pytest.param("src", "my_pkg/__init__.py", "my_pkg/widths.json", id="data"),
        pytest.param(".", "my_pkg/part/__init__.py", "my_pkg/part/net.py", id="a namespace"),
        pytest.param("src", "my_pkg/part/__init__.py", "my_pkg/part/net.py", id="a namespace in src"),
        pytest.param(".", "my_pkg/part/__init__.py", "my_pkg/part/widths.json", id="data in a namespace"),
        pytest.param("src", "my_pkg.py", "my_pkg.py", id="a module"),
    ],
)
def test_any_file_of_a_copy_that_is_not_the_working_trees_is_told_of(tmp_path, monkeypatch, root, package, file):
    top, site = tmp_path / "top", tmp_path / "site" / "site-packages"
    made = [package, file, "my_pkg/fast.so", "my_pkg-1.dist-info/METADATA"]
    copied = {f"site/site-packages/{name}": "a" for name in made}
    record = {"site/site-packages/my_pkg-1.dist-info/RECORD": "".join(f"{each},,\n" for each in dict.fromkeys(made))}
    for name, text in (copied | record | URL | {f"top/{root}/{each}": "a" for each in made}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("TOP", str(top)))
    monkeypatch.syspath_prepend(str(site))
    (top / root / "my_pkg" / "fast.so").write_text("compiled again")
    (top / root / "my_pkg-1.dist-info" / "METADATA").write_text("of another version")
    assert notes_on_copies(top, top) == ()
    (top / root / file).write_text("b")
    (note,) = notes_on_copies(top, top)
    assert note.startswith(f"my_pkg is installed in {site} as a copy that differs from the working tree:")


@pytest.mark.usefixtures("warm_revisions")
def test_a_file_that_is_read_by_its_absolute_path_is_an_error_if_it_differs(installed, capsys):
    (installed / "scripts" / "net.py").write_text(
        "import json\nfrom pathlib import Path\nfrom torch import nn\ndef Net():\n"
        f"    return nn.Linear(8, json.loads(Path('{installed}/width.json').read_text()))\n"
    )
    (installed / "width.json").write_text("4")
    git(installed, "add", "-A"), git(installed, "commit", "-qm", "x")
    with pytest.raises(SystemExit) as left:
        main(["diff", "--rev", "HEAD", "--exit-code"])
    told = capsys.readouterr()
    assert not left.value.code, told  # its content is the revision's
    (installed / "width.json").write_text("6")
    with pytest.raises(SystemExit) as left:
        main(["diff", "--rev", "HEAD"])
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert "HEAD: width.json was read from the working tree, not from the revision; use a path relative to" in err


@pytest.mark.usefixtures("warm_revisions")
@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({}, False, id="the revision's"),
        pytest.param({"blocks/__pycache__/a.pyc": "", "old/__pycache__/b.pyc": "", "a.log": ""}, False, id="ignored"),
        pytest.param({"blocks/c": ""}, True, id="a new file"),
        pytest.param({"blocks/a": None}, True, id="a file that went"),
        pytest.param({"other/c": ""}, False, id="a folder that is not listed"),
    ],
)
def test_a_folder_that_is_listed_by_its_absolute_path_is_an_error_if_it_differs(installed, capsys, change, error):
    (installed / "scripts" / "net.py").write_text(
        "import os\nfrom torch import nn\ndef Net():\n"
        f"    os.listdir('{installed}/scripts')\n    found = os.listdir('{installed}/blocks')\n"
        "    return nn.Sequential(*(nn.Linear(8, 8) for each in found if each != '__pycache__'))\n"
    )
    (installed / "blocks").mkdir(), (installed / "other").mkdir()
    for name, text in {".gitignore": "*.pyc\n*.log\n", "blocks/a": "", "blocks/b": "", "other/a": ""}.items():
        (installed / name).write_text(text)
    git(installed, "add", "-A"), git(installed, "commit", "-qm", "x")
    for name, text in change.items():
        (installed / name).parent.mkdir(parents=True, exist_ok=True)
        (installed / name).unlink() if text is None else (installed / name).write_text(text)
    with pytest.raises(SystemExit) as left:
        main(["diff", "--rev", "HEAD", "--exit-code"])
    told = capsys.readouterr()
    assert (left.value.code or 0) == (2 if error else 0), told
    assert ("HEAD: blocks was read from the working tree, not from the revision; use" in told.err) is error
