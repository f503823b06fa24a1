"""A project with a small network of known figures, a budget file, and `cnncost check` run in it."""

import textwrap

import pytest
import torch

from cnncost.cli import main

LIBRARY = torch.library.Library("cnncost_test_budget", "DEF")
LIBRARY.define("mystery(Tensor x) -> Tensor")
LIBRARY.impl("mystery", torch.empty_like, "Meta")

NET = """
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self, width=16, kernel=3, mystery=False):
            super().__init__()
            self.stem = nn.Conv2d(3, width, 3, padding=1)
            self.body = nn.Sequential(nn.Conv2d(width, width, kernel, padding=kernel // 2), nn.ReLU())
            self.head = nn.Linear(width, 10)
            self.mystery = mystery

        def forward(self, x):
            x = self.body(self.stem(x)).mean((2, 3))
            return self.head(torch.ops.cnncost_test_budget.mystery(x) if self.mystery else x)


    def broken():
        raise ValueError("no such weights")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with `net.py`, which is the working folder; the budget file is what the test writes."""
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def budget(project):
    """Write `cnncost.toml` with one budget on Net, of these lines."""

    def write(lines, arguments=""):
        text = f'[[budget]]\nname = "net"\nmodel = "net.py:Net"\nmodel_args = {{ {arguments} }}\ninput = "1x3x8x8"\n'
        (project / "cnncost.toml").write_text(text + textwrap.dedent(lines).strip() + "\n")

    return write


@pytest.fixture
def cnncost(capsys):
    """Run the command line: exit code, stdout, stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as exited:
            main([*map(str, arguments)])
        return (exited.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def check(cnncost):
    """Run `cnncost check`."""
    return lambda *arguments: cnncost("check", *arguments)
