"""Who may know whom: read from the source, so that no import can hide in a function."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from private_names import in_strings, private_of_others, private_of_torch

from cnncost.frontends.torch.compat.dispatch import op_names

ROOT = Path(__file__).parent.parent / "cnncost"
HEAVY = {"torch", "onnx", "rich", "click", "pandas", "fvcore"}


LEAVES = {"print", "exit", "sys.exit", "quit", "os._exit"}


class Source(NamedTuple):
    """What the rules ask of a file: taken from its tree at once, which takes much memory and isn't kept."""

    imports: frozenset[str]
    for_types: frozenset[str]
    from_top: tuple[str, ...]
    leaves: tuple[int, ...]


def dotted(node: ast.AST) -> str:
    """A name, or an attribute of one, as it is written; empty for all else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
    return ""


def statements(body: list[Any]) -> Iterator[tuple[ast.AST, bool]]:
    """All statements, in functions and classes, too, in no order, and whether they are there for types alone."""
    waiting = [(node, False) for node in body]
    while waiting:
        node, typing = waiting.pop()
        yield node, typing
        typing = typing or (isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"))
        for inner in ("body", "orelse", "handlers", "finalbody", "cases"):
            waiting += [(child, typing) for child in getattr(node, inner, ())]


def named(node: ast.AST) -> set[str]:
    """Full names of all modules that a statement imports, or may."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


@cache
def read(path: Path) -> Source:
    tree = ast.parse(path.read_text())
    found: dict[bool, set[str]] = {True: set(), False: set()}
    top: list[str] = []
    for node, typing in statements(tree.body):
        found[typing] |= named(node)
        if isinstance(node, ast.ImportFrom) and node.module == "cnncost":
            top += [alias.name for alias in node.names]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and dotted(node.func) in LEAVES]
    return Source(frozenset(found[False]), frozenset(found[True]), tuple(top), tuple(call.lineno for call in calls))


def imports(path: Path, types: bool = True) -> frozenset[str]:
    """Full names of all modules that a file imports: in functions, too, and with `types` for type checking alone."""
    source = read(path)
    return source.imports | source.for_types if types else source.imports


def test_imports_are_found_wherever_they_stand(tmp_path):
    source = (
        "import a\nclass C:\n def f(self):\n  import b.c\n"
        "try: import d\nexcept E: import e\nelse: import f\nfinally: import g\n"
        "for _ in x: import h\nelse: import i\nwhile x: import j\nwith x: import k\n"
        "match x:\n case 1: import l\nasync def f():\n async with x: import m\n"
        "if x: import n\nelif y: import o\nelse: from p import q\n"
        "try: import r\nexcept* E: import s\n"
        "if TYPE_CHECKING: import t\nif typing.TYPE_CHECKING: import u\n"
    )
    (tmp_path / "all.py").write_text(source)
    loaded = {*"adefghijklmnoprs", "b.c", "p.q"}
    assert imports(tmp_path / "all.py", types=False) == loaded
    assert imports(tmp_path / "all.py") == loaded | {"t", "u"}


def test_calls_that_print_or_exit_are_found_wherever_they_stand(tmp_path):
    (tmp_path / "all.py").write_text("f(lambda: print())\n@g(exit(1))\ndef f(x=sys.exit): f'{quit()}'\nos._exit(print)")
    assert sorted(read(tmp_path / "all.py").leaves) == [1, 2, 3, 4]


def knows(where: str, what: str, types: bool = True) -> list[str]:
    """Files under `where` that import `what`, or anything below it."""
    base = ROOT / where
    files = [base] if base.is_file() else sorted(base.rglob("*.py"))
    assert files, f"{where} has no files"
    return [
        str(file.relative_to(ROOT))
        for file in files
        if any(name == what or name.startswith(what + ".") for name in imports(file, types))
    ]


TORCH_FREE = [
    "graph.py", "graph_json.py", "masks.py", "errors.py", "units.py", "analysis.py", "fit.py", "ops", "passes",
    "report", "render", "devices", "budget", "plots", "laws",
]  # fmt: skip


@pytest.mark.parametrize("where", TORCH_FREE)
@pytest.mark.parametrize("package", ["torch", "onnx", "click", "fvcore", "numpy"])
def test_the_core_knows_no_framework(where, package):
    """But for the type of what `analyze` takes, which nobody loads."""
    assert knows(where, package, types=False) == []


