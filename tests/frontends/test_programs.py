"""Programs as people write them: the counts of a real run, and state that is unchanged afterwards."""

import logging
import types
import warnings
from collections import deque

import numpy as np
import pytest
import torch
from frontends import programs
from frontends.programs import PROGRAMS
from oracles.products import Products
from torch import nn

import cnncost


def multiplied(model, arguments):
    with Products() as products, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(*arguments)
    return products.total


def state(value, seen, depth=0):
    """An object's contents, as far as they can be compared: tensors by value, others by class and contents."""
    if isinstance(value, torch.Tensor):
        return str(value.device), tuple(value.shape), value.requires_grad, value.detach().clone().tolist()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (int, float, str, bool, type(None))):
        return value
    if id(value) in seen or depth > 6:
        return type(value).__name__
    seen[id(value)] = value  # held: the id of a copy that is gone would be given to the next object
    if isinstance(value, dict):
        return {str(k): state(v, seen, depth + 1) for k, v in dict.items(value)}
    if isinstance(value, (list, tuple, deque)):
        return [state(v, seen, depth + 1) for v in value]
    held = {} if isinstance(value, (type, types.ModuleType)) else getattr(value, "__dict__", {})
    return type(value).__name__, id(value), state(dict(held), seen, depth + 1)


def everything(model, arguments):
    """Of the model, its inputs, and the programs' globals and classes; log entries remain."""
    seen = {}
    around = {
        name: state(dict(vars(value)) if isinstance(value, type) else value, seen)
        for name, value in vars(programs).items()
        if not name.startswith("_") and not isinstance(value, (types.ModuleType, logging.Handler, logging.Logger))
    }
    return state(model, seen), [state(a, seen) for a in arguments], around


@pytest.mark.parametrize("trace", ["static", "real"])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")  # of torch's, on what is deprecated
def test_programs_as_people_write_them(name, trace):
    model, arguments = PROGRAMS[name]()
    expected = multiplied(model.eval(), arguments)
    model, arguments = PROGRAMS[name]()
    model.eval()
    for _ in range(2):
        before = everything(model, arguments)
        with torch.no_grad():
            report = cnncost.analyze(model, arguments, trace=trace)
        assert report.totals.macs == expected
        assert not report.unknown
        assert everything(model, arguments) == before
    assert multiplied(model, arguments) == expected


def test_the_oracle_counts():
    assert multiplied(nn.Linear(8, 8), (torch.zeros(2, 8),)) == 2 * 8 * 8
