"""Forward sees the state around it as the user set it, and leaves the user's objects unchanged."""

import contextvars
import functools
import importlib
import os
import queue
import random
import secrets
import sys
import tempfile
import threading
import uuid
import weakref
from collections import OrderedDict, UserDict, defaultdict, deque
from functools import partial
from operator import is_
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import FloatTensor, nn

import cnncost
from cnncost.frontends.torch import record, recording, surroundings, watch
from tests.oracles.products import Products

EACH = 2 * 8 * 8  # a Linear(8, 8) on 2×8
X = torch.zeros(2, 8)
TRACES = ["static", "real"]


class Does(nn.Module):
    """Two calls at most of one layer, by a function of the module and its input."""

    def __init__(self, does, **held):
        super().__init__()
        self.l, self.does = nn.Linear(8, 8), does
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.does(self, x)


class Takes(Does):
    def forward(self, *args, **kwargs):
        return self.does(self, *args, **kwargs)


def macs(model, inputs=X, **how):
    return cnncost.analyze(model, inputs, **how).totals.macs


# ---- subclasses that forward makes


class Marked(torch.Tensor):
    pass


class Sized(torch.Tensor):
    """Like torch's own biases: its constructor's arguments are read as sizes."""

    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns = rows, columns


MADE = {
    "of a tensor": lambda s, x: s.l(Marked(x)) if type(Marked(x)) is Marked else x,
    "of what an op made": lambda s, x: s.l(Marked(x * 2)),
    "of data": lambda s, x: s.l(x) if Marked([1.0, 2.0]).tolist() == [1.0, 2.0] else s.l(s.l(x)),
    "of nothing": lambda s, x: s.l(x) if Marked().shape == (0,) else s.l(s.l(x)),
    "of sizes": lambda s, x: s.l(x) if (Sized(2, 3).shape, Sized(2, 3).columns) == ((2, 3), 3) else s.l(s.l(x)),
    "of a size": lambda s, x: s.l(x) if Marked(x.shape).shape == x.shape else s.l(s.l(x)),
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", MADE)
def test_forward_makes_tensors_of_subclasses(name, trace):
    real = MADE[name](Does(MADE[name]), X)
    assert real.shape == (2, 8)
    for _ in range(2):
        assert macs(Does(MADE[name]), trace=trace) == EACH
    step = cnncost.analyze(Does(MADE[name]), X, trace=trace, training=True)
    assert step.totals.training_macs == 2 * EACH  # x needs no gradient
    assert type(Marked(X)) is Marked
    assert Marked.__new__ is torch.Tensor.__new__


# ---- settings of the process


def changes_settings(s, x):
    os.environ["CNNCOST_SEEN"] = "1"
    os.environ["CNNCOST_KNOWN"] = "2"
    os.environ.pop("CNNCOST_GONE", None)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.set_default_dtype(torch.float64)
    return s.l(x)


@pytest.mark.parametrize("trace", TRACES)
def test_settings_are_as_they_were(trace, monkeypatch):
    monkeypatch.setenv("CNNCOST_KNOWN", "1")
    monkeypatch.setenv("CNNCOST_GONE", "here")
    before = dict(os.environ)
    for _ in range(3):
        assert macs(Does(changes_settings), trace=trace) == EACH
        assert dict(os.environ) == before
        assert os.getenv("CNNCOST_KNOWN") == "1"
        assert torch.get_float32_matmul_precision() == "highest"
        assert (torch.backends.cudnn.benchmark, torch.get_default_dtype()) == (False, torch.float32)


# ---- devices

ON_A_CPU = {
    "device.type": lambda s, x: x.device.type == "cpu",
    "is_cpu": lambda s, x: x.is_cpu,
    "is_meta": lambda s, x: not x.is_meta,
    "text": lambda s, x: str(x.device) == "cpu",
    "of a weight": lambda s, x: s.l.weight.device == torch.device("cpu"),
    "of a result": lambda s, x: s.l(x).device.type == "cpu",
    "type": lambda s, x: x.type() == "torch.FloatTensor",
    "a type": lambda s, x: isinstance(x, torch.FloatTensor) and isinstance(s.l.weight, FloatTensor),
    "another type": lambda s, x: not isinstance(x, (torch.DoubleTensor, torch.cuda.FloatTensor)),
    "a type of numbers": lambda s, x: isinstance(x.long(), torch.LongTensor) and not isinstance(2, torch.LongTensor),
    "get_device": lambda s, x: x.get_device() == -1,
    "of a new tensor": lambda s, x: torch.zeros(3).device == x.device,
    "moved": lambda s, x: x.cpu().device == x.to("cpu").device == x.device,
    "moved to meta": lambda s, x: x.to("meta").is_meta and x.to("meta").to("meta").is_meta and x.is_cpu,
    "made on meta": lambda s, x: torch.empty(3, device="meta").is_meta and torch.zeros_like(x, device="meta").is_meta,
    "of a storage": lambda s, x: x.untyped_storage().device.type == "cpu",
    "an address": lambda s, x: s.l.weight.data_ptr() not in {x.data_ptr(), s.l.bias.data_ptr()},
    "of a view": lambda s, x: x[1:].data_ptr() == x.data_ptr() + 8 * 4 != x[:1].data_ptr(),
    "a table by device": lambda s, x: {torch.device("cpu"): 1}.get(x.device) == 1 and x.device.index is None,
    "the default": lambda s, x: torch.get_default_device() == x.device,
    "of new tensors": lambda s, x: x.new_zeros(3).device == torch.rand_like(x).device == torch.ones(8).to(x).device,
    "a generator": lambda s, x: torch.Generator(device=x.device).device.type == "cpu",
    "DLPack": lambda s, x: x.__dlpack_device__() == s.l.weight.__dlpack_device__() == (1, 0),
    "a layer made on meta": lambda s, x: on_meta().weight.is_meta and on_meta().weight.data.is_meta and x.is_cpu,
    "a parameter made on meta": lambda s, x: (
        nn.Parameter(torch.empty(2, device="meta")).is_meta and nn.Parameter(torch.empty(2)).is_cpu
    ),
    "a layer made on its device": lambda s, x: nn.Linear(2, 2, device=x.device).weight.device == x.device,
}


def on_meta():
    with torch.device("meta"):
        return nn.Linear(2, 2)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", ON_A_CPU)
def test_tensors_are_on_the_device_that_the_users_are_on(name, grad, trace):
    ask = ON_A_CPU[name]
    model = Does(lambda s, x: x.sum() if ask(s, x) else s.l(s.l(s.l(x))))
    x = torch.zeros(2, 8, requires_grad=grad)
    for _ in range(3):  # fresh, prepared to be kept, kept
        assert macs(model, x, trace=trace) == EACH * (name == "of a result")


def test_a_move_to_where_a_tensor_is_makes_no_copy():
    moves = Does(lambda s, x: s.l(x.to(x.device).cpu().to("cpu", torch.float32)))
    stays = Does(lambda s, x: s.l(x))
    assert [n.name for n in record(moves, X).nodes if n.spec.kind != "layout"] == ["aten.linear"]
    assert cnncost.analyze(moves, X).memory.inference_peak == cnncost.analyze(stays, X).memory.inference_peak


def test_a_model_on_meta_is_on_meta():
    model = Does(lambda s, x: s.l(x) if x.is_meta and s.l.weight.is_meta else s.l(s.l(x)))
    assert macs(model.to("meta"), (2, 8)) == EACH


# ---- autograd


F = torch.autograd.functional


def _hooked(y):
    y.register_hook(lambda gradient: gradient)
    return y


def _saved(s, x):
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(1), t)[1], lambda t: t):
        s.l(x)
    return saved


