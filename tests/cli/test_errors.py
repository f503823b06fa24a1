"""The command line when something is wrong: exit code 2, one line on stderr, nothing on stdout, no traceback."""

import textwrap

import click
import pytest
import torch

from cnncost.cli import cli, main
from cnncost.errors import CnncostError
from tests.cli.calls import ran

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

LIBRARY = torch.library.Library("cnncost_test_cli", "DEF")
LIBRARY.define("mystery(Tensor x) -> Tensor")
LIBRARY.impl("mystery", torch.empty_like, "Meta")

NET = """
    import torch
    from torch import nn


    class Net(nn.Module):
        def __init__(self, width=4):
            super().__init__()
            self.fc = nn.Linear(8, width)

        def forward(self, x):
            return self.fc(x)


    class Deep(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), nn.Linear(9, 8)))


    class Raises(nn.Module):
        def forward(self, x):
            raise ValueError("deep\\ntrouble")


    class ByKey(nn.Module):
        def forward(self, batch):
            return batch["x"]


    class Reads(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x


    class Endless(nn.Module):
        def forward(self, x):
            return self(x)


    class Cyclic(Net):
        def __init__(self):
            super().__init__()
            self.me = self


    class Exits(nn.Module):
        def forward(self, x):
            raise SystemExit(7)


    class Mystery(nn.Module):
        def forward(self, x):
            return torch.ops.cnncost_test_cli.mystery(x)


    class OnCpuAlone(nn.Module):
        def forward(self, x):
            return torch.ops.cnncost_test_cli.on_cpu_alone(x)


    def lazy():
        return nn.Sequential(nn.LazyLinear(4))


    def tokens():
        return nn.Embedding(10, 4)


    def fails():
        raise RuntimeError("several\\nlines")


    def exits():
        raise SystemExit(7)


    def nothing():
        return None


    instance = 3
"""

LIBRARY.define("on_cpu_alone(Tensor x) -> Tensor")
LIBRARY.impl("on_cpu_alone", lambda x: x * 2, "CPU")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    (tmp_path / "wrong.py").write_text("def f(:\n")
    (tmp_path / "imports.py").write_text("import no_such_package_anywhere\n")
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.chdir(tmp_path)


IN = ("--input", "2x8")

