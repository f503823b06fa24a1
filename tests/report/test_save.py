import json
import os
import stat
from pathlib import Path

import pytest

from cnncost.errors import OutputError
from cnncost.files import check, write
from cnncost.render.formats import FORMATS


def names(folder):
    return sorted(path.name for path in folder.iterdir())


STARTS = [
    pytest.param("r.md", "# lenet5", id="markdown"),
    pytest.param("r.csv", "path,class", id="CSV"),
    pytest.param("r.json", "{", id="JSON"),
    pytest.param("r.html", "<!doctype html>", id="HTML"),
    pytest.param("R.HTML", "<!doctype html>", id="an ending in capitals"),
]


@pytest.mark.parametrize(("name", "start"), STARTS)
def test_the_ending_says_how(name, start, report, tmp_path):
    report("lenet5").save(tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert names(tmp_path) == [name]


def test_a_path_may_be_text(report, tmp_path):
    report("lenet5").save(str(tmp_path / "r.json"))
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["model"] == "lenet5"


REFUSED = [
    pytest.param("r.pdf", f"ends in {FORMATS.usual_endings}, got .pdf", id="another ending"),
    pytest.param("report", r"got no ending", id="no ending"),
    pytest.param("missing/r.md", r"folder .*missing does not exist; make it first: mkdir -p ", id="a missing folder"),
    pytest.param("folder.md", r"is a folder; name a file in it", id="a folder"),
    pytest.param("folder", r"folder: is a folder; name a file in it", id="a folder without ending"),
    pytest.param("file.txt/r.md", r"file.txt is not a folder", id="a file where a folder should be"),
    pytest.param("x" * 300 + ".md", r"could not be written: File name too long", id="too long a name"),
]


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_refused_with_place_and_remedy(name, message, report, tmp_path):
    for folder in ("folder", "folder.md"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file.txt").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=message) as caught:
        report("lenet5").save(tmp_path / name)
    assert str(tmp_path) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_old_file_stays_whole_if_writing_fails(tmp_path, monkeypatch):
    def full(self, target):  # as a full disk would, at the last moment
        raise OSError(28, "No space left on device")

    target = tmp_path / "r.md"
    target.write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="could not be written: No space left on device"):
        write(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["r.md"]


def test_no_part_is_left_if_it_is_interrupted(tmp_path, monkeypatch):
    def interrupted(self, target):  # Ctrl-C
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "r.md", "new")
    assert names(tmp_path) == []


def test_no_permission(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(OutputError, match=r"r.md: folder .* may not be written to; choose another place"):
        write(tmp_path / "r.md", "new")


def test_a_read_only_file_is_respected(tmp_path, monkeypatch):
    (tmp_path / "r.md").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"r.md: may not be written; change its permissions"):
        write(tmp_path / "r.md", "new")


def test_permissions_are_kept_or_as_usual(tmp_path):
    (tmp_path / "old.md").write_text("old")
    (tmp_path / "old.md").chmod(0o640)
    write(tmp_path / "old.md", "new")
    write(tmp_path / "new.md", "new")
    (tmp_path / "usual").write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old.md", "new.md", "usual")]
    assert modes == [0o640, modes[2], modes[2]]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.md").write_text("old")
    (tmp_path / "link.md").symlink_to(tmp_path / "real.md")
    write(tmp_path / "link.md", "new")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "real.md").read_text() == "new"


def test_a_device_stays_a_device():
    write("/dev/null", "gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_lines_end_alike_everywhere(tmp_path):
    write(tmp_path / "r.csv", "a\nb\n")
    assert (tmp_path / "r.csv").read_bytes() == b"a\nb\n"


def test_check_finds_out_before_the_work(tmp_path):
    check(tmp_path / "r.md")
    with pytest.raises(OutputError, match="does not exist"):
        check(tmp_path / "missing" / "r.md")
    assert names(tmp_path) == []
