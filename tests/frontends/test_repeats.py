"""A recording that would repeat the last one is not run; one that would not is.

Each row changes one thing after which forward gives another Graph, or may do so, in a model whose last Graph was given
without a run. The oracle is a recording with all caches empty.
"""

import enum
import functools
import math
import os
import random
import sys
import time
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import cnncost
from cnncost import opaque
from cnncost.frontends.torch import record, recording, skeleton_cache
from cnncost.session import SESSION

X = (2, 4, 8, 8)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    SESSION.clear()
    monkeypatch.setattr(SESSION, "repeats", True)
    monkeypatch.setattr(opaque, "_RULES", {})  # what other tests have registered
    monkeypatch.delattr(nn.Module, "smart_apply", raising=False)  # which Transformers adds, and is the program's
    yield
    SESSION.clear()


def test_it_is_off_by_default(runs, monkeypatch):
    monkeypatch.setattr(SESSION, "repeats", type(SESSION)().repeats)
    model = Plain()
    for _ in range(5):
        record(model, X)
    assert len(runs) == 5


@pytest.fixture
def runs(monkeypatch):
    """Counts the forwards that are run."""
    count = []
    original = recording._Run.__call__
    monkeypatch.setattr(recording._Run, "__call__", lambda self, made: (count.append(1), original(self, made))[1])
    return count


def fresh(model, inputs, **how):
    """A recording with all caches empty; their contents are restored afterwards."""
    held, met = skeleton_cache._CACHE.copy(), skeleton_cache._SEEN.copy()
    SESSION.clear()
    graph = record(model, inputs, **how)
    skeleton_cache._CACHE.update(held)
    skeleton_cache._SEEN.update(met)
    return graph


# ---- what is not run

FLAG = False
TIMES = [1, 2]
TABLE = {"relu": F.relu, "gelu": F.gelu}
STEP = math.pi


class Sort(enum.Enum):
    SMALL = 1
    LARGE = 2


class Settings:
    wide = False


class Scaled:
    """Not a module; created in each forward."""

    by = 2

    def __init__(self, x):
        self.x = x

    def done(self):
        return self.x * self.by if self.by > 1 else self.x


def helper(x, more=False):
    return torch.sigmoid(x) if FLAG or more else torch.tanh(x)


class Plain(nn.Module):
    """Forward refers to functions, numbers, and the model's own attributes."""

    flag = False

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.sizes = [1, 2]
        self.which = "relu"
        self.make = nn.Identity
        self.norm = functools.partial(F.normalize, dim=1)
        self.register_buffer("times", torch.tensor(2))

    def forward(self, x):
        x = self.act(self.bn(self.conv(x)))
        for _ in range(int(self.times)):
            x = helper(x)
        if self.flag or STEP < 3:
            x = torch.cat([x, x])
        for _ in range(self.sizes[0]):
            x = F.relu(x) if self.which == "relu" else F.gelu(x)
        return self.norm(self.last(self.make()(x)))

    def last(self, x):
        return x.mean((2, 3))


class Derived(Plain):
    def last(self, x):
        return super().last(x) * 1


class Rich(nn.Module):
    """Forward uses objects, tables and computed names from outside, and creates objects of a class."""

    flag = False

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.act = nn.ReLU()
        self.sizes = [1, 2]
        self.which = "relu"
        self.make = nn.Identity
        self.norm = functools.partial(F.normalize, dim=1)
        self.register_buffer("times", torch.tensor(2))

    def forward(self, x):
        x = self.act(self.bn(self.conv(x)))
        for _ in range(int(self.times)):
            x = helper(x)
        if Settings.wide or type(self).flag or STEP < 3:
            x = torch.cat([x, x])
        for _ in range(TIMES[0] + self.sizes[0]):
            x = TABLE[self.which](x)
        x = Scaled(self.make()(x)).done()
        if getattr(self, "extra", False):
            x = x + 1
        return self.norm(self.last(x))

    def last(self, x):
        return x.mean((2, 3)) if Sort.SMALL.value == 1 else x


class RichDerived(Rich):
    def last(self, x):
        return super().last(x) * 1