REFUSED = [
    # (arguments after `summarize`, words of the one line)
    pytest.param(("lenet6",), "lenet6: no network of this name; did you mean lenet5", id="a name misspelt"),
    pytest.param(("net.py:ByKey", "--input", "batch=2x8"), "the model's input was batch=2x8; if", id="no dict"),
    pytest.param(("",), "MODEL is empty", id="an empty name"),
    pytest.param(("nett.py:Net", *IN), "no file nett.py; did you mean net.py", id="a missing file"),
    pytest.param(("net.py:Nett", *IN), "net.py has no Nett; did you mean Net", id="a missing class"),
    pytest.param(("net.py", *IN), "net.py:", id="a file without a class"),
    pytest.param(("no_such_package.x:Net", *IN), "No module named 'no_such_package'", id="a missing package"),
    pytest.param(("wrong.py:Net", *IN), "wrong.py:1: invalid syntax", id="a syntax error"),
    pytest.param(
        ("imports.py:Net", *IN), "No module named 'no_such_package_anywhere'; install it", id="a missing import"
    ),
    pytest.param(
        ("net.py:instance", *IN), "expected a class or a function that creates a model, got int", id="no class"
    ),
    pytest.param(
        ("net.py:nothing", *IN),
        "expected a factory of torch.nn.Module, but it returned NoneType",
        id="a factory that returns nothing",
    ),
    pytest.param(("net.py:fails", *IN), "RuntimeError: several lines", id="a factory that raises"),
    pytest.param(("net.py:exits", *IN), "building it failed", id="a factory that exits"),
    pytest.param(
        ("net.py:Net",),
        "no input given, and the source has no default; give one, for example --input 1x3x224x224",
        id="no input",
    ),
    pytest.param(("net.py:Net", "--input", "2x0"), "expected sizes of 1 or more, got 0 on axis 1", id="a size of zero"),
    pytest.param(("net.py:Net", "--input=-2x8"), "expected sizes of 1 or more, got -2 on axis 0", id="a negative size"),
    pytest.param(("net.py:Net", "--input", "2by8"), "expected a shape such as 1x3x224x224", id="no shape"),
    pytest.param(("net.py:Net", "--input", ""), "expected a shape such as 1x3x224x224", id="an empty shape"),
    pytest.param(("net.py:Net", "--input", "2x8:float23"), "'float23' is not a dtype of torch", id="an unknown dtype"),
    pytest.param(("net.py:Net", *IN, *IN), "takes 2 positional arguments but 3 were given", id="one input too many"),
    pytest.param(("net.py:Net", "--input", "y=2x8"), "unexpected keyword argument 'y'", id="an input of another name"),
    pytest.param(
        ("net.py:Net", "--input", "x=2x8", "--input", "2x8"), "other inputs are named", id="a name and a position"
    ),
    pytest.param(("net.py:tokens", *IN), "integer indices (for example ids=1x128:int64)", id="fractions for tokens"),
    pytest.param(
        ("net.py:Net", *IN, "--model-args", "wdith=3"), "unexpected keyword argument 'wdith'", id="an argument misspelt"
    ),
    pytest.param(("net.py:Net", *IN, "--model-args", "width"), "expected NAME=VALUE", id="an argument without a value"),
    pytest.param(
        ("net.py:Net", *IN, "--model-args", "width=f()"), "f() is not a plain value", id="code for an argument"
    ),
    pytest.param(
        ("net.py:Deep", *IN),
        "1.1 (Linear): expected 9 features on the last axis; it got 2x8",
        id="shapes that don't fit deep inside",
    ),
    pytest.param(("net.py:Raises", *IN), "net.py:Raises: the model (Raises) at net.py:", id="forward raises"),
    pytest.param(
        ("net.py:Reads", *IN, "--trace", "static"),
        "forward reads the values of a tensor (aten.is_nonzero.default), and a static analysis has none",
        id="forward reads values",
    ),
    pytest.param(
        ("net.py:Reads", *IN, "--trace", "static"),
        "`cnncost summarize --trace real`, or in Python analyze(…, trace='real')",
        id="forward reads values: what to do in any command",
    ),
    pytest.param(("net.py:Endless", *IN), "forward calls itself without end", id="forward without end"),
    pytest.param(("net.py:Cyclic", *IN), "module 'me' (Cyclic) contains itself", id="a module that contains itself"),
    pytest.param(("net.py:Exits", *IN), "net.py:Exits: the model (Exits) at net.py:", id="forward exits"),
    pytest.param(("net.py:lazy", *IN), "0 (LazyLinear): weight is not initialized", id="a lazy module"),
    pytest.param(
        ("net.py:OnCpuAlone", *IN, "--trace", "static"),
        "the op cnncost_test_cli::on_cpu_alone has no rule for tensors without data",
        id="an op without a fake",
    ),
    pytest.param(
        ("net.py:Mystery", *IN, "--strict"),
        "1 op without a rule: cnncost_test_cli.mystery (1×, first in the model)",
        id="an unknown op, strictly",
    ),
    pytest.param(
        ("net.py:Net", *IN, "-o", "nowhere/report.md"), "nowhere", id="a folder that does not exist for the report"
    ),
    pytest.param(("net.py:Net", *IN, "-o", "report.docx"), "report.docx", id="an ending that no format has"),
    pytest.param(
        ("net.py:Net", *IN, "--explain", "fcc"),
        "module 'fcc': the model has no module of this path; did you mean fc",
        id="a path misspelt",
    ),
    pytest.param(("missing.json",), "missing.json: can't be read", id="a report that does not exist"),
    pytest.param(("broken.json",), "broken.json: ", id="a report that is damaged"),
]


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_is_refused_is_told_in_one_line(arguments, words, capsys):
    code, out, err = ran(capsys, "summarize", *arguments)
    assert (code, out) == (2, "")
    table, _, line = err.removesuffix("\n").rpartition("\n")
    assert line.startswith("cnncost: ")
    assert words in line
    assert not table or "forward failed in " in table  # what ran before
    assert err.endswith("\n")
    assert "Traceback" not in err


