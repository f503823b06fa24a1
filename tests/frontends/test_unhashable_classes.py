"""Classes whose metaclass defines `__eq__` without `__hash__`: Python runs such models, so they are analyzed."""

import threading

import pytest
import torch
from torch import nn

import cnncost
from cnncost.classes import classes_hashable

X = torch.zeros(2, 8)
EACH = 2 * 8 * 8  # a Linear(8, 8) on 2×8


class Compared(type):  # noqa: PLW1641 (that is the case to test)
    def __eq__(cls, other):
        return NotImplemented


class Same(type):  # noqa: PLW1641
    """All of its classes are equal, and equal to everything else."""

    def __eq__(cls, other):
        return True


class Derived(Same):
    """Inherits that it can't be hashed."""


class Linear(nn.Linear, metaclass=Compared):
    pass


class Root(nn.Module, metaclass=Same):
    def __init__(self):
        super().__init__()
        self.l = Linear(8, 8)

    def forward(self, x):
        return self.l(x)


class Other(nn.Module, metaclass=Derived):
    """Equal to `Root`, of another cost."""

    def __init__(self):
        super().__init__()
        self.a, self.b = Root(), Root()

    def forward(self, x):
        return self.b(self.a(x))


class Settings(metaclass=Compared):
    times = 2

    def __init__(self):
        self.more = 1


class Items(list, metaclass=Same):
    pass


class Result(metaclass=Compared):
    def __init__(self, y):
        self.y = y


SETTINGS = Settings()


class Holds(nn.Module):
    def __init__(self, does, **held):
        super().__init__()
        self.l, self.does = nn.Linear(8, 8), does
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.does(self, x)


def by_global(m, x):
    for _ in range(Settings.times + SETTINGS.more):
        x = m.l(x)
    return x


def by_cell(settings):
    return lambda m, x: m.l(x) * settings.times


MODELS = {
    "a layer": (lambda: nn.Sequential(Linear(8, 8)), 1),
    "the model": (Root, 1),
    "modules of classes that are equal": (lambda: nn.Sequential(Root(), Other(), Root()), 4),
    "a container": (lambda: type("Layers", (nn.Sequential,), {})(Linear(8, 8), nn.ReLU(), Root()), 2),
    "a class in forward's globals": (lambda: Holds(by_global), 3),
    "an attribute": (lambda: Holds(lambda m, x: m.l(x) * m.s.times, s=Settings(), kind=Settings), 1),
    "a list's class": (lambda: Holds(lambda m, x: Items([m.l(x) * m.s[0]]), s=Items([1, 2])), 1),
    "a cell": (lambda: Holds(by_cell(Settings())), 1),
    "what a module returns": (
        lambda: Holds(lambda m, x: m.inner(x).y, inner=Holds(lambda m, x: Result(m.l(x)))), 1,
    ),
    "what forward returns": (lambda: Holds(lambda m, x: Result(m.l(x))), 1),
    "a key of a dict by id": (lambda: Holds(lambda m, x: m.l(x), d={id(Settings): Settings}), 1),
}  # fmt: skip


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", MODELS)
def test_such_models_are_analyzed_as_they_run(name, trace):
    make, calls = MODELS[name]
    for _ in range(3):  # later analyses use what the first one has cached
        report = cnncost.analyze(make(), X, trace=trace)
        assert report.totals.macs == calls * EACH
    model = make()
    assert [cnncost.analyze(model, X, trace=trace).totals.macs for _ in range(4)] == 4 * [calls * EACH]


def test_a_training_step_is_analyzed():
    report = cnncost.analyze(Other(), X, training=True, optimizer="sgd")
    assert report.totals.training_macs == 2 * EACH + 2 * EACH + EACH  # backward: weights of both, input of the second


KINDS = [Linear, Root, Other, Settings, Items, Result]


@pytest.mark.parametrize("kind", KINDS)
def test_they_can_not_be_hashed_afterwards(kind):
    cnncost.analyze(Root(), X)
    with pytest.raises(cnncost.CnncostError):
        cnncost.analyze(Root(), torch.zeros(2, 3))
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind)
    assert vars(Compared)["__hash__"] is vars(Same)["__hash__"] is None
    assert "__hash__" not in vars(Derived)


def test_contexts_of_two_threads_overlap():
    """What one thread needs is not taken away when another one is done, and metaclasses made meanwhile are found."""
    opened, leave, found = threading.Event(), threading.Event(), []

    def other():
        with classes_hashable():
            opened.set()
            leave.wait(10)
            found.append(hash(Root))

    thread = threading.Thread(target=other)
    thread.start()
    assert opened.wait(10)
    late = type("Late", (type,), {"__eq__": lambda cls, other: True, "__hash__": None})
    with classes_hashable():
        assert hash(late("A", (), {}))
        assert hash(Root)
    assert hash(Root)  # the other thread's context is open
    leave.set()
    thread.join(10)
    assert found == [object.__hash__(Root)]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Root)
