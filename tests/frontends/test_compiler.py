"""Torch's compiler and sympy are imported only where needed; their stand-ins return the same answers."""

import json
import subprocess
import sys
from itertools import product

import pytest
import torch
from torch import nn
from torch.fx.experimental import symbolic_shapes

import cnncost
from cnncost.frontends.torch.compat.compilation import _SIZES, stand_in

NET = """
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = F.gelu(self.norm(self.conv(x))) + 1
        x = F.interpolate(x, scale_factor=2, mode="bilinear").mean((2, 3))
        return F.log_softmax(self.fc(x), -1).exp().cumsum(-1)

class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8 * 30 * 30, 4)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
"""
PROGRAM = """
import json, sys
from cnncost.cli import main
statuses = []
for line in json.load(sys.stdin):
    try:
        main(line)
    except SystemExit as exited:
        statuses.append(exited.code)
loaded = [name for name in ("sympy", "torch.fx.experimental.symbolic_shapes", "torch._dynamo") if name in sys.modules]
print(json.dumps([statuses, loaded]), file=sys.stderr)
"""
BUDGET = '[[budget]]\nmodel = "net.py:Net"\ninput = "1x3x32x32"\ntraining_peak = "<= 1GiB"\n'
SIZE = ["--input", "1x3x32x32"]
LINES = [
    (0, ["summarize", "net.py:Net", *SIZE]),
    (0, ["summarize", "net.py:Net", *SIZE, "--trace", "real"]),
    (0, ["memory", "net.py:Net", *SIZE, "--optimizer", "adam"]),
    (0, ["memory", "lenet5"]),
    (0, ["rf", "net.py:Net", *SIZE]),
    (0, ["roofline", "net.py:Net", *SIZE, "--device", "a100"]),
    (0, ["check", "-c", "budgets.toml"]),
    (0, ["compare", "lenet5", "lenet1"]),
    (2, ["summarize", "net.py:Flat", "--input", "1x3x64x64"]),
    (2, ["memory", "net.py:Flat", "--input", "1x4x32x32"]),
    (2, ["rf", "net.py:Flat", "--input", "3x32"]),
]


@pytest.mark.long
def test_commands_do_not_import_the_compiler(tmp_path):
    """In one fresh process, as each would do it for those after it."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "budgets.toml").write_text(BUDGET)
    lines = json.dumps([line for _, line in LINES])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, input=lines, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert json.loads(ran.stderr.splitlines()[-1]) == [[status for status, _ in LINES], []], ran.stderr


TRUTHS, NUMBERS = (True, False), (0, 1, 7)
LISTS = ((), (1,), (2, 3), [2, 3], (2, (3, 4)), (2, (3, 5)))
ARGUMENTS = {
    **{name: [(x,) for x in TRUTHS] for name in ("guard_or_false", "guard_or_true", "statically_known_true")},
    **{name: [(x,) for x in TRUTHS] for name in ("expect_true", "guard_size_oblivious", "guard_bool")},
    **{name: [(x,) for x in NUMBERS] for name in ("guard_int", "guarding_hint_or_throw", "size_hint")},
    **{name: [(x,) for x in NUMBERS] for name in ("is_nested_int", "has_guarding_hint", "has_hint", "_advise_is_size")},
    **{name: [*product(TRUTHS, repeat=1), *product(TRUTHS, repeat=3)] for name in ("sym_and", "sym_or")},
    "sym_eq": [
        *product(NUMBERS, NUMBERS),
        *((a, b) for a, b in product(LISTS, LISTS) if len(a) != 2 != len(b) or a == b),
    ],
    "free_unbacked_symbols": [(torch.ones(2, 3),), (torch.ones(2, 3, device="meta").T,)],
}


@pytest.mark.filterwarnings("ignore:guard_size_oblivious")  # torch will remove it, and calls it itself
@pytest.mark.parametrize("name", sorted(_SIZES))
def test_sizes_are_compared_as_by_torch(name):
    """Torch's own functions are the oracle, of every argument without symbols."""
    assert ARGUMENTS[name]
    torchs = getattr(symbolic_shapes, name, None)
    if torchs is None:
        pytest.skip("this torch has no such function")
    for arguments in ARGUMENTS[name]:
        assert _SIZES[name](*arguments) == torchs(*arguments), arguments


