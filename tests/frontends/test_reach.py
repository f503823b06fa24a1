"""Forward's code is found wherever it lies, in tables, objects, text, imports, and what it changes is put back."""

import array
import functools
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

import cnncost

TRACES = ["static", "real"]
EACH = 2 * 8 * 8  # a Linear(8, 8), or a product by an 8×8 matrix, on 2×8
X = torch.zeros(2, 8)

HEAD = """
import collections, contextlib, dataclasses, enum, functools, importlib, operator, random, sys
import torch
from torch import nn

COUNT, STATE, LOG = 0, {"n": 0}, []
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
"""
PROGRAMS = {  # code, body of forward, which sets `times` to 2 in a first call
    "a function in a table": (
        "def bump(): STATE['n'] += 1\nTABLE = {'bump': bump}", "TABLE['bump'](); times = STATE['n'] + 1",
    ),
    "lambdas in a list": (
        "DO = [lambda: LOG.append(1), lambda: STATE.update(n=len(LOG))]",
        "[do() for do in DO]; times = STATE['n'] + 1",
    ),
    "a cached property": (
        "class H:\n    @functools.cached_property\n    def k(self): STATE['n'] += 1; return STATE['n'] + 1",
        "times = H().k",
    ),
    "functions by type": (
        "@functools.singledispatch\ndef do(v): pass\n@do.register\ndef _(v: int): LOG.append(v)",
        "do(1); times = len(LOG) + 1",
    ),
    "an object that wraps a function": (
        "class C:\n    def __init__(self, f): self.n = 1\n    def __call__(self): self.n += 1\n@C\ndef f(): pass",
        "f(); times = f.n",
    ),
    "a context manager": (
        "@contextlib.contextmanager\ndef ctx(): STATE['n'] += 1; yield STATE['n']; LOG.append(1)",
        "\n        with ctx() as n: pass\n        times = n + len(LOG)",
    ),
    "an operator": (
        "class V:\n    seen = []\n    def __add__(self, other): V.seen.append(other); return len(V.seen) + 1\nK = V()",
        "times = K + 1",
    ),
    "a descriptor": (
        "class D:\n    def __get__(self, o, kind=None): LOG.append(o); return len(LOG) + 1\nclass H: k = D()\nh = H()",
        "times = h.k",
    ),
    "after a class is made": (
        "class Base:\n    subs = []\n    def __init_subclass__(cls): Base.subs.append(cls)",
        "\n        class Sub(Base): pass\n        times = len(Base.subs) + 1",
    ),
    "a dataclass that counts": (
        "@dataclasses.dataclass\nclass C:\n    a: int\n    def __post_init__(self): STATE['n'] += self.a",
        "C(1); times = STATE['n'] + 1",
    ),
    "globals()": ("", "globals()['COUNT'] += 1; globals().setdefault('NEW', []).append(1); times = COUNT + len(NEW)"),
    "setattr of a module": ("ME = sys.modules[__name__]", "setattr(ME, 'COUNT', COUNT + 1); times = COUNT + 1"),
    "a module by name": ("", "sys.modules[type(self).__module__].COUNT += 1; times = COUNT + 1"),
    "an attribute of a module": ("", "settings.step += 1; settings.sizes[x.shape] = x; times = settings.step + 1"),
    "an import in forward": ("", "import cnncost_settings as s; s.step += 1; times = s.step + 1"),
    "an import by text": ("", "s = importlib.import_module('cnncost_settings'); s.step += 1; times = s.step + 1"),
    "a method of a class": ("class K:\n    def of(self): return 2\nk = K()", "times = k.of(); K.of = lambda self: 1"),
    "bytes": ("B = bytearray(1)", "B[0] += 1; times = B[0] + 1"),
    "an array": ("import array\nA = array.array('i', [0])", "A[0] += 1; times = A[0] + 1"),
    "a generator of the system's": ("R = random.SystemRandom()", "LOG.append(R); times = len(LOG) + 1"),
    "a class in a closure": (
        "def make():\n    class H: n = 1\n    def up(): H.n += 1; return H.n\n    return up\nup = make()",
        "times = up()",
    ),
}  # fmt: skip


def module(name, source):
    made = ModuleType(name)
    exec(source, made.__dict__)  # noqa: S102  # a module of its own for each test
    return made


