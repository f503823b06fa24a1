"""Programs of torch.export, and saved reports, as MODEL."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import cnncost
from cnncost.cli import main
from cnncost.errors import CnncostError, InputError, SourceError

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own while it exports


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.rand(2, 3, 8, 8),)), path)
    return str(path)


def test_a_program_costs_what_its_module_does(program):
    report, module = cnncost.analyze(program), cnncost.analyze(Net().eval(), (2, 3, 8, 8))
    assert report.totals.macs == 2 * 64 * 8 * 27 + 2 * 8 * 10
    assert report.totals.flops == module.totals.flops
    assert report.totals.params == 8 * 27 + 8 + 16 + 90
    assert report.inputs[0][0] == (2, 3, 8, 8)


def test_its_modules_keep_their_names(program):
    assert cnncost.analyze(program).layer("body.0").macs == 2 * 64 * 8 * 27


def test_named_inputs(tmp_path):
    path = tmp_path / "named.pt2"
    torch.export.save(torch.export.export(nn.Linear(4, 2), (), {"input": torch.rand(3, 4)}), path)
    assert cnncost.analyze(str(path)).totals.macs == 3 * 4 * 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param(b"", "not a program", id="empty"),
        pytest.param(b"PK\x03\x04 and no more", "not a program", id="cut short"),
    ],
)
def test_a_broken_program_is_told(make, words, tmp_path):
    path = tmp_path / "broken.pt2"
    if make is not None:
        path.write_bytes(make)
    with pytest.raises(SourceError, match=words):
        cnncost.analyze(str(path))


def test_a_program_takes_no_arguments(program):
    with pytest.raises(SourceError, match="takes no arguments"):
        cnncost.analyze(program, model_args={"width": 3})


def test_a_saved_report_is_a_model(tmp_path):
    path = str(tmp_path / "cost.json")
    report = cnncost.analyze("lenet5")
    report.save(path)
    assert cnncost.analyze(path) == report


def test_a_saved_report_takes_no_inputs(tmp_path):
    path = str(tmp_path / "cost.json")
    cnncost.analyze("lenet5").save(path)
    with pytest.raises(InputError, match="saved report"):
        cnncost.analyze(path, (1, 1, 32, 32))


def test_a_missing_report(tmp_path):
    with pytest.raises(CnncostError, match="can't be read"):
        cnncost.analyze(str(tmp_path / "no.json"))


def _zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "rubbish")
    return buffer.getvalue()


def _state():
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 3).state_dict(), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda whole: b"rubbish", id="rubbish"),
        pytest.param(lambda whole: b"", id="nothing"),
        pytest.param(lambda whole: _zipped("a.txt"), id="an archive of something else"),
        pytest.param(
            lambda whole: _zipped("net/archive_format", "net/models/model.json", "net/version"), id="rubbish within"
        ),
        pytest.param(lambda whole: _state(), id="weights alone"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="cut in half"),
        pytest.param(lambda whole: whole.replace(b"archive_format", b"archive_formta"), id="a name misspelt"),
    ],
)
def test_the_command_line_says_one_line_of_it_and_torch_says_nothing(content, debug, program, tmp_path, capfd, caplog):
    path = tmp_path / "broken.pt2"
    path.write_bytes(content(Path(program).read_bytes()))
    if debug:  # the traceback is Python's, of our own error
        with pytest.raises(SourceError, match=r"broken\.pt2: not a program that torch"):
            main(["--debug", "summarize", str(path)])
    else:
        with pytest.raises(SystemExit) as end:
            main(["summarize", str(path)])
        assert end.value.code == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert caplog.records == []
    if not debug:
        assert err.startswith(f"cnncost: {path}: not a program that torch")
        assert err.count("\n") == 1
    else:
        assert err == ""