@pytest.mark.parametrize("where", [w for w in TORCH_FREE if w != "render"])
def test_the_core_does_not_know_the_terminal(where):
    assert knows(where, "rich") == []


@pytest.mark.parametrize("where", [w for w in TORCH_FREE if w not in {"report", "plots"}])
def test_the_core_draws_nothing(where):
    assert knows(where, "matplotlib") == []


def test_only_the_terminal_renderer_knows_rich():
    assert set(knows("render", "rich")) <= {"render/text.py"}


@pytest.mark.parametrize(
    ("where", "what"),
    [
        pytest.param("ops", "cnncost.frontends", id="ops know no front end"),
        pytest.param("passes", "cnncost.frontends", id="passes know no front end"),
        pytest.param("frontends", "cnncost.ops", id="a front end knows no cost"),
        pytest.param("frontends", "cnncost.passes", id="a front end knows no pass"),
        pytest.param("frontends", "cnncost.report", id="a front end knows no report"),
        pytest.param("ops", "cnncost.passes", id="ops know no pass"),
        pytest.param("graph.py", "cnncost.ops", id="the graph knows no cost"),
        pytest.param("zoo", "cnncost.analysis", id="the zoo does not know the analyzer"),
        pytest.param("zoo", "cnncost.frontends", id="the zoo knows no front end"),
        pytest.param("zoo", "cnncost.ops", id="the zoo knows no cost"),
        pytest.param("zoo", "cnncost.report", id="the zoo knows no report"),
        pytest.param("analysis.py", "cnncost.zoo", id="the analyzer does not know the zoo"),
        pytest.param("frontends", "cnncost.zoo", id="front ends do not know the zoo"),
        pytest.param("passes", "cnncost.zoo", id="passes do not know the zoo"),
        pytest.param("report", "cnncost.zoo", id="reports do not know the zoo"),
        pytest.param("report", "cnncost.cli", id="reports do not know the command line"),
        pytest.param("bench", "cnncost.passes", id="the benchmark knows no pass"),
        pytest.param("bench", "cnncost.analysis", id="the benchmark does not know the analyzer"),
        pytest.param("bench", "cnncost.report", id="the benchmark knows no report"),
        pytest.param("bench", "cnncost.ops", id="the benchmark knows no cost"),
        pytest.param("bench", "cnncost.frontends", id="the benchmark knows no front end"),
        pytest.param("passes", "cnncost.bench", id="passes know no measurement"),
        pytest.param("report", "cnncost.bench", id="reports know no measurement"),
        pytest.param("analysis.py", "cnncost.bench", id="the analyzer knows no measurement"),
        pytest.param("devices", "cnncost.passes", id="devices know no pass"),
        pytest.param("devices", "cnncost.bench", id="devices know no measurement"),
        pytest.param("verify", "cnncost.cli", id="verify does not know the command line"),
        pytest.param("budget", "cnncost.cli", id="budgets do not know the command line"),
        pytest.param("budget", "cnncost.zoo", id="budgets do not know the zoo"),
        pytest.param("report", "cnncost.budget", id="reports do not know budgets"),
        pytest.param("budget", "cnncost.frontends", id="budgets know no front end"),
        pytest.param("budget", "cnncost.meter", id="budgets do not know the meter"),
        pytest.param("meter", "cnncost.cli", id="the meter does not know the command line"),
        pytest.param("meter", "cnncost.frontends", id="the meter knows no front end"),
        pytest.param("lecture", "cnncost.cli", id="the lecture does not know the command line"),
        pytest.param("laws", "cnncost.cli", id="laws do not know the command line"),
        pytest.param("laws", "cnncost.frontends", id="laws know no front end"),
        pytest.param("laws", "cnncost.plots", id="laws know no picture"),
        pytest.param("report", "cnncost.laws", id="reports do not know laws"),
    ],
)
def test_arrows_never_turn_back(where, what):
    assert knows(where, what) == []


def test_renderers_know_documents_alone():
    """Nothing of the project but how a number is written; what chooses among them knows files, too."""
    for file in sorted((ROOT / "render").rglob("*.py")):
        allowed = {"errors", "files"} if file.name == "formats.py" else {"units"}
        known = {name.split(".")[1] for name in imports(file) if name.startswith("cnncost.")}
        assert known <= {"render", *allowed}, file.name


