"""Accuracies that the packages of models publish, as a table to join to a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnncost.budget.compare import Compared
from cnncost.budget.join import Table, Value
from cnncost.errors import InputError
from cnncost.sources.names import published_accuracy
from cnncost.sources.sizes import leaves

PUBLISHED = "published"
"""What `--join` says in place of a file."""
_IMAGES = frozenset({"batch", "height", "width", "depth", "size"})


def table_of(rows: Sequence[Compared], arguments: Mapping[str, Any]) -> Table:
    """A row for each model of a comparison that has a published accuracy on an input of the size that it has here.

    Args:
        rows: the comparison.
        arguments: of all models' factories.

    Raises:
        InputError: there is none.
    """
    found = [(line, row.name, values) for line, row in enumerate(rows, 1) if (values := _stated(row, arguments))]
    if not found:
        raise InputError(
            f"join {PUBLISHED}: no package states an accuracy of these models on these inputs; expected one of "
            "torchvision's, such as torchvision:resnet50, or a CSV file of your own with a column model"
        )
    return Table(PUBLISHED, ("accuracy", "accuracy_of"), tuple(found))


def _stated(row: Compared, arguments: Mapping[str, Any]) -> dict[str, Value]:
    stated = published_accuracy(row.model or row.name, dict(arguments))
    if stated is None or len(row.inputs) != 1 or not {name for name, _ in row.sizes} <= _IMAGES:
        return {}
    accuracy, weights, inputs = stated
    fits = row.inputs[0][0][1:] == leaves(inputs)[0].shape[1:]
    return {"accuracy": accuracy, "accuracy_of": weights} if fits else {}