class Outer(nn.Module):
    """Keyword arguments, containers, several inputs."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(Derived(), nn.Linear(4, 3))

    def forward(self, x, *, times=1, others=None):
        x = self.inner(x)
        for other in others or []:
            x = x + other.sum() if other is not None else x
        return [x] * times


FITTING = {
    "plain": (Plain, X),
    "derived": (Derived, X),
    "outer": (Outer, {"x": X, "times": 2}),
    "several": (Outer, {"x": torch.empty(X, device="meta"), "others": [torch.empty(2, device="meta"), None]}),
    "sequence": (lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True), (2, 5, 8)),
    "recurrent": (lambda: nn.LSTM(8, 4, 2), (5, 2, 8)),
}


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("train", [True, False, None])
def test_an_equal_recording_is_not_run(name, device, train, runs):
    build, inputs = FITTING[name]
    with torch.device(device):
        model = build()
    for each in model.modules():
        if hasattr(each, "times"):
            each.times = torch.tensor(2)  # forward reads it
    graphs = [record(model, inputs, train=train) for _ in range(5)]
    assert len(runs) == 2, next(iter(skeleton_cache._CACHE.values())).repeats.why_not
    assert all(graph is graphs[1] for graph in graphs[2:])
    assert graphs[1] == graphs[0] == fresh(model, inputs, train=train)


# ---- what is run again: a model that was not run the last time, and a change


def _replaced(monkeypatch, owner, name):
    """A function of torch with another one in it, of which it takes the name."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def other(*args, **kwargs):
        return original(*args, **kwargs) * 2

    monkeypatch.setattr(owner, name, other)


def _code(monkeypatch):
    def other(self, x):
        return x.sum((2, 3))

    monkeypatch.setattr(Plain.last, "__code__", other.__code__)


def _shadow(monkeypatch):
    monkeypatch.setattr(Derived, "flag", True, raising=False)


def _values(model):
    model.times.data.fill_(3)


def _shared(model):
    model.act.scale = model.bn.weight


CHANGES = {
    "a global": lambda patch, _: patch.setitem(globals(), "FLAG", True),
    "a global number": lambda patch, _: patch.setitem(globals(), "STEP", 2.5),
    "a helper": lambda patch, _: patch.setitem(globals(), "helper", torch.exp),
    "a helper's default": lambda patch, _: patch.setattr(helper, "__defaults__", (True,)),
    "a method": lambda patch, _: patch.setattr(Plain, "last", lambda self, x: x.amax((2, 3))),
    "a method's code": lambda patch, _: _code(patch),
    "an attribute of the class": lambda patch, _: patch.setattr(Plain, "flag", True),
    "an attribute of the class that hides its base's": lambda patch, _: _shadow(patch),
    "a base class": lambda patch, _: setattr(Derived, "__bases__", (_Other,)),
    "a function of torch": lambda patch, _: patch.setattr(torch, "tanh", torch.sigmoid),
    "a function of torch.nn": lambda patch, _: _replaced(patch, functional, "batch_norm"),
    "a function that torch.nn calls": lambda patch, _: _replaced(patch, torch.nn.functional, "relu"),
    "a method of a class of torch": lambda patch, _: _replaced(patch, nn.ReLU, "forward"),
    "a method of tensors": lambda patch, _: _replaced(patch, torch.Tensor, "mean"),
    "a method of all modules": lambda patch, _: _replaced(patch, nn.Module, "__call__"),
    "an attribute of a module": lambda patch, model: setattr(model, "which", "gelu"),
    "a list of a module": lambda patch, model: model.sizes.append(model.sizes.pop(0)),
    "a class in an attribute": lambda patch, model: setattr(model, "make", nn.Tanh),
    "a partial in an attribute": lambda patch, model: setattr(model, "norm", functools.partial(F.softmax, dim=1)),
    "forward of one object": lambda patch, model: setattr(model.act, "forward", torch.tanh),
    "a submodule": lambda patch, model: setattr(model, "act", nn.GELU()),
    "a weight": lambda patch, model: setattr(model.conv, "bias", None),
    "a weight's dtype": lambda patch, model: model.double(),
    "a buffer's value": lambda patch, model: _values(model),
    "a buffer's value, by numpy": lambda patch, model: model.times.numpy().fill(1),
    "the mode": lambda patch, model: model.bn.train(not model.bn.training),
    "a hook": lambda patch, model: model.act.register_forward_hook(lambda _, __, y: y * 2),
    "the class of a module": lambda patch, model: setattr(model.act, "__class__", nn.Tanh),
}