def test_no_pass_imports_another():
    """A pass is a file, or a folder whose files know one another."""
    guilty = []
    for file in sorted((ROOT / "passes").rglob("*.py")):
        inner = file.relative_to(ROOT / "passes").parts[:-1]
        own = ".".join(("cnncost", "passes", *inner))
        known = {name for name in imports(file) if name.startswith("cnncost.passes")}
        guilty += [file.name for name in known if not (inner and f"{name}.".startswith(f"{own}."))]

    assert guilty == []


def test_only_the_command_line_prints_or_exits():
    allowed = {"cli", "__main__.py"}
    guilty = []
    for file in sorted(ROOT.rglob("*.py")):
        if file.relative_to(ROOT).parts[0] in allowed or file.name == "__main__.py":
            continue
        guilty += [f"{file.relative_to(ROOT)}:{line}" for line in read(file).leaves]

    assert guilty == []


def test_oracles_do_not_import_what_they_judge():
    guilty = [
        str(file)
        for file in sorted((Path(__file__).parent / "oracles").rglob("*.py"))
        if any(name.startswith(("cnncost.ops", "cnncost.frontends.torch.lowering")) for name in imports(file))
    ]

    assert guilty == []


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import cnncost", id="import cnncost"),
        pytest.param(
            "import cnncost.zoo, cnncost.graph, cnncost.ops, cnncost.report.model, cnncost.devices",
            id="the torch-free parts",
        ),
        pytest.param(
            "import contextlib\nfrom cnncost.cli import main\nwith contextlib.suppress(SystemExit): main(['--help'])",
            id="cnncost --help",
        ),
    ],
)
def test_heavy_packages_stay_out(code):
    heavy = {"torch", "pandas", "numpy", "rich", "fvcore", "matplotlib"}
    check = f"{code}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout

    assert out.splitlines()[-1] == "[]"


def found_cycle(edges: dict[str, set[str]]) -> list[str]:
    """A way through a graph that comes back to where it began; empty if there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(edges.get(name, ())):
            if cycle := visit(other):
                return cycle
        path.pop()
        done.add(name)
        return []

    return next((cycle for name in sorted(edges) if (cycle := visit(name))), [])


def modules() -> dict[str, Path]:
    """All modules of the package, by their full name."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def package_of(module: str) -> str:
    """The folder right below `cnncost`, or the file that stands there."""
    return ".".join(module.split(".")[:2])


@pytest.mark.long
def test_no_import_cycles():
    """Between modules. Imports of any kind count: of the module, inside functions, and for type checking alone."""
    known = modules()
    edges = {}
    for name, file in known.items():
        found = imports(file) & set(known) - {name}
        # `from package import module` is an edge to the module alone
        edges[name] = {other for other in found if not any(each.startswith(f"{other}.") for each in found)}

    assert found_cycle(edges) == []


@pytest.mark.long
def test_no_cycles_between_packages():
    """Likewise, whatever modules these are between."""
    known = modules()
    edges: dict[str, set[str]] = {}
    for name, file in known.items():
        own = package_of(name)
        for other in imports(file) & set(known):
            if package_of(other) not in {own, "cnncost"}:
                edges.setdefault(own, set()).add(package_of(other))

    assert found_cycle(edges) == []


def test_nobody_inside_imports_the_top():
    """The top has everybody's public names: who is inside takes them from where they are made."""
    known = modules()
    guilty = [
        f"{name}: {top}" for name, file in known.items() for top in read(file).from_top if f"cnncost.{top}" not in known
    ]

    assert guilty == []


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        pytest.param({"a": {"b"}, "b": {"c"}, "c": set()}, [], id="a chain"),
        pytest.param({"a": {"b", "c"}, "b": {"c"}}, [], id="two ways to one place"),
        pytest.param({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"], id="two that know each other"),
        pytest.param({"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b"}}, ["b", "c", "d", "b"], id="three, behind one"),
    ],
)
def test_cycles_are_found(edges, cycle):
    assert found_cycle(edges) == cycle


# ---- what others do not promise


COMPAT = "frontends/torch/compat/"
TOUCHED = {
    ("cache/environment.py", "_getframe"): "Python's: it is there before torch is imported",
    ("cache/watch.py", "_getframe"): "likewise",
    ("frontends/torch/inputs.py", "_value"): "of our own base class, whose method is overridden",
    ("sources/neighbours.py", "_getframe"): "Python's: torch is not imported yet, so that compat can't be",
    ("sources/transformers.py", "_from_config"): "Transformers': a class that the user named is built by nothing else",
    ("sources/transformers.py", "_model_mapping"): "Transformers': which of a configuration's classes there are",
    ("verify/fvcore_count.py", "_should_ignore_node"): "fvcore's: overridden to note the ops without a formula",
}
"""Private names of others that are used outside of compat, each with its reason. None is torch's."""


