"""Models named as Python code: found, built without weights, and every failure told with its place."""

import random
import sys
import textwrap
from collections import OrderedDict

import pytest
import torch
from torch import nn

import cnncost
from cnncost.errors import InputError, SourceError
from cnncost.sources.resolve import resolve

torch.set_num_threads(1)

# torch's own, when its compiler or TorchScript is imported
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

NET = """
    from dataclasses import dataclass

    import torch
    from torch import nn

    from blocks import Block


    @dataclass
    class Config:
        width: int = 4


    class Net(nn.Module):
        def __init__(self, width=Config.width, act="relu", sizes=(1, 2), deep=False):
            super().__init__()
            self.options = (width, act, sizes, deep)
            self.block = Block(8, width)
            self.register_buffer("scale", torch.ones(width))

        def forward(self, x):
            return self.block(x) * self.scale


    class Rates(nn.Module):
        '''Reads values of tensors that it makes itself, as stochastic depth does.'''

        def __init__(self):
            super().__init__()
            rates = [rate.item() for rate in torch.linspace(0, 0.5, 3)]
            steps = torch.arange(3).tolist() + [int(torch.tensor([4]))] + torch.as_tensor([5]).tolist()
            self.found = (rates, steps)
            self.layers = nn.Sequential(*(nn.Linear(8, 8) for _ in rates))

        def forward(self, x):
            return self.layers(x)


    class Weighty(nn.Module):
        '''A layer of 4 TB; its weights are initialised.'''

        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1_000_000, 1_000_000)
            nn.init.kaiming_normal_(self.fc.weight)
            nn.init.trunc_normal_(self.fc.bias, std=0.02)
            nn.init.orthogonal_(nn.Linear(4, 4).weight)

        def forward(self, x):
            return self.fc(x)


    class Inner:
        class Deeper(Net):
            pass

        @staticmethod
        def make(width=3):
            return Net(width)

        @classmethod
        def by_class(cls):
            return cls.Deeper()


    class Raises(nn.Module):
        def forward(self, x):
            raise ValueError("in forward")


    class LateForward(nn.Module):
        def forward(self, x):
            import late

            return x * late.FACTOR


    instance = Net(5)
    partial = __import__("functools").partial(Net, width=6)
    number = 3


    def fails():
        raise RuntimeError("two\\nlines")


    def exits():
        raise SystemExit(4)


    def nothing():
        return None


    def a_list():
        return [nn.Linear(8, 8)]


    def the_class():
        return Net


    def a_program():
        return torch.export.export(nn.Linear(8, 8), (torch.rand(2, 8),))


    def needs(width):
        return Net(width)


    def calls_wrongly():
        return needs()


    def imports_late():
        import late

        return Net(late.FACTOR)
"""

BLOCKS = """
    from torch import nn


    class Block(nn.Sequential):
        def __init__(self, inputs, width):
            super().__init__(nn.Linear(inputs, width), nn.ReLU())
"""