RICH = {
    "a global deleted and made again": lambda patch, _: patch.setitem(globals(), "TIMES", [1, 2, 3]),
    "a list in a global": lambda patch, _: patch.setattr(sys.modules[__name__], "TIMES", [7, *TIMES[1:]]),
    "an item of a list": lambda patch, _: TIMES.insert(0, 5),
    "an item of a table": lambda patch, _: patch.setitem(TABLE, "relu", torch.tanh),
    "an attribute of a class by name": lambda patch, _: patch.setattr(Settings, "wide", True),
    "an attribute asked for by name": lambda patch, _: patch.setattr(Rich, "extra", True, raising=False),
    "an attribute of a class of objects": lambda patch, _: patch.setattr(Scaled, "by", 1),
    "an enum's member": lambda patch, _: patch.setitem(globals(), "Sort", SimpleNamespace(SMALL=Sort.LARGE)),
}
"""Changes of what is not followed: forward runs each time."""


class _Other(nn.Module):
    flag = True
    __init__, forward = Plain.__init__, Plain.forward

    def last(self, x):
        return x.amin((2, 3))


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(what, runs, monkeypatch):
    model = Derived() if what != "a method's code" else Plain()
    if what == "a weight's dtype":
        model = model.eval()
    before = [record(model, X) for _ in range(4)]
    assert len(runs) == 2, "else nothing is shown"
    try:
        CHANGES[what](monkeypatch, model)
        after, expected = record(model, X if what != "a weight's dtype" else torch.empty(X).double()), None
        assert len(runs) > 2
        expected = fresh(model, X if what != "a weight's dtype" else torch.empty(X).double())
        assert after == expected
    finally:
        Derived.__bases__ = (Plain,)
    assert after != before[0], "a change that changes nothing shows nothing"


@pytest.mark.parametrize("what", RICH)
def test_a_change_of_what_is_not_followed_is_seen(what, runs, monkeypatch):
    model, times = RichDerived(), TIMES.copy()
    before = [record(model, X) for _ in range(4)]
    assert len(runs) == 4
    try:
        RICH[what](monkeypatch, model)
        after = record(model, X)
        assert after == fresh(model, X)
    finally:
        TIMES[:] = times
    assert (after == before[0]) == (what == "a global deleted and made again")


# ---- settings, modes and hooks


@contextmanager
def _set(setter, value, before):
    setter(value)
    try:
        yield
    finally:
        setter(before)


class _Doubles(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return torch.cat([result, result]) if func is torch.sigmoid else result


class _Passes(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@contextmanager
def _global_hook():
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, y: y * 2)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _rule():
    with cnncost.custom_rules({nn.ReLU: lambda module, x: cnncost.custom(x, cnncost.macs("N", 7))}):
        yield


@contextmanager
def _variable():
    os.environ["CNNCOST_TEST_OF_REPEATS"] = "1"
    try:
        yield
    finally:
        del os.environ["CNNCOST_TEST_OF_REPEATS"]


SURROUNDINGS = {
    "default dtype": lambda: _set(torch.set_default_dtype, torch.float64, torch.float32),
    "default device": lambda: torch.device("meta"),
    "flash attention": lambda: _set(torch.backends.cuda.enable_flash_sdp, False, True),
    "deterministic algorithms": lambda: _set(torch.use_deterministic_algorithms, True, False),
    "matmul precision": lambda: _set(torch.set_float32_matmul_precision, "high", "highest"),
    "grad mode": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "a function mode": _Doubles,
    "a dispatch mode": _Passes,
    "a hook of all modules": _global_hook,
    "a rule": _rule,
    "an environment variable": _variable,
    "mkldnn": lambda: torch.backends.mkldnn.flags(enabled=False),
}


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return torch.sigmoid(self.act(self.linear(x)))


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("what", SURROUNDINGS)
def test_settings_are_seen(what, runs):
    model = Around()
    before = [record(model, X) for _ in range(4)]
    assert len(runs) == 2
    with SURROUNDINGS[what]():
        after = record(model, X)
        assert len(runs) > 2
        assert after == fresh(model, X)
    count = len(runs)
    assert record(model, X) == before[0]
    assert record(model, X) == before[0]
    assert len(runs) <= count + 2


# ---- inputs


class Reads(nn.Module):
    def forward(self, x, y=None, lengths=None, scale=1):
        if y is not None:
            x = x + y if y.data_ptr() != x.data_ptr() else x * 2
        if lengths is not None:
            x = x[: int(lengths.max())]
        return x.flatten() * scale if x.is_contiguous() else x.exp()


def _meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def _twice():
    x = _meta(4, 8)
    return {"x": x, "y": x}


INPUTS = {
    "shape": (lambda: _meta(4, 6),),
    "dtype": (lambda: _meta(4, 8, dtype=torch.float16),),
    "strides": (lambda: _meta(8, 4).t(),),
    "part of a larger storage": (lambda: _meta(8, 8)[:4],),
    "requires grad": (lambda: _meta(4, 8).requires_grad_(),),
    "another argument": (lambda: {"x": _meta(4, 8), "y": _meta(4, 8)},),
    "the same tensor twice": (_twice,),
    "values": (lambda: {"x": _meta(4, 8), "lengths": torch.tensor([1, 3])},),
    "other values": (lambda: {"x": _meta(4, 8), "lengths": torch.tensor([1, 2])},),
    "a number": (lambda: {"x": _meta(4, 8), "scale": 2},),
    "a number of another type": (lambda: {"x": _meta(4, 8), "scale": 1.0},),
    "a boolean": (lambda: {"x": _meta(4, 8), "scale": True},),
    "real data": (lambda: torch.randn(4, 8),),
    "a text": (lambda: "4x8",),
    "a list of tensors": (lambda: [[_meta(4, 8)]],),
}


@pytest.mark.parametrize("what", [name for name in INPUTS if name != "a list of tensors"])
def test_inputs_are_seen(what, runs):
    """Next to a single input, and next to each other."""
    model = Reads()
    before = [record(model, _meta(4, 8)) for _ in range(4)]
    assert len(runs) == 2
    for _ in range(3):
        assert record(model, INPUTS[what][0]()) == fresh(model, INPUTS[what][0]())
        assert record(model, _meta(4, 8)) == before[0]


def test_values_of_inputs_are_seen(runs):
    model, lengths = Reads(), torch.tensor([1, 3])
    given = {"x": _meta(4, 8), "lengths": lengths}
    for _ in range(4):
        record(model, given)
    count = len(runs)
    assert record(model, given).values[-1].shape == (24,)
    assert len(runs) == count, "equal values are no reason to run"
    lengths[1] = 2
    assert record(model, given).values[-1].shape == (16,)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.ones(600, 600, dtype=torch.bool).tril())

    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x, attn_mask=self.mask)