def look(*spaces):
    """What the modules hold, by value, and the attributes of their classes."""
    plain = (int, dict, list, bytearray, array.array)
    found = []
    for space in spaces:
        for name, value in vars(space).items():
            if isinstance(value, plain) and not name.startswith("__"):
                found.append((name, repr(value)))
            if isinstance(value, type):
                found += [(name, k, repr(v) if isinstance(v, plain) else id(v)) for k, v in vars(value).items()]
    return found


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_what_code_around_a_model_changes_is_put_back(name, trace, monkeypatch):
    code, body = PROGRAMS[name]
    settings = module("cnncost_settings", "step, sizes = 0, {}")
    monkeypatch.setitem(sys.modules, "cnncost_settings", settings)
    program = ModuleType("cnncost_program")
    program.settings = settings
    monkeypatch.setitem(sys.modules, "cnncost_program", program)
    last = "\n        for _ in range(times): x = self.l(x)\n        return x"
    exec(f"{HEAD}\n{code}\n{NET}        {body}{last}", program.__dict__)  # noqa: S102  # likewise
    model = program.Net()
    before = look(program, settings)
    for _ in range(3):
        assert cnncost.analyze(model, X, trace=trace).totals.macs == 2 * EACH
        assert look(program, settings) == before


HELPERS = """
import collections, dataclasses, enum

COUNT, SEEN = 0, {}

def bump(x=None):
    global COUNT
    COUNT += 1
    SEEN["x"] = x
    return COUNT

class Plain:
    bump = lambda self, x: bump(x)
class Slots:
    __slots__ = ("n",)
    bump = lambda self, x: bump(x)
class Table(dict):
    bump = lambda self, x: bump(x)
class Items(list):
    bump = lambda self, x: bump(x)
class Copied:
    bump = lambda self, x: bump(x)
    def __deepcopy__(self, memo): return Copied()
@dataclasses.dataclass(frozen=True)
class Data:
    a: int = 1
    bump = lambda self, x: bump(x)
class Named(collections.namedtuple("Named", "a")):
    bump = lambda self, x: bump(x)
class Choice(enum.Enum):
    A = 1
    def bump(self, x): return bump(x)
class Static:
    bump = staticmethod(bump)
"""
HELD = {
    "an object": lambda m: m.Plain(),
    "with slots": lambda m: m.Slots(),
    "a dict": lambda m: m.Table(),
    "a list": lambda m: m.Items(),
    "copied its own way": lambda m: m.Copied(),
    "a dataclass": lambda m: m.Data(),
    "a named tuple": lambda m: m.Named(1),
    "an enum's member": lambda m: m.Choice.A,
    "a class": lambda m: m.Static,
    "a module": lambda m: m,
    "of a class made here": lambda m: type("K", (m.Plain,), {})(),
    "a function in a namespace": lambda m: SimpleNamespace(bump=m.bump),
    "a closure": lambda m: SimpleNamespace(bump=lambda x: m.bump(x) + 0),
    "a cached function": lambda m: SimpleNamespace(bump=functools.lru_cache(lambda x: m.bump())),
}