USAGE = [
    # (arguments, the last line)
    pytest.param((), "Usage: cnncost", id="no command"),
    pytest.param(
        ("summarise", "lenet5"),
        "No such command 'summarise'; did you mean summarize?",
        id="a command misspelt",
    ),
    pytest.param(("frobnicate",), "No such command 'frobnicate'", id="an unknown command"),
    pytest.param(("summarize",), "cnncost: Missing argument 'MODEL'", id="no model"),
    pytest.param(("summarize", "lenet5", "vgg16"), "unexpected extra argument", id="two models"),
    pytest.param(("summarize", "lenet5", "--bogus"), "cnncost: No such option", id="an unknown option"),
    pytest.param(("summarize", "lenet5", "--inptu", "1x3"), "--input", id="an option misspelt"),
    pytest.param(
        ("summarize", "lenet5", "--depth", "x"), "Invalid value for '--depth'", id="a depth that is no number"
    ),
    pytest.param(("summarize", "lenet5", "--depth", "-1"), "Invalid value for '--depth'", id="a negative depth"),
    pytest.param(("summarize", "lenet5", "--format", "pdf"), "'pdf' is not one of", id="an unknown format"),
    pytest.param(("summarize", "lenet5", "--input"), "requires an argument", id="an option without its value"),
    pytest.param(
        ("summarize", "lenet5", "--by", "op", "--format", "json"),
        "--by: json holds modules, layers and ops",
        id="an option that would do nothing",
    ),
    pytest.param(("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'", id="an unknown shell"),
]


@pytest.mark.parametrize(("arguments", "words"), USAGE)
def test_wrong_usage(arguments, words, capsys):
    code, out, err = ran(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert not arguments or err.count("\n") == 1
    assert not arguments or err.startswith("cnncost: ")


READ_BY_CLICK = (click.Choice, click.IntRange, click.FloatRange)


def commands():
    context = click.Context(cli)
    return {name: cli.get_command(context, name) for name in cli.list_commands(context)}


def bad_values():
    """A bad value for each option of each command whose values click reads, and an option that none has."""
    for name, command in commands().items():
        yield (name, "--no-such-option")
        for each in command.params:
            if isinstance(each, click.Option) and isinstance(
                each.type, (click.Choice, click.IntRange, click.FloatRange)
            ):
                yield (name, each.opts[0], "no such\nvalue")


@pytest.mark.parametrize("arguments", list(bad_values()), ids=" ".join)
def test_a_bad_value_is_one_line(arguments, capsys, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    code, out, err = ran(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("cnncost: ")
    assert arguments[1] in err
    assert err.endswith(f"; see cnncost {arguments[0]} --help\n")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", commands())
def test_what_is_missing_is_one_line(name, capsys):
    if not any(each.required for each in commands()[name].params):
        return
    code, out, err = ran(capsys, name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Missing" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--debug", "summarize", "net.py:Raises", *IN),
        ("summarize", "net.py:Raises", *IN, "--debug"),
        ("summarize", "--debug", "net.py:Raises", *IN),
    ],
    ids=["in front", "at the end", "in the middle"],
)
def test_debug_shows_where_the_error_comes_from(arguments, capsys):
    with pytest.raises(CnncostError) as error:
        main(list(arguments))
    cause = error.value.__cause__
    assert isinstance(cause, ValueError)
    assert str(cause) == "deep\ntrouble"
    assert capsys.readouterr().out == ""


def test_debug_changes_nothing_when_all_is_well(capsys):
    with_debug, without = (
        ran(capsys, *arguments) for arguments in (("summarize", "lenet5", "--debug"), ("summarize", "lenet5"))
    )
    assert with_debug == without
    assert with_debug[0] == 0


WELL = [
    pytest.param(("summarize", "net.py:Net", *IN), "64", id="a file"),
    pytest.param(("summarize", "net.py:Net", *IN, "--model-args", "width=16"), "256", id="a file with an argument"),
    pytest.param(("summarize", "net.py:Net", "--input", "x=2x8"), "64", id="an input by name"),
    pytest.param(("summarize", "net.py:tokens", "--input", "2x8:int64"), "40", id="whole numbers for tokens"),
    pytest.param(("summarize", "net.py:Mystery", *IN), "≥", id="an unknown op, as a lower bound"),
    pytest.param(("summarize", "torch.nn:Identity", *IN), "no parameters", id="no ops and no parameters"),
    pytest.param(("summarize", "lenet5"), "325,680", id="a network of the zoo"),
    pytest.param(
        ("summarize", "lenet5", "--input", "8x1x32x32", "--format", "csv"), "940800", id="another batch, as CSV"
    ),
    pytest.param(("--help",), "summarize", id="help"),
    pytest.param(("-h",), "summarize", id="help in short"),
    pytest.param(("summarize", "--help"), "--model-args", id="help for a command"),
    pytest.param(("--version",), "cnncost, version ", id="the version"),
    pytest.param(("completion", "zsh"), "zsh_source cnncost", id="completion"),
]


@pytest.mark.parametrize(("arguments", "words"), WELL)
def test_what_is_well_is_told_on_stdout_alone(arguments, words, capfdbinary):
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    out, err = capfdbinary.readouterr()
    assert (exit_.value.code, err) == (0, b"")
    assert words in out.decode()


def test_nothing_is_written_when_the_model_fails(tmp_path, capsys):
    code, _, _ = ran(capsys, "summarize", "net.py:Raises", *IN, "-o", "report.md")
    assert code == 2
    assert not (tmp_path / "report.md").exists()