def test_a_mask_that_is_too_large_to_compare_is_read_each_time():
    """Its values are in the Graph, whatever its size."""
    model = Masked()
    for _ in range(4):
        before = record(model, (1, 1, 600, 8))
    model.mask.data.fill_(True)
    after = record(model, (1, 1, 600, 8))
    assert after.masks != before.masks
    assert after == fresh(model, (1, 1, 600, 8))


# ---- what is run each time: code whose answers can't be foreseen


class _Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)


class Clock(_Base):
    def forward(self, x):
        return self.linear(x) if time.time() > 0 else x


class Chance(_Base):
    def forward(self, x):
        return self.linear(x) if random.random() < 2 else x  # noqa: S311  # no secret


class Environment(_Base):
    def forward(self, x):
        return self.linear(x) if os.environ.get("HOME") else x


CONFIG = SimpleNamespace(deep=1)


class ObjectInGlobal(_Base):
    def forward(self, x):
        for _ in range(CONFIG.deep):
            x = self.linear(x)
        return x


class Imports(_Base):
    def forward(self, x):
        import math

        return self.linear(x) * math.pi


class ByName(_Base):
    def forward(self, x):
        return getattr(F, "re" + "lu")(self.linear(x))


class Vars(_Base):
    def forward(self, x):
        return self.linear(x) if vars(self) else x


class Dict(_Base):
    def forward(self, x):
        return self.linear(x) if self.__dict__ else x


class Code(_Base):
    def forward(self, x):
        return eval("self.linear(x)")  # noqa: S307  # what is tested


class Globals(_Base):
    def forward(self, x):
        return self.linear(x) if globals()["FLAG"] is False else x


class Identity(_Base):
    def forward(self, x):
        return self.linear(x) if id(self) else x


class Opened(_Base):
    def forward(self, x):
        with open(__file__) as file:  # noqa: PTH123  # what is tested
            return self.linear(x) * len(file.readline())


class Modules(_Base):
    def forward(self, x):
        return self.linear(x) if sys.modules["torch"] else x


class Sets(_Base):
    def forward(self, x):
        global FLAG  # noqa: PLW0603  # what is tested
        FLAG = False
        return self.linear(x)


class Held(_Base):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(deep=1)

    def forward(self, x):
        return self.linear(x) if self.config.deep else x


def _counting():
    count = []

    def hook(x):
        count.append(1)
        return x if len(count) < 2 else torch.relu(x)

    return hook


COUNTING = _counting()


class Closure(_Base):
    def forward(self, x):
        return COUNTING(self.linear(x))


@functools.lru_cache
def _cached(n):
    return n + FLAG