def _hooked_together(y):
    torch.autograd.graph.register_multi_grad_hook((y,), lambda gradients: None)
    return y


def _without_grad(s, x):
    with torch.no_grad():
        return s.l(s.l(x)) if s.l(x).requires_grad or torch.is_grad_enabled() else x


DIFFERENTIATES = {
    # 2 outputs of 8 have a row of 16 each: the Jacobian is 16 products of 1×8 by 8×8 a row of the batch, and forward
    "jacobian": (lambda s, x: F.jacobian(s.l, x), EACH + 16 * EACH),
    "vjp": (lambda s, x: F.vjp(s.l, x, torch.ones(2, 8))[1], EACH + EACH),
    "jvp by two backwards": (
        lambda s, x: F.jvp(s.l, x, torch.ones(2, 8))[1], 3 * EACH
    ),
    # of a linear function the gradient is the same everywhere: forward, and the gradient
    "hessian of a linear function": (lambda s, x: F.hessian(lambda t: s.l(t).sum(), x), 2 * EACH),
    # each of x's 16 elements has a row: back through the product that made its gradient, and through forward's
    "hessian of a quadratic function": (
        lambda s, x: F.hessian(lambda t: s.l(t).pow(2).sum(), x), (2 + 2 * 16) * EACH
    ),
    # in forward mode there is a column for each of x's 16 elements, and a product by the weight's tangent, zeros
    "jacobian in forward mode": (
        lambda s, x: F.jacobian(s.l, x, vectorize=True, strategy="forward-mode"), (1 + 16 + 1) * EACH
    ),
    "requires_grad of a result": (lambda s, x: s.l(s.l(x)) if s.l(x).requires_grad else x, 3 * EACH),
    "grad_fn": (lambda s, x: s.l(s.l(x)) if s.l(x).grad_fn is not None else x, 3 * EACH),
    "is_leaf": (lambda s, x: x if s.l(x).is_leaf else s.l(x), 2 * EACH),
    "a hook": (lambda s, x: _hooked(s.l(x)), EACH),
    "grad mode": (lambda s, x: s.l(x) if torch.is_grad_enabled() else s.l(s.l(x)), EACH),
    "no_grad inside": (_without_grad, EACH),
    "what is saved": (lambda s, x: s.l(s.l(x)) if _saved(s, x) else x, 3 * EACH),
    "a hook of several": (lambda s, x: _hooked_together(s.l(x)), EACH),
    "torch.func.grad": (lambda s, x: torch.func.grad(lambda t: s.l(t).sum())(x), 2 * EACH),
}  # fmt: skip


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", DIFFERENTIATES)
def test_autograd_is_on_where_a_real_call_has_it_on(name, trace):
    does, expected = DIFFERENTIATES[name]
    model = Does(does)
    assert [macs(model, trace=trace) for _ in range(2)] == [expected] * 2


def square(s):
    return lambda t: (s.l(t) * s.l(t)).sum()


def _dual(s, x):
    with torch.autograd.forward_ad.dual_level():
        return torch.autograd.forward_ad.unpack_dual(
            s.l(torch.autograd.forward_ad.make_dual(x, torch.ones(2, 8)))
        ).tangent


