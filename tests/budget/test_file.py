"""What a budget file may say, and what is told when it says something else: the file, the line, what to do."""

import textwrap

import pytest

from cnncost.budget.file import BudgetError, find, read
from cnncost.toml_file import line_of

GOOD = """
    # the networks we ship
    baseline = "sizes.json"

    [[budget]]
    model = "net.py:build"
    model_args = { width = 64 }
    input = "1x3x32x32"
    macs = "<= 4.1G"
    params = "+1%"
    modules = { "layer4.*" = { macs = "<= 1.2G" } }

    [[budget]]
    name = "text"
    model = "pkg.text:Encoder"
    input = { ids = "1x128:int64", mask = "1x128:bool" }
    allow_unknown = true
    receptive_field = ">= 20"

    [budget.modules."layers.**"]
    params = 100
    flops = "< 3M"
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="cnncost.toml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def test_everything_that_can_be_said(written, tmp_path):
    file = read(written(GOOD))
    first, second = file.budgets

    assert file.baseline == tmp_path / "sizes.json"
    assert (first.name, first.model, first.model_args) == ("net.py:build", "net.py:build", {"width": 64})
    assert first.inputs == ("1x3x32x32",)
    assert [(rule.quantity.name, rule.limit.text, rule.glob) for rule in first.rules] == [
        ("macs", "<= 4.1G", None), ("params", "+1%", None), ("macs", "<= 1.2G", "layer4.*"),
    ]  # fmt: skip
    assert (first.relative, second.relative) == (True, False)
    assert (second.name, second.inputs, second.allow_unknown) == ("text", ("ids=1x128:int64", "mask=1x128:bool"), True)
    assert [rule.limit.text for rule in second.rules] == [">= 20", "100", "< 3M"]


def test_a_pyproject_has_it_under_its_tool(written, tmp_path):
    text = '[project]\nname = "x"\n\n[[tool.cnncost.budget]]\nmodel = "lenet5"\nmacs = 1\n'
    file = read(written(text, "pyproject.toml"))

    assert [budget.model for budget in file.budgets] == ["lenet5"]
    assert file.baseline == tmp_path / "cnncost.lock.json"
    assert file.line(file.budgets[0].rules[0].keys) == 6


BROKEN = [
    pytest.param("[[budget]\n", "broken TOML: Expected ']]'", None, id="broken TOML"),
    pytest.param('a = "\\x00"\n', "broken TOML", None, id="a broken text"),
    pytest.param("", "the file has no budget", None, id="an empty file"),
    pytest.param("budgets = []\n", "unknown key 'budgets' in a budget file; did you mean budget?", 1,
        id="a typo on top"),
    pytest.param(
        '[[budget]]\nmodel = "a"\n\nmcas = "<= 4G"\n', "unknown key 'mcas' in a budget; did you mean macs?", 4,
        id="a typo in a key",
    ),
    pytest.param('[[budget]]\nmodel = "a"\nzzz = 1\n', "unknown key 'zzz' in a budget; expected name, model", 3,
        id="no near key"),
    pytest.param(
        '[[budget]]\nmodel = "a"\nmacs = 1\n[[budget]]\nmodel = "b"\nmodules = { "x" = { parms = 1 } }\n',
        "unknown key 'parms' in limits of modules; did you mean params?", 6, id="a typo in the limit of a module",
    ),
    pytest.param(
        '[[budget]]\nmodel = "a"\nmacs = 1\n\n[budget.modules."x.*"]\n# why\nparms = 1\n', "did you mean params?", 7,
        id="a typo in a table of its own",
    ),
    pytest.param('[[budget]]\nmodel = "a"\nmacs = "4 GiB"\n', "GiB is a unit of bytes", 3, id="a unit of another kind"),
    pytest.param('[[budget]]\nmodel = "a"\nmacs = [\n  1,\n]\n', "got a list", 3, id="a limit of the wrong kind"),
    pytest.param('[[budget]]\nmacs = "1G"\n', "without a model", 1, id="no model"),
    pytest.param('[[budget]]\nmodel = "a"\n', "without a limit", 1, id="no limit"),
    pytest.param('[[budget]]\nmodel = ["a"]\nmacs = 1\n', "expected a model such as", 2, id="a model that is no text"),
    pytest.param('[budget]\nmodel = "a"\n', "expected [[budget]] tables", 1, id="one table for many"),
    pytest.param('budget = ["a"]\n', "expected a table: [[budget]]", 1, id="budgets that are no tables"),
    pytest.param('[[budget]]\nmodel = "a"\ninput = "1x3x"\nmacs = 1\n', "expected a shape such as", 3,
        id="a bad shape"),
    pytest.param('[[budget]]\nmodel = "a"\ninput = 3\nmacs = 1\n', "expected shapes", 3, id="a shape that is a number"),
    pytest.param(
        '[[budget]]\nmodel = "a"\ninput = ["1x3", "x=1x3"]\nmacs = 1\n', "other inputs are named", 3,
        id="names and places mixed",
    ),
    pytest.param('[[budget]]\nmodel = "a"\nallow_unknown = 1\nmacs = 1\n', "expected true or false", 3,
        id="one for true"),
    pytest.param('[[budget]]\nmodel = "a"\nmodules = { "x" = 3 }\n', "expected limits, such as", 3,
        id="a module's bare limit"),
    pytest.param('[[budget]]\nmodel = "a"\nmodules = { "x" = {} }\n', "no limit for these modules", 3,
        id="a module without a limit"),
    pytest.param(
        '[[budget]]\nmodel = "a"\nmodules = { "x" = { inference_peak = "1MiB" } }\n', "describes the whole model", 3,
        id="memory of a module",
    ),
    pytest.param(
        '[[budget]]\nmodel = "a"\nmacs = 1\n[[budget]]\nmodel = "a"\nmacs = 2\n', "a second budget named 'a'", 4,
        id="two budgets of one name",
    ),
    pytest.param('baseline = 3\n[[budget]]\nmodel = "a"\nmacs = 1\n', "expected a file name", 1,
        id="a baseline that is no name"),
    pytest.param('[[budget]]\nmodel = "a"\nunknown_ops = "+1"\n', "the baseline does not store it", 3,
        id="unknown ops, relative"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told", "line"), BROKEN)
def test_what_is_wrong_is_told_with_its_line(text, told, line, tmp_path):
    path = tmp_path / "cnncost.toml"
    path.write_text(text)
    with pytest.raises(BudgetError) as raised:
        read(path)

    assert told in str(raised.value)
    assert str(raised.value).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_broken_toml_says_its_line(tmp_path):
    path = tmp_path / "cnncost.toml"
    path.write_text('[[budget]]\nmodel = "a\n')
    with pytest.raises(BudgetError, match="line 2"):
        read(path)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    for name, told in (("no.toml", "No such file"), ("latin.toml", "not UTF-8"), (".", "directory")):
        with pytest.raises(BudgetError, match=told):
            read(tmp_path / name)


def test_the_nearest_file_is_found(tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.cnncost]\nbudget = []\n")
    assert find(inner) == tmp_path / "pyproject.toml"
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert find(inner) == tmp_path / "pyproject.toml"
    (tmp_path / "a" / "cnncost.toml").write_text("")
    assert find(inner) == tmp_path / "a" / "cnncost.toml"


def test_no_file_anywhere(tmp_path):
    with pytest.raises(BudgetError, match=r"no cnncost.toml and no pyproject.toml with \[tool.cnncost\] here or above"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("text", "keys", "line"),
    [
        ("a = 1\nb = 2\n", ("b",), 2),
        ("[x]\n\n# a\na.b = 1\n", ("x", "a", "b"), 4),
        ('x = """\na = 1\n"""\na = 2\n', ("a",), 4),
        ("x = [\n  { a = 1 },\n  { b = 2 },\n]\n", ("x", 1, "b"), 3),
        ('[[t]]\n[[t]]\n"k k" = 1\n', ("t", 1, "k k"), 3),
        ("[[t]]\n[[t]]\n", ("t", 1), 2),
        ("a = 1\n", ("b",), None),
    ],
)
def test_lines_of_keys(text, keys, line):
    assert line_of(text, keys) == line