class Cached(_Base):
    def forward(self, x):
        return self.linear(x) * _cached(2)


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args)


class Odd(metaclass=Meta):
    def __init__(self, x):
        self.x = x


class Metaclass(_Base):
    def forward(self, x):
        return Odd(self.linear(x)).x


class Attribute(_Base):
    def forward(self, x):
        helper.count = 1
        try:
            return self.linear(x)
        finally:
            del helper.count


class Descriptor:
    def __get__(self, owner, kind=None):
        return FLAG


class Described(_Base):
    odd = Descriptor()

    def forward(self, x):
        return x if self.odd else self.linear(x)


class Operators(_Base):
    def forward(self, x):
        return torch.ops.aten.relu(self.linear(x))


class ModuleAsValue(_Base):
    def forward(self, x):
        library = functional
        return library.relu(self.linear(x))


OUTSIDE = torch.tensor(2)


class TensorInGlobal(_Base):
    def forward(self, x):
        for _ in range(int(OUTSIDE)):
            x = self.linear(x)
        return x


STREAM = iter(range(1000))


class Stream(_Base):
    def forward(self, x):
        return self.linear(x) if next(STREAM) < 900 else x


UNSEEN = [
    Clock, Chance, Environment, ObjectInGlobal, Imports, ByName, Vars, Dict, Code, Globals, Identity, Opened, Modules,
    Sets, Held, Cached, Metaclass, Closure, Described, Operators, ModuleAsValue, TensorInGlobal, Stream,
]  # fmt: skip


@pytest.mark.parametrize("kind", UNSEEN, ids=lambda kind: kind.__name__)
def test_code_whose_answers_can_not_be_foreseen_is_run(kind, runs):
    model = kind()
    graphs = [record(model, (2, 8)) for _ in range(5)]
    assert len(runs) >= 5
    assert all(graph == graphs[0] for graph in graphs)


def test_what_is_put_back_is_no_reason_to_run(runs):
    """Forward writes to objects outside the model; each recording starts with the same state."""
    model = Attribute()
    graphs = [record(model, (2, 8)) for _ in range(5)]
    assert len(runs) == 2
    assert all(graph == graphs[0] for graph in graphs)
    assert graphs[0] == fresh(model, (2, 8))


def test_what_a_closure_holds_is_seen():
    model, (cell,) = Closure(), COUNTING.__closure__
    before = [record(model, (2, 8)) for _ in range(4)][-1]
    cell.cell_contents.append(1)
    try:
        after = record(model, (2, 8))
        assert len(after.nodes) == len(before.nodes) + 1
        assert after == fresh(model, (2, 8))
    finally:
        cell.cell_contents.clear()


def test_what_forward_reads_through_them_is_seen(monkeypatch):
    for kind, change in (
        (ObjectInGlobal, lambda: monkeypatch.setattr(CONFIG, "deep", 3)),
        (Described, lambda: monkeypatch.setitem(globals(), "FLAG", True)),
        (TensorInGlobal, lambda: OUTSIDE.fill_(3)),
        (Clock, lambda: monkeypatch.setattr(time, "time", lambda: -1)),
    ):
        model = kind()
        before = [record(model, (2, 8)) for _ in range(4)][-1]
        change()
        after = record(model, (2, 8))
        assert after != before
        assert after == fresh(model, (2, 8))
        monkeypatch.undo()
    OUTSIDE.fill_(2)


def test_what_changes_each_time_is_not_compared_for_ever(runs, monkeypatch):
    model = Plain()
    for i in range(12):
        monkeypatch.setitem(globals(), "STEP", 3.0 + i)
        assert record(model, X) == fresh(model, X)
    (cached,) = skeleton_cache._CACHE.values()
    assert cached.repeats.why_not


def test_a_file_of_another_module_is_followed(runs):
    """What is reached through a module object, function by function."""
    library, inner = ModuleType("library"), ModuleType("library.inner")
    exec("FLAG = False\ndef run(x):\n    return x.exp() if FLAG else x", vars(inner))  # noqa: S102  # a file's code
    library.inner = inner
    space = {"library": library, "nn": nn, "__name__": "net"}
    exec(  # noqa: S102  # as above
        "class Net(nn.Module):\n    def forward(self, x):\n        return library.inner.run(x) * 2", space
    )
    model = space["Net"]()
    before = [record(model, (2, 8)) for _ in range(4)]
    assert len(runs) == 2
    inner.FLAG = True
    after = record(model, (2, 8))
    assert after != before[0]
    assert after == fresh(model, (2, 8))