@pytest.mark.parametrize("name", ["guard_or_false", "expect_true", "sym_eq", "guard_int"])
def test_what_torch_rejects_is_rejected(name):
    with pytest.raises((AssertionError, TypeError)):
        _SIZES[name](*["x"] * (2 if name == "sym_eq" else 1))


HERE = {"__name__": "torch._refs"}
IMPORTS = [
    pytest.param("sympy", {"__name__": "torch._prims_common"}, None, None, True, id="promotion"),
    pytest.param("sympy", {"__name__": "my_net"}, None, None, False, id="another importer"),
    pytest.param("sympy", {"__name__": "torch._prims_common"}, {}, None, False, id="a module's own line, which lasts"),
    pytest.param("torch._dynamo", {"__name__": "torch._compile"}, None, None, True, id="to be left alone"),
    pytest.param("torch._dynamo", {"__name__": "my_net"}, None, None, False, id="a model that compiles"),
    pytest.param("torch.fx.experimental.symbolic_shapes", HERE, None, ("sym_eq",), True, id="sizes"),
    pytest.param("torch.fx.experimental.symbolic_shapes", HERE, None, ("sym_eq", "ShapeEnv"), False, id="and symbols"),
    pytest.param("torch.fx.experimental.symbolic_shapes", HERE, None, None, False, id="the whole module"),
    pytest.param(
        "torch.fx.experimental.symbolic_shapes", {"__name__": "torchish"}, None, ("sym_eq",), False, id="like torch's"
    ),
    pytest.param("torch._inductor", HERE, None, None, False, id="the back end"),
    pytest.param("json", HERE, None, None, False, id="any other module"),
    pytest.param("sympy", "torch._prims_common", None, None, False, id="import_module, with a package"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "importer", "namespace", "wanted", "given"), IMPORTS)
def test_only_functions_of_torch_get_a_stand_in(monkeypatch, name, importer, namespace, wanted, given):
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert (stand_in(name, importer, namespace, wanted, 0) is not None) == given


def test_a_module_that_is_loaded_has_no_stand_in():
    assert stand_in(symbolic_shapes.__name__, HERE, None, ("sym_eq",), 0) is None


STEP = """
import gc, sys, torch, cnncost
from torch import nn
model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Softmax(-1))
print(cnncost.analyze(model, "2x4", training=True, optimizer="adam").to_json())
assert "torch._dynamo" not in sys.modules
functions = [each for each in gc.get_objects() if type(each) is type(lambda: 0)]
assert len(functions) > 1000
print(json.dumps([each.__name__ for each in functions if "__dynamo_disable" in vars(each)]))
"""


@pytest.mark.long
def test_figures_are_those_with_it_and_nothing_is_left():
    """In this process it is loaded, in the other it is not."""
    ran = subprocess.run([sys.executable, "-c", "import json\n" + STEP], capture_output=True, text=True, check=True)
    *lines, left = ran.stdout.splitlines()
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Softmax(-1))
    assert symbolic_shapes.__name__ in sys.modules
    assert json.loads("\n".join(lines)) == json.loads(
        cnncost.analyze(model, "2x4", training=True, optimizer="adam").to_json()
    )
    assert left == "[]"


IMPORTING = """
import sys, cnncost
from torch import nn

class Net(nn.Module):
    def __init__(self, line):
        super().__init__()
        self.fc, self.line = nn.Linear(4, 5), line

    def forward(self, x):
        exec(self.line, {{"__name__": "a_model"}})
        return self.fc(x)

for module, line in {lines}:
    before = module in sys.modules
    print(cnncost.analyze(Net(line), "2x4").totals.macs, before, module in sys.modules)
"""
IN_FORWARD = [
    ("sympy", "import sympy; assert sympy.Integer(3) == 3"),
    (symbolic_shapes.__name__, f"from {symbolic_shapes.__name__} import ShapeEnv, sym_eq; assert ShapeEnv.__name__"),
    ("torch._dynamo", "import torch._dynamo as d; assert d.config is not None"),
]


@pytest.mark.long
def test_a_model_that_imports_it_gets_it():
    program = IMPORTING.format(lines=IN_FORWARD)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(2 * 4 * 5), "False", "True"] * 3