class Holder(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.l, self.held = nn.Linear(8, 8), held

    def forward(self, x):
        for _ in range(self.held[0]["it"].bump(x) + 1):
            x = self.l(x)
        return x


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", HELD)
def test_a_helper_that_the_model_was_given(name, trace):
    """Its class is named nowhere in the model's code, and its globals are those of another module."""
    helpers = module("cnncost_helpers", HELPERS)
    model = Holder([{"it": HELD[name](helpers)}])
    for _ in range(3):
        assert cnncost.analyze(model, X, trace=trace).totals.macs == 2 * EACH
        assert (helpers.COUNT, helpers.SEEN) == (0, {})


@pytest.mark.parametrize("trace", TRACES)
def test_a_hook_for_all_modules_meets_the_model_that_it_closes_over(trace):
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    seen = []

    def doubles(module, args, out):
        if module is net[0]:
            seen.append(out)
            return net[1](out)
        return None

    handle = nn.modules.module.register_module_forward_hook(doubles)
    try:
        for _ in range(3):
            assert cnncost.analyze(net, X, trace=trace).totals.macs == 3 * EACH
            assert seen == []
        net(X)
        assert len(seen) == 1
    finally:
        handle.remove()
    assert cnncost.analyze(net, X, trace=trace).totals.macs == 2 * EACH


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("warm", [False, True])
def test_a_cache_of_what_weights_give(warm, trace):
    layer = nn.Linear(8, 8)

    @functools.lru_cache
    def squared(k):
        return layer.weight @ layer.weight * k

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.l, self.squared = layer, squared

        def forward(self, x):
            return self.l(x) @ self.squared(1) @ self.squared(1)

    net = Net()
    if warm:
        net(X)
    for i in range(2):
        found = 0 if warm and i == 0 else 8**3  # what a warm cache gives is not computed
        assert cnncost.analyze(net, X, trace=trace).totals.macs == 3 * EACH + found
        assert not squared(1).is_meta
        squared.cache_clear()


# ---- optimizers that forward steps


class Lookahead(torch.optim.Optimizer):
    """An optimizer around another: neither its attributes nor its lists are among what optimizers pickle."""

    def __init__(self, parameters):
        parameters = list(parameters)
        super().__init__(parameters, {"lr": 0.1})
        self.inner, self.steps = torch.optim.SGD(parameters, 0.1, momentum=0.9), 0

    def step(self):
        self.steps += 1
        self.inner.step()


class Steps(nn.Module):
    def __init__(self, optimizer):
        super().__init__()
        self.l = nn.Linear(8, 8)
        self.optimizer = optimizer(self.l.parameters())

    def forward(self, x):
        def closure():
            self.optimizer.zero_grad()
            loss = self.l(x).square().sum()
            loss.backward()
            return loss

        closure()
        return self.optimizer.step(closure) if isinstance(self.optimizer, torch.optim.LBFGS) else self.optimizer.step()


@pytest.mark.parametrize(
    ("optimizer", "macs", "traces"),
    [
        pytest.param(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), 2 * EACH, TRACES, id="SGD"),
        pytest.param(Lookahead, 2 * EACH, TRACES, id="around another"),
        pytest.param(  # two evaluations, and a product of the gradient and the direction
            lambda p: torch.optim.LBFGS(p, max_iter=1),
            2 * 2 * EACH + 8 * 8 + 8,
            ["real"],
            id="LBFGS, which reads its loss",
        ),
    ],
)
def test_an_optimizer_that_forward_steps_is_a_copy(optimizer, macs, traces):
    model, x = Steps(optimizer), torch.ones(2, 8)
    weight = model.l.weight.detach().clone()
    for trace in traces:
        for _ in range(2):
            assert cnncost.analyze(model, x, trace=trace).totals.macs == macs
    assert torch.equal(model.l.weight, weight)
    assert model.l.weight.grad is None
    assert not model.optimizer.state
    assert getattr(model.optimizer, "steps", 0) == 0


@pytest.mark.parametrize("trace", TRACES)
def test_text_of_a_value(trace):
    class Tells(Holder):
        def forward(self, x):
            for _ in range(int(f"{torch.tensor(2.0):.0f}")):
                x = self.l(x)
            self.told = f"{x.sum()}"
            return x

    assert cnncost.analyze(Tells(None), X, trace=trace).totals.macs == 2 * EACH


def test_text_of_a_value_that_is_not_known():
    class Tells(Holder):
        def forward(self, x):
            x = self.l(x)
            self.told = f"{x.sum():.2f}"
            return x

    with pytest.raises(cnncost.CnncostError, match="reads the values"):
        cnncost.analyze(Tells(None), X)
    assert cnncost.analyze(Tells(None), X, trace="auto").totals.macs == EACH


# ---- code that is exchanged between two analyses

CHANGING = """
import torch
from torch import nn

CALLBACKS, TABLE, act, STATE = [], {"act": torch.relu}, torch.relu, {"n": 0}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        for call in CALLBACKS:
            call()
        return TABLE["act"](act(self.l(x)))
"""
EXCHANGES = {
    "a callback": lambda m, f: m.CALLBACKS.append(f),
    "a function in a table": lambda m, f: m.TABLE.update(act=f),
    "a global function": lambda m, f: setattr(m, "act", f),
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", EXCHANGES)
def test_code_that_takes_the_place_of_other_code_is_followed(name, trace, monkeypatch):
    program = module("cnncost_program", CHANGING)
    monkeypatch.setitem(sys.modules, "cnncost_program", program)
    other = module("cnncost_other", "calls = []\ndef f(x=None):\n    calls.append(1)\n    return x")
    model = program.Net()
    for _ in range(3):
        assert cnncost.analyze(model, X, trace=trace).totals.macs == EACH
    EXCHANGES[name](program, other.f)
    for each in (model, model, program.Net()):
        assert cnncost.analyze(each, X, trace=trace).totals.macs == EACH
        assert other.calls == []