DERIVATIVES = {
    "hessian": lambda s, x: F.hessian(square(s), x),
    "hessian, kept": lambda s, x: F.hessian(square(s), x, create_graph=True),
    "hessian, vectorized": lambda s, x: F.hessian(square(s), x, vectorize=True),
    "hessian of a curve": lambda s, x: F.hessian(lambda t: s.l(t).sin().sum(), x),
    "hessian of two": lambda s, x: F.hessian(lambda a, b: (s.l(a) * b).sum(), (x, x + 1)),
    "hvp": lambda s, x: F.hvp(square(s), x, torch.ones(2, 8))[1],
    "vhp": lambda s, x: F.vhp(square(s), x, torch.ones(2, 8))[1],
    "func.hessian": lambda s, x: torch.func.hessian(square(s))(x),
    "func.jacfwd": lambda s, x: torch.func.jacfwd(s.l)(x),
    "func.jacrev": lambda s, x: torch.func.jacrev(s.l)(x),
    "func.jvp": lambda s, x: torch.func.jvp(lambda t: s.l(t).exp(), (x,), (torch.ones(2, 8),))[1],
    "func.vjp": lambda s, x: torch.func.vjp(s.l, x)[1](torch.ones(2, 8))[0],
    "twice in reverse": lambda s, x: torch.func.jacrev(torch.func.jacrev(square(s)))(x),
    "gradients of each example": lambda s, x: torch.func.vmap(torch.func.grad(square(s)))(x),
    "dual numbers": _dual,
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_are_those_of_a_real_run(name, trace):
    model = Does(DERIVATIVES[name])
    with Products() as products:
        model(torch.ones(2, 8))
    for _ in range(2):
        report = cnncost.analyze(model, X, trace=trace, strict=True)  # every op is known
        assert report.totals.macs == products.total > 0


@pytest.mark.parametrize("trace", TRACES)
def test_an_input_that_wants_a_gradient_does(trace):
    model = Does(lambda s, x: s.l(x) if x.requires_grad and x.is_leaf else s.l(s.l(x)))
    for _ in range(2):
        assert macs(model, torch.zeros(2, 8, requires_grad=True), trace=trace) == EACH


@pytest.mark.parametrize("trace", TRACES)
def test_autograd_is_off_where_the_caller_has_turned_it_off(trace):
    model = Does(lambda s, x: s.l(s.l(x)) if s.l(x).requires_grad else x)
    with torch.no_grad():
        assert macs(model, trace=trace) == EACH


# ---- identity


class Missing:
    """Compared by `is`."""


MISSING = Missing()
CONFIG = SimpleNamespace(width=8, nested={"a": [1]})
KNOWN = weakref.WeakKeyDictionary()
NUMBERED = {}


class Param(nn.Parameter):
    def twice(self):
        return self + self


IDENTITIES = {
    "a mark": (lambda s, x: s.v is MISSING, {"v": MISSING}),
    "a shared configuration": (lambda s, x: s.v is CONFIG and s.v.nested is CONFIG.nested, {"v": CONFIG}),
    "a default": (lambda s, x, mark=MISSING: s.v is mark, {"v": MISSING}),
    "a parameter's class": (lambda s, x: isinstance(s.w, Param) and s.w.twice() is not None,
                            {"w": Param(torch.zeros(3))}),
    "two attributes of one list": (lambda s, x: s.a is s.b, dict(zip("ab", [[torch.zeros(3)]] * 2, strict=True))),
}  # fmt: skip


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", IDENTITIES)
def test_what_is_one_stays_one(name, trace):
    ask, held = IDENTITIES[name]
    model = Does(lambda s, x: s.l(x) if ask(s, x) else s.l(s.l(x)), **held)
    for _ in range(3):
        assert macs(model, trace=trace) == EACH


class Registered(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)
        KNOWN[self] = NUMBERED[self] = 1

    def forward(self, x):
        return self.l(x) if self in KNOWN and NUMBERED[self] == 1 else self.l(self.l(x))


@pytest.mark.parametrize("trace", TRACES)
def test_a_module_is_found_in_tables_around_it(trace):
    model = Registered()
    for _ in range(3):
        assert macs(model, trace=trace) == EACH
    assert [m for m in KNOWN if m is model] == [m for m in NUMBERED if m is model] == [model]
    del NUMBERED[model]


@pytest.mark.parametrize("trace", TRACES)
def test_a_tensor_that_is_given_twice_is_one(trace):
    model = Does(lambda s, x: s.l(x))
    model.forward = lambda a, b: model.l(a) if a is b else model.l(model.l(a))
    report = cnncost.analyze(model, (X, X), trace=trace)
    assert (report.totals.macs, len(report.graph.inputs)) == (EACH, 1)


def _given_twice(kind):
    once = {"list": [X], "table": {"x": X}, "object": SimpleNamespace(x=X)}[kind]
    return once, once


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("kind", ["list", "table", "object"])
def test_what_is_given_twice_is_one(kind, trace):
    model = Takes(lambda s, a, b: s.l(X) if a is b else s.l(s.l(X)))
    for _ in range(2):
        assert macs(model, _given_twice(kind), trace=trace) == EACH


@pytest.mark.parametrize("trace", TRACES)
def test_inputs_that_share_memory_do(trace):
    model = Takes(lambda s, a, b: s.l(a) if a[1:].data_ptr() == b.data_ptr() else s.l(s.l(a)))
    apart = Takes(lambda s, a, b: s.l(a) if a.data_ptr() != b.data_ptr() else s.l(s.l(a)))
    for _ in range(2):
        assert macs(model, (X, X[1:]), trace=trace) == EACH
        assert macs(apart, (X, torch.zeros(2, 8)), trace=trace) == EACH


def test_two_shapes_are_two_tensors():
    shape = (2, 8)
    model = Takes(lambda s, a, b: s.l(a) if a is not b else s.l(s.l(a)))
    assert macs(model, (shape, shape)) == macs(model, ([shape], [shape])[0] * 2) == EACH


# ---- containers and objects


class AttrDict(dict):
    __getattr__ = dict.__getitem__


class FrozenDict(OrderedDict):
    def __init__(self, *args):
        super().__init__(*args)
        self.sealed = True
        for name, value in self.items():
            super().__setattr__(name, value)

    def __setitem__(self, name, value):
        if getattr(self, "sealed", False):
            raise TypeError("it is frozen")
        super().__setitem__(name, value)

    def __setattr__(self, name, value):
        if getattr(self, "sealed", False):
            raise TypeError("it is frozen")
        super().__setattr__(name, value)


class Checked(list):
    def append(self, item):
        raise TypeError("not by this way")


class Slotted:
    __slots__ = ("__private", "seen")

    def __init__(self):
        self.seen, self.__private = None, [1]

    def private(self):
        return self.__private


class Needy:
    def __init__(self, needed):
        self.seen = needed

    def __reduce__(self):
        return Needy, (self.seen,)


CONTAINERS = {
    "a dict with attributes": (AttrDict(times=1), lambda c, x: c.times == 1),
    "a frozen dict": (FrozenDict({"times": 1}), lambda c, x: c.times == 1 and c["times"] == 1),
    "a list that refuses": (Checked([1, 2]), lambda c, x: len(c) == 2),
    "a defaultdict": (defaultdict(list), lambda c, x: c["new"].append(x) is None),
    "a UserDict": (UserDict(a=1), lambda c, x: c.update(b=x) is None),
    "a deque": (deque([1], maxlen=2), lambda c, x: c.append(x) is None),
    "a set": ({1}, lambda c, x: c.add(2) is None),
    "an array": (np.zeros(3), lambda c, x: c.__setitem__(0, 7) is None),
    "slots": (Slotted(), lambda c, x: setattr(c, "seen", x) is None and c.private() == [1]),
    "an object that says how": (Needy(1), lambda c, x: setattr(c, "seen", x) is None),
    "an object with a lock": (SimpleNamespace(lock=threading.Lock(), seen=1),
                              lambda c, x: setattr(c, "seen", x) is None and c.lock.acquire(timeout=1)
                              and c.lock.release() is None),
    "a generator": (random.Random(3), lambda c, x: c.random() < 2),  # noqa: S311  # no secret
}  # fmt: skip


def state(value):
    if isinstance(value, dict):
        return {name: state(item) for name, item in dict.items(value)}, state(list(vars(value).items())) if hasattr(
            value, "__dict__"
        ) else None
    if isinstance(value, (list, tuple, set, deque)):
        return type(value), [state(item) for item in value]
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Slotted):
        return value.seen
    return state(vars(value)) if hasattr(value, "__dict__") and not callable(value) else value


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", CONTAINERS)
def test_forward_has_its_own_of_what_the_model_holds(name, trace):
    held, does = CONTAINERS[name]
    model = Does(lambda s, x: s.l(x) if does(s.held, x) else s.l(s.l(x)), held=held)
    before = state(held)
    for _ in range(3):
        assert macs(model, trace=trace) == EACH
        assert model.held is held
        assert state(held) == before