DRAWS = """
    import random

    import torch


    def build():
        random.random()
        torch.rand(3, device="cpu")
        return torch.nn.Linear(8, 2)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a model file and its neighbours, which is the current one."""
    files = {
        "net.py": NET,
        "blocks.py": BLOCKS,
        "late.py": "FACTOR = 7",
        "empty.py": "",
        "wrong.py": "def f(:\n",
        "indented.py": "def f():\nreturn 1\n",
        "imports.py": "import no_such_package_anywhere\n",
        "imports_from.py": "from torch import no_such_name\n",
        "raises.py": "x = 1\nraise ValueError('two\\nlines')\n",
        "exits.py": "import sys\nsys.exit(3)\n",
        "package/__init__.py": "",
        "package/models.py": textwrap.dedent(BLOCKS) + "\n\ndef build():\n    return Block(8, 2)\n",
        "package/relative.py": "from .models import build\n",
        "latin.py": b"name = '\xe9'\n",
        "draws.py": DRAWS,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


FOUND = [
    # (specification, arguments, class of the model, MACs of one example of 8 numbers)
    pytest.param("net.py:Net", {}, "Net", 32, id="a class of a file"),
    pytest.param("./net.py:Net", {}, "Net", 32, id="a path with a dot"),
    pytest.param("net:Net", {}, "Net", 32, id="a module of the current folder"),
    pytest.param("net.py:Net", {"width": 16}, "Net", 128, id="with an argument"),
    pytest.param("net.py:Inner.Deeper", {}, "Deeper", 32, id="a class in a class"),
    pytest.param("net.py:Inner.make", {}, "Net", 24, id="a static method"),
    pytest.param("net.py:Inner.by_class", {}, "Deeper", 32, id="a class method"),
    pytest.param("net.py:instance", {}, "Net", 40, id="a model that is made already"),
    pytest.param("net.py:partial", {}, "Net", 48, id="a partial"),
    pytest.param("net.py:needs", {"width": 5}, "Net", 40, id="a function with an argument"),
    pytest.param("net.py:imports_late", {}, "Net", 56, id="a function that imports a neighbour when it is called"),
    pytest.param("package.models:build", {}, "Block", 16, id="a module of a package"),
    pytest.param("package.relative:build", {}, "Block", 16, id="a package that imports relatively"),
    pytest.param("package/models.py:build", {}, "Block", 16, id="a file in a folder"),
    pytest.param(
        "torch.nn:Linear", {"in_features": 8, "out_features": 3}, "Linear", 24, id="a class of an installed package"
    ),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("spec", "arguments", "name", "macs"), FOUND)
def test_a_model_is_found_and_built(spec, arguments, name, macs):
    path = list(sys.path)
    report = cnncost.analyze(spec, (1, 8), model_args=arguments)
    assert (report.model, report.tree[0][1], report.totals.macs) == (spec, name, macs)
    assert sys.path == path


def test_a_file_anywhere_by_its_whole_path(folder, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert cnncost.analyze(f"{folder}/net.py:Net", (1, 8)).totals.macs == 32


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("spec", ["net.py:Net", "net.py:Rates", "net.py:Inner.make", "package.models:build"])
def test_no_weight_is_made(spec):
    model = resolve(spec, "1x8", {}).model
    tensors = [*model.parameters(), *model.buffers()]
    assert tensors
    assert all(tensor.is_meta for tensor in tensors)


@pytest.mark.usefixtures("folder")
def test_a_layer_larger_than_memory():
    report = cnncost.analyze("net.py:Weighty", (1, 1_000_000))
    assert (report.totals.params, report.totals.macs) == (10**12 + 10**6, 10**12)


@pytest.mark.usefixtures("folder")
def test_constructors_may_read_the_small_tensors_that_they_make():
    model = resolve("net.py:Rates", "1x8", {}).model
    assert model.found == ([0.0, 0.25, 0.5], [0, 1, 2, 4, 5])


@pytest.mark.usefixtures("folder")
def test_arguments_reach_the_constructor_as_they_are():
    arguments = {"width": 2, "act": "gelu", "sizes": [3, (4, None)], "deep": True}
    assert resolve("net.py:Net", "1x8", arguments).model.options == (2, "gelu", [3, (4, None)], True)


@pytest.mark.usefixtures("folder")
def test_building_leaves_torch_as_it_was():
    state, python, device = torch.get_rng_state(), random.getstate(), torch.get_default_device()
    resolve("package/models.py:build", "1x8", {})
    resolve("draws.py:build", "1x8", {})
    with pytest.raises(SourceError):
        resolve("package/models.py:Block", "1x8", {})
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert torch.get_default_device() == device
    assert torch.zeros(2).device.type == "cpu"
    assert torch._C._len_torch_function_stack() == 0


@pytest.mark.usefixtures("folder")
def test_the_same_name_twice_gives_two_models():
    one, two = (resolve("net.py:Net", "1x8", {}).model for _ in range(2))
    assert one is not two


@pytest.mark.usefixtures("folder")
def test_a_model_that_is_made_already_is_left_as_it_is():
    assert cnncost.analyze("net:instance", (1, 8)).totals.macs == 40
    model = sys.modules["net"].instance
    before = model.block[0].weight.detach().clone()
    assert cnncost.analyze("net:instance", (1, 8)).totals.macs == 40
    assert torch.equal(model.block[0].weight, before)
    assert {module.training for module in model.modules()} == {True}


@pytest.mark.usefixtures("folder")
def test_forward_may_import_a_neighbour_too():
    # 8 products with the factor
    assert cnncost.analyze("net.py:LateForward", (1, 8)).totals.flops == 8


def test_two_versions_of_a_file_each_have_their_own_neighbours(tmp_path, monkeypatch):
    """As when an old and a new checkout are compared."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, width in (("old", 8), ("new", 16)):
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / "parts" / "__init__.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / name / "neighbour_of_net.py").write_text("from parts import WIDTH\n")
        (tmp_path / name / "versioned.py").write_text(
            "from neighbour_of_net import WIDTH\nfrom torch import nn\n\ndef build():\n    return nn.Linear(8, WIDTH)\n"
        )
    macs = [
        cnncost.analyze(f"{tmp_path}/{name}/versioned.py:build", (1, 8)).totals.macs for name in ("old", "new", "old")
    ]
    assert macs == [64, 128, 64]


FAILURES = [
    # specification, arguments, and what is said
    pytest.param("nett.py:Net", {}, "no file nett.py; did you mean net.py", id="a file's name misspelt"),
    pytest.param("nowhere/net.py:Net", {}, "no file nowhere/net.py", id="a folder that does not exist"),
    pytest.param("package:Net", {}, "package has no Net", id="a package without the name"),
    pytest.param("net.py:Nett", {}, "net.py has no Nett; did you mean Net", id="a class's name misspelt"),
    pytest.param(
        "net.py:Inner.Deep", {}, "net.py has no Inner.Deep; did you mean Deeper", id="a name inside a class misspelt"
    ),
    pytest.param("empty.py:Net", {}, "empty.py has no Net", id="an empty file"),
    pytest.param(
        "net.py:", {}, "expected package.module:factory or path/to/file.py:Class", id="no name after the colon"
    ),
    pytest.param(":Net", {}, "expected package.module:factory or path/to/file.py:Class", id="nothing before the colon"),
    pytest.param("net.py", {}, "net.py:", id="a file and no class"),
    pytest.param(
        "no_such_package.models:Net",
        {},
        "No module named 'no_such_package'; install it, or run from the folder that contains it",
        id="a package that is not installed",
    ),
    pytest.param("package.modells:Net", {}, "No module named 'package.modells'", id="a module's name misspelt"),
    pytest.param(
        "torch.nn:Liner", {}, "torch.nn has no Liner; did you mean Linear", id="a class of a package misspelt"
    ),
    pytest.param("wrong.py:Net", {}, "wrong.py:1: ", id="a syntax error"),
    pytest.param("indented.py:Net", {}, "indented.py:2: ", id="an indentation error"),
    pytest.param(
        "imports.py:Net",
        {},
        "No module named 'no_such_package_anywhere'; install it",
        id="an import of what is not installed",
    ),
    pytest.param(
        "imports_from.py:Net",
        {},
        "importing it failed at imports_from.py:1: ImportError: cannot import name 'no_such_name'",
        id="an import of a name that is missing",
    ),
    pytest.param(
        "raises.py:Net",
        {},
        "importing it failed at raises.py:2: ValueError: two lines",
        id="an error when it is imported",
    ),
    pytest.param(
        "exits.py:Net", {}, "importing it failed at exits.py:2: SystemExit: 3", id="an exit when it is imported"
    ),
    pytest.param("latin.py:Net", {}, "latin.py", id="a file that is no UTF-8"),
    pytest.param("net.py:number", {}, "expected a class or a function that creates a model, got int", id="a number"),
    pytest.param("net.py:torch", {}, "expected a class or a function that creates a model, got module", id="a module"),
    pytest.param(
        "net.py:nothing",
        {},
        "expected a factory of torch.nn.Module, but it returned NoneType",
        id="a factory that returns nothing",
    ),
    pytest.param(
        "net.py:a_list",
        {},
        "expected a factory of torch.nn.Module, but it returned list",
        id="a factory that returns a list",
    ),
    pytest.param(
        "net.py:the_class",
        {},
        "expected a factory of torch.nn.Module, but it returned",
        id="a factory that returns a class",
    ),
    pytest.param(
        "net.py:a_program",
        {},
        "it returned ExportedProgram; return its module, program.module()",
        id="a factory that returns an exported program",
    ),
    pytest.param(
        "net.py:fails",
        {},
        "building it failed at {folder}/net.py:{fails}: RuntimeError: two lines",
        id="a factory that raises",
    ),
    pytest.param("net.py:exits", {}, "building it failed", id="a factory that exits"),
    pytest.param(
        "net.py:needs",
        {},
        "missing 1 required positional argument: 'width'; it takes width: give them with --model-args NAME=VALUE",
        id="a factory that needs an argument",
    ),
    pytest.param(
        "net.py:calls_wrongly",
        {},
        "building it failed at {folder}/net.py:",
        id="a factory that calls another wrongly",
    ),
    pytest.param(
        "net.py:Net",
        {"wdith": 3},
        "building it with (wdith=3) failed: TypeError: Net.__init__() got an unexpected keyword argument 'wdith'",
        id="an argument misspelt",
    ),
    pytest.param(
        "net.py:Net", {"width": "wide"}, "building it with (width='wide') failed", id="an argument of another kind"
    ),
    pytest.param("net.py:Net", {"width": -1}, "building it with (width=-1) failed", id="an argument out of range"),
]


@pytest.mark.parametrize(("spec", "arguments", "words"), FAILURES)
def test_a_failure_names_the_specification_and_the_place(spec, arguments, words, folder):
    path = list(sys.path)
    fails = textwrap.dedent(NET).splitlines().index("def fails():") + 2
    with pytest.raises(SourceError) as error:
        cnncost.analyze(spec, (1, 8), model_args=arguments)
    message = str(error.value)
    assert message.startswith(f"{spec}: ")
    assert words.format(folder=folder, fails=fails) in message
    assert "\n" not in message
    assert "cnncost/sources" not in message
    assert sys.path == path


@pytest.mark.usefixtures("folder")
def test_a_file_that_failed_can_be_mended_and_tried_again(folder):
    (folder / "mended.py").write_text("raise ValueError('not yet')\n")
    with pytest.raises(SourceError, match="not yet"):
        cnncost.analyze("mended.py:build", (1, 8))
    (folder / "mended.py").write_text("from torch import nn\n\n\ndef build():\n    return nn.Linear(8, 3)\n")
    assert cnncost.analyze("mended.py:build", (1, 8)).totals.macs == 24


@pytest.mark.usefixtures("folder")
def test_no_input():
    with pytest.raises(
        InputError,
        match=r"net\.py:Net: no input given, and the source has no default; give one, for example --input 1x3x224x224",
    ):
        cnncost.analyze("net.py:Net")


@pytest.mark.usefixtures("folder")
def test_an_error_of_forward_has_the_specification_in_front():
    with pytest.raises(cnncost.CnncostError) as error:
        cnncost.analyze("net.py:Raises", (1, 8))
    line = textwrap.dedent(NET).splitlines().index('        raise ValueError("in forward")') + 1
    assert str(error.value) == f"net.py:Raises: the model (Raises) at net.py:{line}: ValueError: in forward; it got 1x8"


def test_the_report_may_have_another_name():
    assert cnncost.analyze("torch.nn:ReLU", (1, 8), name="gate").model == "gate"
    assert cnncost.analyze(nn.ReLU(), (1, 8), name="gate").model == "gate"
    assert cnncost.analyze(nn.Sequential(OrderedDict(a=nn.ReLU())), (1, 8)).model == "Sequential"


LAZY = """
def __getattr__(name):
    try:
        import compiled_part_of_a_library  # noqa: F401
    except ImportError as error:
        raise RuntimeError(f"Failed to import {name} (look up to see its traceback)") from error
"""


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        pytest.param(
            "raise OSError('libcudart.so.12: cannot open shared object file')",
            "importing it failed at library_with_parts.py:6: RuntimeError: Failed to import Layer (look up to see its "
            "traceback) (the root cause: OSError: libcudart.so.12: cannot open shared object file)",
            id="a shared object",
        ),
        pytest.param(
            "raise ImportError('undefined symbol: _ZN3c10')",
            "(the root cause: ImportError: undefined symbol: _ZN3c10)",
            id="a symbol",
        ),
        pytest.param(
            "import a_package_that_nobody_has",
            "(the root cause: ModuleNotFoundError: No module named 'a_package_that_nobody_has')",
            id="a package that a package needs",
        ),
    ],
)  # fmt: skip
def test_an_import_that_fails_in_a_library_tells_the_root_cause(broken, words, tmp_path, monkeypatch):
    caught = "OSError" if "OSError" in broken else "ImportError"
    (tmp_path / "library_with_parts.py").write_text(LAZY.replace("except ImportError", f"except {caught}"))
    (tmp_path / "compiled_part_of_a_library.py").write_text(broken)
    (tmp_path / "net_of_library.py").write_text("import library_with_parts; Layer = library_with_parts.Layer\n")
    monkeypatch.chdir(tmp_path)
    for name in ("library_with_parts", "compiled_part_of_a_library"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SourceError) as error:
        cnncost.analyze("net_of_library.py:Layer", "1x2")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
