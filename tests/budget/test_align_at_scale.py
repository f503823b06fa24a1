"""Alignment is what its definition says wherever that is affordable, and takes time in proportion to the model."""

import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnncost.budget import in_order, moved
from cnncost.budget.align import align
from cnncost.budget.diff import Diff
from cnncost.budget.snapshot import SUMMED, Part, Snapshot
from tests.oracles import alignment

CLASSES = ("Conv2d", "Linear", "ReLU", "Identity")
CONTAINERS = ("Sequential", "Block", "Attention")


def made(parts):
    return Snapshot("net", (), tuple(parts), False, {name: sum(getattr(p, name) for p in parts) for name in SUMMED})


def linear(path, width):
    wide = (("in", str(width)), ("out", str(width)))
    return Part(path, "Linear", 1, params=width**2, macs=width**2, settings=wide)


def relu(path):
    return Part(path, "ReLU", 1, flops=8)


def grown(draw, path, depth, most):
    """A random subtree."""
    if not depth or draw(st.booleans()):
        class_name, out = draw(st.sampled_from(CLASSES)), draw(st.integers(1, 3))
        params = 0 if class_name in {"ReLU", "Identity"} else 9 * out
        told = (("out", str(out)),) if params else ()
        return [Part(path, class_name, 1, params=params, macs=params * draw(st.sampled_from([1, 1, 2])), settings=told)]
    names = draw(st.permutations(range(most)))[: draw(st.integers(0, most))]
    letters = draw(st.booleans())
    below = [f"{path}.{'abcdefgh'[name] if letters else index}".lstrip(".") for index, name in enumerate(names)]
    parts = [Part(path, draw(st.sampled_from(CONTAINERS)), 1)]
    return parts + [part for each in below for part in grown(draw, each, depth - 1, most)]


@st.composite
def pairs_of_models(draw):
    """A model and one with some of its children, in another order, under other names, beside new ones."""
    most = draw(st.integers(2, 7))
    old = [Part("", "Net", 1), *(p for i in range(draw(st.integers(0, most))) for p in grown(draw, str(i), 2, most))]
    tops = [part.path for part in old if part.path and draw(st.booleans())]
    new = [Part("", "Net", 1)]
    for index in range(draw(st.integers(0, most))):
        if tops and draw(st.booleans()):
            top = draw(st.sampled_from(tops))
            kept = [part for part in old if part.path == top or part.path.startswith(top + ".")]
            new += [part._replace(path=str(index) + part.path[len(top) :]) for part in kept]
        else:
            new += grown(draw, str(index), 2, most)
    return made(old), made(new)


@pytest.mark.parametrize("first", [1, 8])
def test_it_is_the_definition(first, monkeypatch):
    """Also where the search begins with one diagonal, and every other matching has to be ruled out."""
    monkeypatch.setattr(in_order, "_FIRST_MARGIN", first)
    monkeypatch.setattr(in_order, "_WIDENING", 2)

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(pairs_of_models())
    def holds(models):
        old, new = models
        assert align(old, new) == alignment.align(old, new)

    holds()


@pytest.mark.parametrize("seed", range(12))
def test_long_lists_of_siblings_are_the_definition(seed, monkeypatch):
    """A hundred siblings of few kinds or many, after layers were inserted, dropped, changed, or all of them widened."""
    monkeypatch.setattr(in_order, "_FIRST_MARGIN", 1)
    draw = random.Random(seed)  # noqa: S311  # no secret
    kinds = draw.choice([1, 2, 5, 40])
    layers = [linear("", draw.randint(1, kinds)) if draw.random() < 0.6 else relu("") for _ in range(100)]
    changed = list(layers)
    for _ in range(draw.choice([1, 3, 10])):
        place = draw.randint(0, len(changed))
        match draw.choice(["insert", "drop", "widen"]):
            case "insert":
                changed[place:place] = draw.sample(layers, draw.randint(1, 12))
            case "drop":
                del changed[place : place + draw.randint(1, 12)]
            case "widen":
                changed = [linear("", 100 + p.params) if p.params else p for p in changed]
    old, new = ([Part("", "Net", 1), *numbered(each)] for each in (layers, changed))

    assert align(made(old), made(new)) == alignment.align(made(old), made(new))