# ---- functions


def _closure():
    seen = {}

    def keep(module, args, out):
        seen["f"] = out

    return seen, keep


class Keeper:
    def __init__(self):
        self.out = None

    def keep(self, module, args, out):
        self.out = out


def _hook(kind):
    """A hook that keeps a result, how forward finds it, and how to check the user's object."""
    if kind == "closure":
        seen, keep = _closure()
        return keep, seen, lambda s: s.seen["f"], lambda: dict(seen)
    if kind == "lambda":
        seen = {}
        return lambda m, a, out: seen.update(f=out), seen, lambda s: s.seen["f"], lambda: dict(seen)
    if kind == "partial":
        seen = {}
        keep = partial(lambda table, m, a, out: table.update(f=out), seen)
        return keep, seen, lambda s: s.seen["f"], lambda: dict(seen)
    if kind == "method of an object":
        keeper = Keeper()
        return keeper.keep, keeper, lambda s: s.seen.out, lambda: keeper.out
    seen = []
    return (lambda m, a, out, keep=seen.append: keep(out)), seen, lambda s: s.seen[-1], lambda: list(seen)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("kind", ["closure", "lambda", "partial", "method of an object", "method of a list"])
def test_a_hook_writes_to_the_world_of_the_copy(kind, trace):
    hook, seen, find, look = _hook(kind)
    model = Does(lambda s, x: (s.l(x), s.l2(find(s)))[1], l2=nn.Linear(8, 4), seen=seen)
    model.l.register_forward_hook(hook)
    empty = look()
    assert macs(model, trace=trace) == EACH + EACH // 2
    assert look() == empty
    model(torch.zeros(3, 8))  # a real run of another size leaves something
    left = look()
    assert macs(model, trace=trace) == EACH + EACH // 2
    assert str(look()) == str(left)
    assert macs(model, training=True) == EACH + EACH // 2


class Metric(nn.Module):
    """Its method is wrapped in the constructor and rebinds the module's attributes, as in torchmetrics' classes."""

    def __init__(self):
        super().__init__()
        self.count, self.total = 0, torch.zeros(1)
        self.update = self._wrapped(self.update)

    def _wrapped(self, update):
        @functools.wraps(update)
        def wrapped(*args):
            self.count += 1
            return update(*args)

        return wrapped

    def update(self, x):
        self.total = self.total + x.sum()

    def forward(self, x):
        self.update(x)
        return self.total


@pytest.mark.parametrize("trace", TRACES)
def test_a_method_that_is_wrapped_in_the_constructor(trace):
    model = nn.Sequential(nn.Linear(8, 8), Metric())
    total = model[1].total
    assert macs(model, trace=trace) == EACH
    assert (model[1].count, model[1].total is total, total.tolist()) == (0, True, [0.0])


# ---- globals, class attributes, caches

CACHE = {}
LAST = None
LAYERS = nn.ModuleDict({"casts": nn.Linear(8, 8)})


