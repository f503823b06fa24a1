"""A library and the user's code look at one path, in any order: what either of them used is a dependency."""

import os
import shutil
from pathlib import Path

import pytest

from tests.samples import sample

NET = """
import lookups, own
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        {build}
        self.conv = nn.Conv2d(3, 4 + width % 97, 3)
    def forward(self, x):
        return self.conv(x)
"""
SECOND = 10**9
THEN = 1_700_000_000 * SECOND
LIBRARY, USER = "lookups", "own"


def project(folder, build):
    (folder / "parts/sub").mkdir(parents=True)
    (folder / "parts/a").write_text("four")
    (folder / "net.py").write_text(NET.format(build=build))
    shutil.copy(Path(__file__).with_name("lookups.py"), folder / "own.py")
    (folder / "link").symlink_to("parts/a")
    (folder / "dangling").symlink_to("nothing")
    for path in ("link", "dangling", "parts/a", "parts/sub", "parts"):
        os.utime(folder / path, ns=(THEN, THEN), follow_symlinks=False)


def time_of(path):
    def change(folder):
        os.utime(folder / path, ns=(THEN + SECOND, THEN + SECOND), follow_symlinks=False)

    return change


def new_file(path):
    """Change the names in a folder, whose time stays."""

    def change(folder):
        (folder / path).write_text("")
        os.utime((folder / path).parent, ns=(THEN, THEN))

    return change


def executable(folder):
    (folder / "parts/a").chmod(0o755)


def longer(folder):
    (folder / "parts/a").write_text("sixsix")
    os.utime(folder / "parts/a", ns=(THEN, THEN))


CHANGES = [
    pytest.param("stat", "parts", time_of("parts"), id="a folder's time"),
    pytest.param("getmtime", "parts", time_of("parts"), id="a folder's time, by os.path"),
    pytest.param("pathlib_stat", "parts", time_of("parts"), id="a folder's time, by pathlib"),
    pytest.param("entry_times", "parts", time_of("parts/a"), id="the time of a folder's file"),
    pytest.param("entry_times", "parts", time_of("parts/sub"), id="the time of a folder's folder"),
    pytest.param("entry_times_in_thread", "parts", time_of("parts/a"), id="the time of a file, listed by a thread"),
    pytest.param("stat_and_read", "parts/a", time_of("parts/a"), id="the time of a file that is read"),
    pytest.param("lstat", "link", time_of("link"), id="the time of a link itself"),
    pytest.param("lstat", "dangling", time_of("dangling"), id="the time of a link to nothing"),
    pytest.param("open_file_stat", "parts/a", time_of("parts/a"), id="the time of an open file"),
    pytest.param("relative_stat", "parts", time_of("parts/a"), id="the time of a file in an open folder"),
    pytest.param("read", "parts/a", longer, id="a file's content"),
    pytest.param("listdir", "parts", new_file("parts/b"), id="a folder's names"),
    pytest.param("listdir_in_thread", "parts", new_file("parts/b"), id="a folder's names, listed by a thread"),
    pytest.param("scandir", "parts", new_file("parts/b"), id="a folder's entries"),
    pytest.param("matches", "parts", new_file("parts/b"), id="names that fit a pattern"),
    pytest.param("exists", "parts/b", new_file("parts/b"), id="a file that was not there"),
    pytest.param("isdir", "parts/sub", lambda folder: (folder / "parts/sub").rmdir(), id="a folder that goes"),
    pytest.param("access", "parts/a", executable, id="a permission"),
    pytest.param("in_folder", "b", new_file("parts/b"), id="a file in another working folder"),
]


def answer(server, folder, cache=True):
    found = server.run(folder, "summarize", "net.py:Net", "--input", "1x3x8x8", cache=cache)
    assert found.code == 0, found.err
    return found.out, found.told


@pytest.mark.parametrize(("function", "path", "change"), sample(CHANGES, 7))
@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param("", LIBRARY, id="a library"),
        pytest.param("", USER, id="the user's code"),
        pytest.param(LIBRARY, USER, id="the user's code after a library"),
        pytest.param(USER, LIBRARY, id="a library after the user's code"),
    ],
)
def test_a_change_is_seen_whoever_looks_first(server, tmp_path, first, then, function, path, change):
    looks = [f"{first}.look({path!r})"] if first else []
    project(tmp_path, "; ".join([*looks, f"width = {then}.{function}({path!r})", *looks]))
    before, told = answer(server, tmp_path)
    never_kept = function in ("open_file_stat", "relative_stat") or (function == "in_folder" and then == USER)
    assert any("not stored" in line for line in told) == never_kept, told
    change(tmp_path)
    after, told = answer(server, tmp_path)
    expected, _ = answer(server, tmp_path, cache=False)
    assert after == expected, told
    assert after != before
