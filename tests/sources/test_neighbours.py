"""Files in packages, beside others with libraries' names, and errors that name the user's own line."""

import subprocess
import sys
from pathlib import Path

import pytest

import cnncost
from cnncost.errors import SourceError
from cnncost.sources import neighbours
from tests.samples import sample

NET = """
import torch
from torch import nn
from {parts} import WIDTH


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, WIDTH)

    def forward(self, x):
        from {parts} import WIDTH
        return self.fc(x)
"""


def package(root, *folders):
    """Folders with `__init__.py`, one in the other; the innermost."""
    place = root
    for name in folders:
        place = place / name
        place.mkdir(parents=True)
        (place / "__init__.py").write_text("")
    return place


@pytest.mark.parametrize(
    ("above", "folders", "parts"),
    [
        pytest.param("", ("pkg_a", "models"), ".parts", id="a neighbour"),
        pytest.param("", ("pkg_b", "models"), "..parts", id="one package up"),
        pytest.param("src", ("pkg_c", "models"), "pkg_c.parts", id="by its whole name, in src"),
        pytest.param("src", ("pkg_d", "models", "deep"), "...parts", id="two packages up, in src"),
        pytest.param("", (), "parts_alone", id="in no package"),
    ],
)
def test_files_in_packages(tmp_path, monkeypatch, above, folders, parts):
    monkeypatch.chdir(tmp_path)
    inner = package(tmp_path / above, *folders)
    dots = len(parts) - len(parts.lstrip("."))
    home = inner
    for _ in range(dots - 1):
        home = home.parent
    home = tmp_path / above / folders[0] if parts.startswith("pkg") else home
    (home / f"{parts.lstrip('.').rpartition('.')[2]}.py").write_text("WIDTH = 5\n")
    (inner / "net.py").write_text(NET.format(parts=parts))
    path = inner.relative_to(tmp_path) / "net.py"

    assert cnncost.analyze(f"{path}:Net", "1x8").totals.params == 8 * 5 + 5


def test_a_package_below_src_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (package(tmp_path / "src", "pkg_e") / "net.py").write_text("from torch import nn\nNet = nn.ReLU\n")
    assert cnncost.analyze("pkg_e.net:Net", "1x8").totals.flops == 8


def test_a_relative_import_in_no_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("from .parts import WIDTH\n")
    with pytest.raises(SourceError, match=r"put an __init__.py into the package"):
        cnncost.analyze("net.py:Net", "1x8")


@pytest.mark.long
@pytest.mark.parametrize("start", sample([("-m", "cnncost"), ("-c", "from cnncost.cli import main; main()")], 1))
def test_files_beside_the_model_take_no_library_s_place(tmp_path, start):
    """Each of them leaves a trace as soon as it runs, even where its error is caught."""
    for name in ("torch", "cuda", "numpy", "copy", "triton"):
        (tmp_path / f"{name}.py").write_text(
            f"import os\nos.write(2, b'{name}.py: taken for a library')\nraise RuntimeError('{name}')\n"
        )
    (tmp_path / "net.py").write_text("from torch import nn\nNet = nn.ReLU\n")
    command = [sys.executable, *(start if start[0] == "-m" else ("-P", *start)), "summarize", "net.py:Net"]
    done = subprocess.run([*command, "--input", "1x8"], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_model_may_import_a_neighbour_of_a_library_s_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cuda.py").write_text("from torch import nn\nBlock = nn.ReLU\n")
    (tmp_path / "net.py").write_text("from cuda import Block as Net\n")
    assert cnncost.analyze("net.py:Net", "1x8").totals.flops == 8


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("nn.Conv2d(3, 4, 3, groups=2)", "in_channels must be divisible by groups", id="in torch's code"),
        pytest.param("nn.Linear(8, 'four')", "TypeError", id="in a layer's code"),
        pytest.param("int('four')", "invalid literal", id="in the user's own"),
    ],
)
def test_errors_name_the_innermost_line_of_the_user_s(tmp_path, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "block_of.py").write_text(f"from torch import nn\n\n\ndef make():\n    return {line}\n")
    (tmp_path / "net.py").write_text("from block_of import make\n\n\ndef build():\n    return make()\n")
    with pytest.raises(SourceError) as error:
        cnncost.analyze("net.py:build", "1x8")
    assert f"failed at {tmp_path / 'block_of.py'}:5: " in str(error.value)
    assert words in str(error.value)


HELPER = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, WIDTH)

    def forward(self, x):
        return self.fc(x)
"""


def test_a_file_beside_a_stray_init_imports_its_neighbours(tmp_path):
    (tmp_path / "stray_a").mkdir()
    (tmp_path / "stray_a" / "__init__.py").write_text("")
    (tmp_path / "stray_a" / "helper_of_stray.py").write_text(HELPER.replace("WIDTH", "5"))
    net = tmp_path / "stray_a" / "net.py"
    net.write_text("from helper_of_stray import Net as H\n\n\nclass Net(H):\n    pass\n")
    assert cnncost.analyze(f"{net}:Net", "1x4").totals.macs == 4 * 5


@pytest.mark.parametrize("name", ["signal", "json", "pytest"])
def test_a_package_may_be_named_as_a_loaded_module(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "net.py").write_text(HELPER.replace("WIDTH", "5"))
    before = sys.modules[name]
    assert cnncost.analyze(f"{tmp_path / name / 'net.py'}:Net", "1x4").totals.macs == 4 * 5
    assert sys.modules[name] is before


@pytest.mark.parametrize("packed", [False, True], ids=["in no package", "in a package"])
def test_a_file_that_changed_is_read_again(tmp_path, packed):
    folder = package(tmp_path, "pkg_that_changes") if packed else tmp_path
    for width in (5, 50, 500):
        (folder / "net_that_changes.py").write_text(HELPER.replace("WIDTH", str(width)))
        assert cnncost.analyze(f"{folder / 'net_that_changes.py'}:Net", "1x4").totals.macs == 4 * width


def test_an_alias_is_no_second_class(tmp_path):
    (tmp_path / "aliased.py").write_text(HELPER.replace("WIDTH", "5") + "\n\nModel = Net\n")
    assert cnncost.analyze(str(tmp_path / "aliased.py"), "1x4").totals.macs == 4 * 5


@pytest.mark.parametrize("name", ["json", "pt2", "py"])
def test_a_word_is_no_ending(name):
    with pytest.raises(SourceError, match=f"^{name}: no network of this name"):
        cnncost.analyze(name, "1x4")


@pytest.mark.parametrize("installed", [False, True], ids=["from a checkout", "installed among libraries"])
def test_a_package_of_the_working_folder_comes_before_its_namesake_elsewhere(tmp_path, monkeypatch, installed):
    for place, width in (("here", 5), ("elsewhere", 50)):
        package(tmp_path / place, "pkg_of_two_places")
        (tmp_path / place / "pkg_of_two_places" / "net.py").write_text(HELPER.replace("WIDTH", str(width)))
    if installed:
        monkeypatch.setattr(neighbours, "_LIBRARIES", (*neighbours._LIBRARIES, Path(cnncost.__file__).parent))
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path / "here")
    for name in [name for name in sys.modules if name.startswith("pkg_of_two_places")]:
        monkeypatch.delitem(sys.modules, name)
    assert cnncost.analyze("pkg_of_two_places.net:Net", "1x4").totals.macs == 4 * 5
    for name in [name for name in sys.modules if name.startswith("pkg_of_two_places")]:
        del sys.modules[name]