@functools.lru_cache
def table_for(size):
    return torch.ones(size, 8)


class Leaves(nn.Module):
    """Leaves a tensor in every kind of object outside the model."""

    table, calls = {}, 0  # shared, as people write it

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x):
        global LAST  # what is tested
        y = self.l(x) * CACHE.setdefault(len(x), torch.ones(len(x), 8, device=x.device))
        LAST, type(self).calls, type(self).newest = y, type(self).calls + 1, y
        self.table["last"] = y
        LAYERS["casts"].to(torch.float32)
        return y * table_for(len(x))


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_around_a_model_is_put_back(trace, fails):
    global LAST  # to clean up
    weight, model = LAYERS["casts"].weight, Leaves()
    whole = nn.Sequential(model, nn.Linear(5 if fails else 8, 8))
    for _ in range(3):
        if fails:
            with pytest.raises(cnncost.CnncostError):
                macs(whole, trace=trace)
        else:
            assert macs(whole, trace=trace) == 2 * EACH
        assert (CACHE, LAST, Leaves.table, Leaves.calls) == ({}, None, {}, 0)
        assert not hasattr(Leaves, "newest")
        assert table_for.cache_info().currsize == 0
        assert LAYERS["casts"].weight is weight
        assert not weight.is_meta
    try:
        model(torch.ones(2, 8))  # it leaves what the next analysis has to keep
        left = LAST
        macs(model, trace=trace)
        assert LAST is Leaves.newest is Leaves.table["last"] is left
        assert (Leaves.calls, table_for.cache_info().currsize, [t.is_meta for t in CACHE.values()]) == (1, 1, [False])
    finally:
        CACHE.clear()
        Leaves.table.clear()
        table_for.cache_clear()
        LAST, Leaves.calls = None, 0
        del Leaves.newest


@functools.lru_cache(maxsize=1)
def ones_for(shape, device):
    return torch.ones(shape, device=device)


class Ones(nn.Module):
    def forward(self, x):
        return x * ones_for(x.shape, x.device)


@pytest.mark.parametrize("trace", TRACES)
def test_a_full_cache_keeps_no_tensor_without_data(trace):
    """A cache of one entry has one before and after, but a different one."""
    model = nn.Sequential(nn.Linear(8, 8), Ones())
    try:
        for _ in range(2):
            model(torch.zeros(3, 8))
            assert macs(model, trace=trace) == EACH
            assert model(X).sum().isfinite()
            assert not ones_for(X.shape, X.device).is_meta
    finally:
        ones_for.cache_clear()


class Counted:
    times, kept = 0, None


class Kind(type):
    times = 0


class OfKind(metaclass=Kind):
    times = 0


class Single:
    one = None

    def __new__(cls):
        if cls.one is None:
            cls.one = super().__new__(cls)
            cls.one.times = 0
        return cls.one


HERE = threading.local()
VARIABLE = contextvars.ContextVar("variable", default=None)
SEEN = []


def _counts(owner):
    owner.times += 1
    return owner.times


def _once(s, x, seen=SEEN):
    seen.append(x)
    return len(seen)


def _in_class(s, x):
    Counted.kept = s.l(x)
    Counted.times += 1
    return Counted.times


def _by_kind(s, x):
    Kind.times += 1
    OfKind.times += 1
    return Kind.times + OfKind.times - 1


def _single(s, x):
    Single().kept = s.l(x)
    return _counts(Single())


def _here(s, x):
    HERE.times = getattr(HERE, "times", 0) + 1
    HERE.kept = s.l(x)
    return HERE.times


def _variable(s, x):
    times = (VARIABLE.get() or (0, None))[0] + 1
    VARIABLE.set((times, s.l(x)))
    return times


def _own_here(s, x):
    s.held.times = getattr(s.held, "times", 0) + 1
    s.held.kept = s.l(x)
    return s.held.times


def _queue(s, x):
    s.held.put(s.l(x))
    return s.held.qsize()