def outside_of_compat() -> dict[str, str]:
    """Source by file."""
    names = {file.relative_to(ROOT).as_posix(): file for file in sorted(ROOT.rglob("*.py"))}
    return {name: file.read_text() for name, file in names.items() if not name.startswith(COMPAT)}


@pytest.mark.long
def test_only_compat_uses_private_names_of_torch():
    """All of them are in one place, each with what it is for: that is where a new torch is looked at."""
    guilty = {name: found for name, source in outside_of_compat().items() if (found := private_of_torch(source))}

    assert guilty == {}


@pytest.mark.long
def test_names_that_compat_has_stand_in_no_string_elsewhere():
    """Such as that of a module's table of parameters, which is looked up in its `__dict__`; ops' names are data."""
    ops = {name.partition("::")[2].partition(".")[0] for name in op_names()}
    room = {name for file in (ROOT / COMPAT).rglob("*.py") for name in in_strings(file.read_text())} - ops
    guilty = {name: found for name, source in outside_of_compat().items() if (found := in_strings(source) & room)}

    assert {"_parameters", "_call_impl", "_no_grad_fill_", "_cdata"} <= room
    assert guilty == {}


@pytest.mark.long
def test_private_names_of_others_have_a_reason():
    used = {(name, each) for name, source in outside_of_compat().items() for each in private_of_others(source)}

    assert used == TOUCHED.keys()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("import torch._dynamo", ["torch._dynamo"], id="a module"),
        pytest.param("import torch._dynamo.config as c", ["torch._dynamo.config"], id="a module by another name"),
        pytest.param("from torch._C import f", ["torch._C.f"], id="from a module"),
        pytest.param("def f():\n    from torch.a._b import c", ["torch.a._b.c"], id="in a function"),
        pytest.param("from torch.utils import _device", ["torch.utils._device"], id="a private name"),
        pytest.param("import torch\ntorch._C._f(1)", ["torch._C", "torch._C._f"], id="a chain"),
        pytest.param("import torch as t\nt.a._f", ["torch.a._f"], id="under another name"),
        pytest.param("from torch import nn\nnn.Module._call", ["torch.Module._call"], id="of a class"),
        pytest.param("import torch\nops: Any = torch.ops.x\nops._f(2)", ["torch._f"], id="by an assignment"),
        pytest.param("import torch\na = torch.ops\nb = a.x\nb._f", ["torch._f"], id="by two assignments"),
        pytest.param("import_module('torch.a._b')", ["torch.a._b"], id="a module in a string"),
        pytest.param("name.startswith('torch._')", ["torch._any"], id="what private modules begin with"),
        pytest.param("'Beside torch._C and others.'", [], id="in a text"),
        pytest.param("import torch\ntorch.a.__name__, torch.nn.Linear", [], id="public names"),
        pytest.param("from mine._torch import f\nf._x", [], id="of another package"),
    ],
)
def test_private_names_of_torch_are_found(source, found):
    assert private_of_torch(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("storage._cdata", ["_cdata"], id="an attribute"),
        pytest.param("f(x).y._z()", ["_z"], id="of a result"),
        pytest.param("getattr(x, '_y', None)", ["_y"], id="by getattr"),
        pytest.param("hasattr(x, '_y')", ["_y"], id="by hasattr"),
        pytest.param("attrgetter('a._b', 'c')", ["a._b"], id="by attrgetter"),
        pytest.param("operator.methodcaller('_m')", ["_m"], id="by methodcaller"),
        pytest.param("class A:\n    def _m(self): super()._m()", ["_m"], id="of a base class elsewhere"),
        pytest.param("class A:\n    def f(self, b): return self._x == b._x", [], id="of the same class"),
        pytest.param("class A:\n    __slots__ = ('_x',)\n\ndef f(a): return a._x", [], id="of a slot in this file"),
        pytest.param("row._replace(a=1)._asdict(), x.__dict__", [], id="of named tuples, and Python's own"),
    ],
)
def test_private_names_of_others_are_found(source, found):
    assert private_of_others(source) == found
