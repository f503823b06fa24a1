"""Earlier analyses in a process change no figure: samples of 200 ops in two orders, whole Graphs compared."""

from itertools import islice

import pytest
import torch

from cnncost.errors import CnncostError
from cnncost.frontends.torch import record
from tests.conformance import torch_tables_cases as tables

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of its samples

OPS = 200


def samples():
    """A sample of each of 200 ops, drawn with a fixed seed; their order is that of torch's table."""
    torch.manual_seed(0)
    entries = tables.entries("float32")
    found = []
    for place in torch.randperm(len(entries)).tolist():
        cases = list(islice(entries[place].cases(), 1 + place % 3))
        if cases and len(found) < OPS:
            found.append((entries[place].name, cases[-1]))
    return sorted(found, key=lambda each: each[0])


def recorded(case):
    """The Graph, or the error message instead. The process's memo is used and never cleared."""
    model, args, kwargs = case.make()
    assert not kwargs
    torch.manual_seed(0)
    try:
        return record(model, args)
    except CnncostError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.long
def test_graphs_do_not_depend_on_what_was_analyzed_before():
    cases = samples()
    assert len({name for name, _ in cases}) == OPS
    forth = {name: recorded(case) for name, case in cases}
    back = {name: recorded(case) for name, case in reversed(cases)}
    again = {name: recorded(case) for name, case in cases[1::3]}
    assert [name for name in forth if forth[name] != back[name]] == []
    assert [name for name in again if forth[name] != again[name]] == []
    refused = [name for name, found in forth.items() if isinstance(found, str)]
    assert len(refused) < OPS // 20, refused


@pytest.mark.parametrize("first", [0, 1, 2])
def test_what_is_made_of_numbers_and_what_of_literals_is_told_apart(first):
    """`linspace` after a literal of its shape, which is another kind of storage: each order gives the same bytes."""
    functions = [
        lambda x: x + torch.linspace(0, 1, 5), lambda x: x + torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]),
        lambda x: x + torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).view(5),
    ]  # fmt: skip
    order = functions[first:] + functions[:first]
    forth = {id(f): record(tables.Do(f), (5,)) for f in order}
    back = {id(f): record(tables.Do(f), (5,)) for f in reversed(order)}
    assert forth == back