AROUND = {  # how often each was called, as it says itself
    "a class": (_in_class, None, lambda m: (Counted.times, Counted.kept)),
    "a class's class": (_by_kind, None, lambda m: (Kind.times, OfKind.times)),
    "the only one of a class": (_single, None, lambda m: Single.one),
    "a default": (_once, None, lambda m: list(SEEN)),
    "what threads have of their own": (_here, None, lambda m: dict(vars(HERE))),
    "a variable of the context": (_variable, None, lambda m: VARIABLE.get()),
    "what the model's threads have": (_own_here, threading.local, lambda m: dict(vars(m.held))),
    "a queue": (_queue, queue.Queue, lambda m: (m.held.qsize(), m.held.unfinished_tasks)),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", AROUND)
def test_each_call_is_the_first(name, trace, training):
    does, held, look = AROUND[name]
    model = Does(lambda s, x: s.l(s.l(x)) if does(s, x) == 1 else s.l(x), held=held() if held else None)
    before = look(model)
    more = 0 if does in {_by_kind, _once} else 1
    for _ in range(2):
        assert macs(model, trace=trace, training=training) == (2 + more) * EACH
        assert look(model) == before


class Lazily(OrderedDict):
    """A dict that creates its items lazily; reading it is an error."""

    def __getitem__(self, name):
        raise AssertionError("nobody asked forward for it")

    __iter__ = keys = values = items = __len__ = __getitem__


LAZY = Lazily()
dict.__setitem__(LAZY, "a", 1)


@pytest.mark.parametrize("trace", TRACES)
def test_a_table_that_makes_what_it_is_asked_for(trace):
    model = Does(lambda s, x: s.l(x) if LAZY is not None else x)
    for _ in range(2):
        assert macs(model, trace=trace) == EACH


WRITES = {
    "in place": lambda s: s.l.weight.mul_(2),
    "past autograd": lambda s: s.l.weight.data.clamp_(0),
    "a view": lambda s: s.l.weight[0].zero_(),
    "a bias": lambda s: s.l.bias.copy_(torch.ones(8)),
    "its state": lambda s: s.l.load_state_dict({name: value * 2 for name, value in s.l.state_dict().items()}),
    "by a result": lambda s: torch.mul(s.l.weight, 2, out=s.l.weight),
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", WRITES)
def test_forward_writes_to_weights_of_its_own(name, trace):
    def forward(s, x):
        with torch.no_grad():
            WRITES[name](s)
        return s.l(x)

    model = Does(forward)
    then = [(p, p.detach().clone(), p._version) for p in model.parameters()]
    for _ in range(2):
        assert macs(model, trace=trace) == EACH
        assert all(p is q and torch.equal(p, was) and p._version == version
                   for p, (q, was, version) in zip(model.parameters(), then, strict=True))  # fmt: skip


def test_it_is_said_what_was_put_back():
    notes = cnncost.analyze(Leaves(), X).notes
    assert any("Leaves.table" in note or "CACHE" in note for note in notes)


TAKES = """
import importlib
import torch
from importlib import import_module
from torch import as_tensor, get_autocast_dtype, is_autocast_enabled, is_grad_enabled, tensor
from torch.autograd import grad
from torch.nn.functional import scaled_dot_product_attention as attention

TABLE = torch.tensor([1.0, 2.0, 3.0]).cumsum(0)
AS_IT_IS = torch.empty(2, device="meta").device.type
taken = (import_module, as_tensor, get_autocast_dtype, is_autocast_enabled, is_grad_enabled, tensor, grad, attention)
"""
IMPORTS = {
    "a module": "import PACKAGE.first as found",
    "a name of a module": "from PACKAGE.first import TABLE",
    "a module of a package that is there": "import PACKAGE\nfrom PACKAGE import first",
    "one beside it": "import PACKAGE\nPACKAGE.near()",
    "by name": "import importlib\nimportlib.import_module('PACKAGE.first')",
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("how", IMPORTS)
def test_what_forward_imports_takes_what_is_torchs_own(tmp_path, monkeypatch, how, trace, training):
    name = f"taking_{len(list(sys.modules))}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("def near():\n    from . import first\n")
    (package / "first.py").write_text(TAKES)
    monkeypatch.syspath_prepend(tmp_path)
    code = compile(IMPORTS[how].replace("PACKAGE", name), name, "exec")
    model = Does(lambda s, x: exec(code) or s.l(x))  # noqa: S102  # an import, in several ways
    for _ in range(2):
        assert macs(model, trace=trace, training=training) == EACH
    first = sys.modules.pop(f"{name}.first")
    del sys.modules[name]
    attention = nn.functional.scaled_dot_product_attention
    own = (importlib.import_module, torch.as_tensor, torch.get_autocast_dtype, torch.is_autocast_enabled,
           torch.is_grad_enabled, torch.tensor, torch.autograd.grad, attention)  # fmt: skip
    assert all(map(is_, first.taken, own))
    assert (first.TABLE.tolist(), first.AS_IT_IS) == ([1.0, 3.0, 6.0], "meta")


# ---- chance


def _dropped(draw):
    def forward(s, x):
        for layer in s.layers:
            if draw(s) > 0.5:
                x = layer(x)
        return x

    return Does(forward, layers=nn.ModuleList(nn.Linear(8, 8) for _ in range(10)), own=random.Random(0),  # noqa: S311  # no secret
                numpy=np.random.default_rng(0), torch=torch.Generator(), system=random.SystemRandom())  # fmt: skip


DRAWS = {
    "python": lambda s: random.random(),  # noqa: S311  # no secret
    "numpy": lambda s: np.random.rand(),  # noqa: NPY002  # the global generator, which models use
    "torch": lambda s: torch.rand(()),
    "torch, by item": lambda s: torch.rand(1).item(),
    "bernoulli": lambda s: torch.bernoulli(torch.tensor(0.5)),
    "in place": lambda s: torch.empty(()).uniform_(),
    "a generator of its own": lambda s: s.own.random(),
    "numpy's generator": lambda s: s.numpy.random(),
    "torch's generator": lambda s: torch.rand((), generator=s.torch),
    "as a list": lambda s: torch.rand(2).tolist()[0],
    "as an array": lambda s: torch.rand(2).numpy()[0],
    "by numpy": lambda s: np.asarray(torch.rand(2))[0],
    "as text": lambda s: float(f"{torch.rand(()):.3f}"),
    "a choice": lambda s: torch.multinomial(torch.ones(2), 1).tolist()[0],
    "a permutation": lambda s: torch.randperm(2).tolist()[0],
    "a generator in a global": lambda s: PYTHONS.random(),
    "numpy's in a global": lambda s: NUMPYS.random(),
    "numpy's older one": lambda s: OLDER.rand(),
    "in a table": lambda s: RANDOMS["numpy"].random(),
    "in a class": lambda s: Random.python.random(),
    "made without a seed": lambda s: random.Random().random(),  # noqa: S311  # likewise
    "numpy's without a seed": lambda s: np.random.default_rng().random(),
    "the system's": lambda s: random.SystemRandom().random(),
    "the system's, held": lambda s: s.system.random(),
    "secrets": lambda s: secrets.randbelow(100) / 100,
    "uuid": lambda s: uuid.uuid4().int % 100 / 100,
    "bytes": lambda s: os.urandom(1)[0] / 255,
}
PYTHONS, NUMPYS, OLDER = random.Random(0), np.random.default_rng(0), np.random.RandomState(0)  # noqa: S311  # likewise
RANDOMS = {"numpy": np.random.default_rng(0)}


class Random:
    python = random.Random(0)  # noqa: S311  # likewise


@pytest.mark.parametrize("name", DRAWS)
def test_a_figure_that_chance_decided_is_marked(name):
    model = _dropped(DRAWS[name])
    states = [PYTHONS.getstate(), NUMPYS.bit_generator.state, str(OLDER.get_state()), Random.python.getstate()]
    report = cnncost.analyze(model, X)
    assert "one draw" in report.run_on
    assert "one draw" in cnncost.analyze(model, X, trace="real").run_on
    assert states == [
        PYTHONS.getstate(), NUMPYS.bit_generator.state, str(OLDER.get_state()), Random.python.getstate()
    ]  # fmt: skip
    with pytest.raises(cnncost.CnncostError, match="random numbers"):
        cnncost.analyze(model, X, strict=True)


def test_noise_that_decides_nothing_is_no_mark():
    model = Does(lambda s, x: s.l(nn.functional.dropout(x + torch.randn(2, 8))) * torch.rand(()))
    assert cnncost.analyze(model, X, strict=True).run_on == ""
    assert cnncost.analyze(model, X, trace="real").run_on == "the values given"


def test_names_of_temporary_files_are_no_chance():
    def forward(s, x):
        with tempfile.TemporaryFile():
            return s.l(x)

    assert cnncost.analyze(Does(forward), X, strict=True).run_on == ""


# ---- what can be called, and with what


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 4), nn.Linear(4, 8)

    def encode(self, x):
        return self.encoder(x)

    def forward(self, x):
        return self.decoder(self.encode(x))


@pytest.mark.parametrize("trace", TRACES)
def test_another_method_and_functions_over_modules(trace):
    model, scale = Autoencoder(), 2
    assert macs(model.encode, trace=trace) == 2 * 8 * 4
    assert macs(model.forward, trace=trace) == 2 * (2 * 8 * 4)
    assert macs(lambda x: model.encoder(x) * scale, trace=trace) == 2 * 8 * 4
    assert macs(partial(lambda net, x: net(net(x)), nn.Linear(8, 8)), trace=trace) == 2 * EACH
    assert cnncost.analyze(model.encode, X).model == "Autoencoder.encode"


class Pipeline:
    """A class of no modules that holds some."""

    def __init__(self):
        self.steps, self.runs = [nn.Linear(8, 8), nn.Linear(8, 8)], 0

    def __call__(self, x):
        self.runs += 1
        for step in self.steps:
            x = step(x)
        return x


@pytest.mark.parametrize("trace", TRACES)
def test_an_object_that_can_be_called(trace):
    pipeline = Pipeline()
    report = cnncost.analyze(pipeline, X, trace=trace)
    assert (report.model, report.totals.macs, report.totals.params, pipeline.runs) == ("Pipeline", 2 * EACH, 2 * 72, 0)
    pipeline.steps.clear()
    with pytest.raises(cnncost.CnncostError, match=r"got Pipeline: .*refers to modules"):
        cnncost.analyze(pipeline, X)


class Around:
    def __init__(self):
        self.inner = Pipeline()

    def run(self, x):
        return self.inner(x)


OUTER, TABLE, LAYER = Around(), {"a": [nn.Linear(8, 8), nn.Linear(8, 8)]}, nn.Linear(8, 8)


def _recursive(x, times=2):
    return _recursive(LAYER(x), times - 1) if times else x


def _again():
    inner = Pipeline()

    def again(x, times=1):
        return again(inner(x), times - 1) if times else x

    return again


CALLED = {
    "a method of an object around it": (OUTER.run, 2),
    "a global object": (lambda x: OUTER.run(x) * 1, 2),
    "a global table": (lambda x: TABLE["a"][1](TABLE["a"][0](x)), 2),
    "a function of globals": (lambda x: _recursive(x), 1),  # noqa: PLW0108  # a function that calls another
    "a recursive closure": (_again(), 2),
    "partial in partial": (partial(partial(lambda f, g, x: f(g(x)), nn.Linear(8, 8)), nn.Linear(8, 8)), 2),
    "mapped": (torch.func.vmap(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))), 2),
    "a module as a keyword": (partial(lambda x, *, net, twice=LAYER: net(twice(x)), net=nn.Linear(8, 8)), 2),
}


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", CALLED)
def test_modules_that_a_function_reaches(name, trace):
    function, layers = CALLED[name]
    report = cnncost.analyze(function, X, trace=trace)
    assert (report.totals.macs, report.totals.params) == (2 * EACH, layers * 72)
    assert not any("no parameters" in note for note in report.notes)