def numbered(layers):
    return [layer._replace(path=str(i)) for i, layer in enumerate(layers)]


def stacked(count, width):
    """Blocks of five linear layers and as many ReLUs, as networks nest them."""
    parts = [Part("", "Net", 1)]
    for block in range(count // 11):
        inside = numbered([linear("", width(block)), relu("")] * 5)
        parts += [Part(str(block), "Block", 1), *(p._replace(path=f"{block}.{p.path}") for p in inside)]
    return parts


def renamed(parts):
    return [parts[0], *(p._replace(path=f"body{p.path}") for p in parts[1:])]


ROWS = 10_000
FLAT = [linear("", 8), relu("")] * (ROWS // 2)
WIDER = [linear("", 16), relu("")] * (ROWS // 2)
LAST = {str(i): str(i + 1) for i in range(ROWS)}


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        pytest.param(numbered(FLAT), numbered(WIDER), {str(i): str(i) for i in range(ROWS)}, id="all siblings widened"),
        pytest.param(numbered(FLAT), numbered([linear("", 9), *FLAT]), LAST, id="one put in front of all siblings"),
        pytest.param(
            numbered(FLAT),
            numbered([*[linear("", 9)] * (ROWS // 4), *FLAT]),
            {str(i): str(i + ROWS // 4) for i in range(ROWS)},
            id="a quarter as many put in front",
        ),
        pytest.param(
            stacked(ROWS, lambda block: 8)[1:],
            renamed(stacked(ROWS, lambda block: 16))[1:],
            {part.path: f"body{part.path}" for part in stacked(ROWS, lambda block: 8)[1:]},
            id="blocks renamed and widened",
        ),
        pytest.param(
            numbered([linear("", i + 1) for i in range(ROWS)]),
            [p._replace(path=f"x{p.path}") for p in numbered([linear("", ROWS - i) for i in range(ROWS)])],
            {str(i): f"x{ROWS - 1 - i}" for i in range(ROWS)},
            id="unlike layers in the opposite order under other names",
        ),
    ],
)
def test_ten_thousand_changes_take_seconds(old, new, pairs):
    """By the definition, 100 million pairs had to be weighed: that took minutes."""
    old, new = made([Part("", "Net", 1), *old]), made([Part("", "Net", 1), *new])
    start = time.process_time()
    found = Diff(old, new).pairs

    assert found == {"": "", **pairs}
    assert time.process_time() - start < 20


@pytest.mark.long
def test_what_is_left_of_long_lists_is_found():
    """A tenth of 10,000 layers is dropped at random: no layer of another width is taken for one that is left."""
    draw = random.Random(1)  # noqa: S311  # no secret
    layers = [linear("", draw.choice([8, 16, 32])) if i % 2 else relu("") for i in range(ROWS)]
    kept = [layer for layer in layers if draw.random() < 0.9]
    diff = Diff(*(made([Part("", "Net", 1), *numbered(each)]) for each in (layers, kept)))

    assert len(diff.pairs) == len(kept) + 1
    assert {change.kind for change in diff.changes if change.new is None or change.new.path} == {"removed"}


def test_many_unlike_moved_blocks_are_compared_only_so_often(monkeypatch):
    """Renamed blocks of many widths share their ReLUs: beyond the limit of comparisons equal ones are found still."""
    monkeypatch.setattr(moved, "_MAX_COMPARISONS", 50)
    monkeypatch.setattr(in_order, "_MAX_DIFFERENT", 50)
    old = stacked(2200, lambda block: block + 1)
    new = [old[0], *reversed_blocks(renamed(stacked(2200, lambda block: block + 1)))]
    found = align(made(old), made(new))

    assert found == {part.path: f"body{part.path}" if part.path else "" for part in old}


def reversed_blocks(parts):
    blocks = [parts[i : i + 11] for i in range(1, len(parts), 11)]
    return [part for block in reversed(blocks) for part in block]
