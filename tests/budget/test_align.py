"""Which module is which, after models were renamed, moved, wrapped, lengthened and shortened."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import cnncost
from cnncost import zoo
from cnncost.budget.align import align
from cnncost.budget.diff import Diff
from cnncost.budget.snapshot import SUMMED, Part, Snapshot, of_report
from cnncost.render.values import tensors


def made(*parts):
    """A snapshot of parts, the model itself first."""
    every = (Part("", "Net", 1), *parts)
    return Snapshot(
        "net",
        tensors([((1, 3), "float32")]),
        every,
        False,
        {name: sum(getattr(p, name) for p in every) for name in SUMMED},
    )


def conv(path, out=8, kernel=3, **more):
    figures = {"params": out * kernel**2, "macs": 100 * out * kernel**2} | more
    return Part(path, "Conv2d", 1, settings=(("kernel", str(kernel)), ("out", str(out))), **figures)


def relu(path):
    return Part(path, "ReLU", 1, flops=8)


def block(path, *parts):
    return (Part(path, "Block", 1), *(part._replace(path=f"{path}.{part.path}") for part in parts))


def stack(path, *parts):
    return (Part(path, "Sequential", 1), *(part._replace(path=f"{path}.{part.path}") for part in parts))


CASES = [
    pytest.param(
        made(*stack("features", conv("0"), relu("1"), conv("2", 16))),
        made(*stack("layer1", *block("0", conv("a", 32), relu("b")), *block("1", conv("a", 64), relu("b")))),
        {},
        id="two Sequentials of other names and other things are not one",
    ),
    pytest.param(
        made(*stack("stage1", *block("0", conv("a")), *block("1", conv("a")))),
        made(*stack("layer1", *block("0", conv("a", 16)), *block("1", conv("a", 16)))),
        {"stage1": "layer1", "stage1.0": "layer1.0", "stage1.0.a": "layer1.0.a", "stage1.1": "layer1.1",
         "stage1.1.a": "layer1.1.a"},
        id="a Sequential of the same things is renamed and widened",
    ),
    pytest.param(
        made(conv("0"), relu("1"), conv("2", 16)),
        made(conv("0"), Part("1", "BatchNorm2d", 1, params=16), relu("2"), conv("3", 16)),
        {"0": "0", "1": "2", "2": "3"},
        id="a layer is put into a Sequential and the numbers shift",
    ),
    pytest.param(
        made(conv("0"), conv("1", 16), conv("2", 32)),
        made(conv("0"), conv("1", 32)),
        {"0": "0", "2": "1"},
        id="a layer is taken out",
    ),
    pytest.param(
        made(conv("a"), conv("b", 16)),
        made(conv("a"), conv("c", 16)),
        {"a": "a", "b": "c"},
        id="a layer is renamed",
    ),
    pytest.param(
        made(conv("a"), conv("b", 16)),
        made(conv("x"), conv("y", 16, kernel=5)),
        {"a": "x", "b": "y"},
        id="all are renamed and one is changed",
    ),
    pytest.param(
        made(conv("a"), conv("b")),
        made(conv("a", kernel=5), conv("b")),
        {"a": "a", "b": "b"},
        id="a kernel is changed",
    ),
    pytest.param(
        made(relu("act"), conv("a")),
        made(Part("act", "GELU", 1, flops=20), conv("a")),
        {"act": "act", "a": "a"},
        id="an activation is another one",
    ),
    pytest.param(
        made(conv("head", 10), *block("body", conv("0"), conv("1", 16))),
        made(*block("body", conv("0"), conv("1", 16), conv("head", 10))),
        {"head": "body.head", "body": "body", "body.0": "body.0", "body.1": "body.1"},
        id="a layer is moved into a block",
    ),
    pytest.param(
        made(*block("one", conv("0", 4), conv("1", 16)), *block("two", conv("0", 32), conv("1", 64))),
        made(*block("two", conv("0", 32), conv("1", 64)), *block("one", conv("0", 4), conv("1", 16))),
        {"one": "one", "one.0": "one.0", "one.1": "one.1", "two": "two", "two.0": "two.0", "two.1": "two.1"},
        id="two blocks change places",
    ),
    pytest.param(
        made(conv("a"), conv("b", 16)),
        made(*block("backbone", conv("a"), conv("b", 16))),
        {"a": "backbone.a", "b": "backbone.b"},
        id="everything is wrapped",
    ),
    pytest.param(
        made(*block("layer3", *block("0", conv("c1"), conv("c2")), *block("1", conv("c1", 4), conv("c2", 5)))),
        made(*block("stage3", *block("0", conv("c1"), conv("c2")), *block("1", conv("c1", 4), conv("c2", 5, 1)))),
        {
            "layer3": "stage3", "layer3.0": "stage3.0", "layer3.0.c1": "stage3.0.c1", "layer3.0.c2": "stage3.0.c2",
            "layer3.1": "stage3.1", "layer3.1.c1": "stage3.1.c1", "layer3.1.c2": "stage3.1.c2",
        },
        id="a stage is renamed and one kernel in it is changed",
    ),
    pytest.param(made(relu("a")), made(*block("x", relu("b"))), {}, id="of a lone ReLU nobody can tell where it went"),
    pytest.param(made(conv("a")), made(), {}, id="all is gone"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "pairs"), CASES)
def test_modules_are_found_again(old, new, pairs):
    assert align(old, new) == {"": "", **pairs}


@pytest.mark.parametrize(("old", "new", "pairs"), CASES)
def test_and_back_again(old, new, pairs):
    assert align(new, old) == {"": "", **{b: a for a, b in pairs.items()}}


class Wrapper(nn.Module):
    def __init__(self, head=False):
        super().__init__()
        self.backbone = zoo.build("resnet18")
        self.head = nn.Linear(1000, 7) if head else nn.Identity()

    def forward(self, x):
        return self.head(self.backbone(x))


def test_a_model_in_a_wrapper_is_found_there_and_back():
    bare = of_report(cnncost.analyze("resnet18"))
    wrapped = of_report(cnncost.analyze(Wrapper(head=True).eval(), "1x3x224x224"))
    there, back = Diff(bare, wrapped), Diff(wrapped, bare)

    assert there.pairs == {part.path: f"backbone.{part.path}".rstrip(".") for part in bare.parts}
    assert back.pairs == {new: old for old, new in there.pairs.items()}
    assert there.moved == (("", "backbone"),)
    assert [(c.kind, c.place) for c in there.changes] == [("added", ""), ("added", "head")]
    assert [(c.kind, c.place) for c in back.changes] == [("removed", ""), ("removed", "head")]
    assert there.attribution("params")[:3] == ("head", 7007, 7007)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "vgg16"])
def test_a_model_is_itself(name):
    snapshot = of_report(cnncost.analyze(name))

    assert align(snapshot, snapshot) == {part.path: part.path for part in snapshot.parts}
    assert Diff(snapshot, snapshot).changes == ()


@st.composite
def models(draw):
    """Models of some blocks of some layers."""
    parts = []
    for index in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(["layer", "stage", ""])) + str(index)
        layers = [
            draw(
                st.sampled_from([conv(str(i), draw(st.integers(1, 4)), draw(st.sampled_from([1, 3, 5]))), relu(str(i))])
            )
            for i in range(draw(st.integers(0, 4)))
        ]
        parts += block(name, *layers)
    return made(*parts)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), models())
def test_changes_add_up_to_the_difference(old, new):
    """Whatever the alignment: what is attributed is the whole difference, and nothing is paired twice."""
    diff = Diff(old, new)

    for name in SUMMED:
        assert sum(change.delta(name) for change in diff.changes) == diff.delta(name)
    assert len(set(diff.pairs.values())) == len(diff.pairs)
    assert diff.pairs.keys() <= old.by_path.keys()
    assert set(diff.pairs.values()) <= new.by_path.keys()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_unlike_layers_are_found_under_any_name(seed, count):
    """Each layer has other settings, and all are renamed."""
    old = made(*(conv(f"a{i}", out=i + 1) for i in range(count)))
    names = random.Random(seed).sample(range(100), count)  # noqa: S311  # no secret
    new = made(*(conv(f"b{name}", out=i + 1) for i, name in enumerate(names)))

    assert align(old, new) == {"": "", **{f"a{i}": f"b{name}" for i, name in enumerate(names)}}