def takes(s, x, size=None, *, scale=1):
    assert (size, scale) == ((16, 16), 3)
    return s.l(x)


@pytest.mark.parametrize("trace", TRACES)
def test_numbers_are_numbers_where_that_is_said(trace):
    given = cnncost.arguments((2, 8), cnncost.literal((16, 16)), scale=3)
    assert macs(Takes(takes), given, trace=trace) == EACH
    assert macs(Takes(lambda s, batch: s.l(batch["x"])), ({"x": (2, 8)},), trace=trace) == EACH
    assert macs(nn.Linear(8, 8), UserDict(input=X), trace=trace) == EACH


@pytest.mark.parametrize("trace", TRACES)
def test_how_a_tuple_beside_a_tensor_was_read_is_said(trace):
    report = cnncost.analyze(Takes(lambda s, x, keep: s.l(x[: len(keep)])), (torch.zeros(3, 8), (3, 1)), trace=trace)
    assert report.totals.macs == EACH
    assert any("(3, 1)" in note and "'3x1'" in note for note in report.notes)


@pytest.mark.parametrize("trace", TRACES)
def test_objects_among_the_inputs_are_as_they_were(trace):
    def forward(s, data):
        data.x = s.l(data.x)
        data.log.append(data.x)
        return data.x

    data = SimpleNamespace(x=X, log=[])
    for _ in range(2):
        assert macs(Takes(forward), (data,), trace=trace) == EACH
        assert (data.x is X, data.log) == (True, [])


