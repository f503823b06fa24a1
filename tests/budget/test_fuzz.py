"""Whatever a limit, a budget file or a baseline says: it is read as it is meant, or refused in one line."""

import contextlib
import json
import tempfile
from math import inf
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnncost.budget import lock as locks
from cnncost.budget.file import BudgetError, read
from cnncost.budget.limits import parse_limit
from cnncost.budget.quantities import QUANTITIES
from cnncost.budget.snapshot import SUMMED, Part, Snapshot
from cnncost.errors import CnncostError
from cnncost.render.values import tensors

slow_is_fine = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
PIECES = [
    "<=",
    ">=",
    "+",
    "-",
    "−",
    "%",
    "1",
    "4.1",
    "9" * 5000,
    "e",
    "E9",
    "1e99999999",
    "G",
    "GiB",
    "px",
    " ",
    "_",
    "٣",
    "nan",
]


def refusal(read_it):
    """What is said against a file; None if it is taken."""
    try:
        read_it()
    except BudgetError as error:
        return str(error)
    return None


@slow_is_fine
@given(
    st.sampled_from(sorted(QUANTITIES)),
    st.one_of(
        st.text(max_size=12), st.lists(st.sampled_from(PIECES), max_size=5).map("".join), st.floats(), st.integers()
    ),
)
def test_any_limit(name, written):
    with contextlib.suppress(CnncostError):
        limit = parse_limit(written, QUANTITIES[name])

        assert limit.bound(1000) is not None
        assert limit.holds(0, limit.bound(1000)) in {True, False}


@slow_is_fine
@given(st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([
        b"[[budget]]\n", b"[budget]\n", b'model = "a"\n', b"macs = 1\n", b"macs = " + b"9" * 5000 + b"\n",
        b"a.b.c = 1\n", b"modules = { x = { macs = 1 } }\n", b"input = [[1]]\n", b"[" * 500,
        b"budget = 1979-05-27\n", b"name = 1.5\n",
    ]), max_size=6).map(b"".join),
))  # fmt: skip
def test_any_budget_file(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cnncost.toml"
        path.write_bytes(data)
        told = refusal(lambda: read(path))

        assert told is None or told.startswith(str(path))


INPUTS = tensors([((1, 3), "float32"), ((), "int64")])
parts = st.builds(
    Part,
    path=st.just(""),
    class_name=st.text(max_size=5),
    calls=st.integers(0, 3),
    output=st.sampled_from([None, (), (1, 3, 8, 8)]),
    **{name: st.integers(0, 2**70) for name in SUMMED},
    settings=st.dictionaries(
        st.text(max_size=3),
        st.text(max_size=3) | st.sampled_from(["3", "03", "-1", "3×5", "3×", "×", "٣", "1e3"]),
        max_size=2,
    ).map(lambda d: tuple(d.items())),
    unknown=st.booleans(),
)


@st.composite
def snapshots(draw):
    names = draw(
        st.lists(st.text(min_size=1, max_size=4).filter(lambda name: "." not in name), unique=True, max_size=4)
    )
    every = [draw(parts), *(draw(parts)._replace(path=name) for name in names)]
    totals = {name: sum(getattr(part, name) for part in every) for name in SUMMED}
    bounds = draw(st.booleans()), draw(st.booleans())
    return Snapshot(draw(st.text(max_size=4)), INPUTS, tuple(every), bounds[0], totals, unseen=bounds[1])


@slow_is_fine
@given(st.dictionaries(st.text(max_size=5), snapshots(), max_size=3), st.sampled_from([3, inf]))
def test_a_baseline_is_read_as_it_was_written(models, field):
    lock = locks.Lock(
        locks.torch_version(),
        {name: locks.Entry(each, {"receptive_field": {"": field}}) for name, each in models.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock.json"
        locks.write(path, lock)
        found = locks.read(path)

    assert found.models == lock.models
    assert locks.to_text(found) == locks.to_text(lock)


def paths_of(data, path=()):
    yield path
    items = data.items() if isinstance(data, dict) else ()
    for key, value in items:
        yield from paths_of(value, (*path, key))


@pytest.fixture(scope="module")
def text():
    every = (Part("", "Net", 1), Part("a", "Conv2d", 2, (1, 2), params=3, macs=4, settings=(("kernel", "3"),)))
    totals = {name: sum(getattr(part, name) for part in every) for name in SUMMED}
    snapshot = Snapshot("net", INPUTS, every, lower_bound=False, totals=totals)
    return locks.to_text(locks.Lock(locks.torch_version(), {"net": locks.Entry(snapshot, {"activations": {"": 5}})}))


@slow_is_fine
@given(st.data(), st.sampled_from([None, True, -1, 1.5, 10**30, "x", [], {}, {"": {}}, "9" * 3]))
def test_any_damage_to_a_baseline(text, data, value):
    damaged = json.loads(text)
    *above, last = data.draw(st.sampled_from(sorted(p for p in paths_of(damaged) if p)))
    place = damaged
    for key in above:
        place = place[key]
    place[last] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock.json"
        path.write_text(json.dumps(damaged))
        told = refusal(lambda: locks.read(path))

        assert told is None or (told.startswith(str(path)) and "--update" in told)


def test_numbers_too_long_to_be_read(tmp_path):
    path = tmp_path / "lock.json"
    path.write_text('{"schema": ' + "9" * 5000 + "}")
    with pytest.raises(BudgetError, match="a number too long"):
        locks.read(path)