# ---- values


def test_values_of_floats_are_read_where_nothing_else_helps():
    mask = nn.Transformer.generate_square_subsequent_mask(10)
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, batch_first=True), 1)
    report = cnncost.analyze(net, {"src": torch.zeros(2, 10, 16), "mask": mask})
    assert report.totals.macs == cnncost.analyze(net, (2, 10, 16)).totals.macs
    loss = nn.GaussianNLLLoss()
    step = cnncost.analyze(nn.Linear(8, 8), X, training=True, loss=lambda out: loss(out, X, torch.ones(2, 8)))
    assert next(row.macs for row in step.phases if row.phase == "backward") == EACH


def test_a_branch_by_a_given_float_is_marked():
    report = cnncost.analyze(Does(lambda s, x: s.l(x) if x.sum() > 0 else s.l(s.l(x))), torch.ones(2, 8))
    assert report.totals.macs == EACH
    assert "the values given" in report.run_on


CONDITIONS = {
    "computed": lambda x: torch.where((x > 0).byte(), x, -x),
    "known": lambda x: torch.where(x.new_ones(2, 1, dtype=torch.uint8), x, -x),
    "a method": lambda x: x.where((x > 0).to(torch.uint8), x + 1),
    "beside a number": lambda x: torch.where((x > 0).byte(), x, 0.0),
    "an index": lambda x: x[torch.tensor([1, 1], dtype=torch.uint8)],
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_of_bytes(name, trace, training):
    model = Does(lambda s, x: s.l(CONDITIONS[name](x)))
    for _ in range(2):
        assert macs(model, trace=trace, training=training) == EACH


@pytest.mark.parametrize("trace", TRACES)
def test_types_of_tensors_are_as_they_were(trace):
    before = vars(type(torch.FloatTensor))["__instancecheck__"]
    assert macs(Does(lambda s, x: s.l(x) if isinstance(x, torch.FloatTensor) else x), trace=trace) == EACH
    with pytest.raises(cnncost.CnncostError):
        macs(nn.Linear(5, 5), trace=trace)
    assert vars(type(torch.FloatTensor))["__instancecheck__"] is before
    assert isinstance(torch.empty(2, device="meta"), torch.FloatTensor) is False


# ---- training


@pytest.mark.parametrize("how", ["slices", "sums", "copies", "scatters"])
def test_training_writes_into_tensors_that_forward_made(how):
    def forward(s, x):
        y, out = s.l(x), torch.zeros(x.shape)
        if how == "slices":
            for i in range(len(x)):
                out[i] = y[i]
        elif how == "sums":
            out += y
        elif how == "copies":
            out.copy_(y)
        else:
            out.index_add_(0, torch.arange(len(x)), y)
        return out

    phases = {row.phase: row.macs for row in cnncost.analyze(Does(forward), X, training=True).phases}
    assert (phases["forward"], phases["backward"]) == (EACH, EACH)  # of the weight's gradient: the input needs none


@pytest.mark.parametrize("optimizer", [None, "sgd", "adamw"])
def test_a_training_step_by_a_real_run(optimizer):
    model = Does(lambda s, x: s.l(x[x[:, 0] > 0]))
    x = torch.zeros(9, 8)
    x[::2, 0] = 1  # five rows are kept
    weight = model.l.weight.detach().clone()
    report = cnncost.analyze(model, x, training=True, trace="real", optimizer=optimizer)
    assert [row.macs for row in report.phases][:2] == [5 * 64, 5 * 64]
    assert report.run_on
    assert torch.equal(model.l.weight, weight)
    assert model.l.weight.grad is None


def _loss(criterion, teacher=None):
    if teacher is None:
        return lambda out: criterion(out, torch.ones(2, 8))
    return lambda out: ((out - teacher(X).detach()) ** 2).mean()


def test_a_loss_may_hold_modules():
    for loss in (_loss(nn.MSELoss()), _loss(None, nn.Linear(8, 8)), partial(nn.L1Loss(), X)):
        phases = cnncost.analyze(nn.Linear(8, 8), X, training=True, loss=loss).phases
        assert next(row.macs for row in phases if row.phase == "backward") == EACH


class Held:
    """An object that a model holds."""


def test_what_an_earlier_model_of_the_class_held_is_not_followed(monkeypatch):
    followed = []
    reach_of = recording.reach_of
    monkeypatch.setattr(
        recording, "reach_of", lambda kinds, functions: followed.append([*functions]) or reach_of(kinds, functions)
    )
    holding, plain = nn.Sequential(nn.Linear(8, 8)), nn.Sequential(nn.Linear(8, 8))
    holding.held = Held()
    for model in (holding, plain, plain):
        for training in (False, True):
            cnncost.analyze(model, X, training=training)
    last = followed[-1]
    assert Held in [each for functions in followed for each in functions]
    assert last == []


class Asserts(nn.Module):
    """Its `assert`, which pytest rewrites, names a module that leads to the session and all of its tests."""

    def forward(self, x):
        assert x.shape[0] > 0
        return pytest.approx(x)


def test_what_runs_tests_is_not_followed():
    reach = surroundings.reach_of([Asserts])
    packages = {type(value).__module__.partition(".")[0] for value in watch.Watch(reach).ids.values()}
    packages |= {kind.__module__.partition(".")[0] for kind in reach.classes}
    assert "tests" in packages
    assert not packages & {"pytest", "_pytest", "pluggy"}
