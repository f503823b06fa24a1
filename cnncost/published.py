"""Accuracies that model packages publish, as a table to join to a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnncost.budget.compare import Compared
from cnncost.budget.join import Table, Value
from cnncost.errors import InputError
from cnncost.sources.names import IMAGE_SIZES, published_accuracy
from cnncost.sources.sizes import leaves

PUBLISHED = "published"
"""Value of `--join` that means these accuracies instead of a CSV file."""


def table_of(rows: Sequence[Compared], arguments: Mapping[str, Any]) -> Table:
    """Return a row for each model whose package states an accuracy at the input size of this comparison.

    Args:
        rows: the comparison.
        arguments: keyword arguments of all models' factories.

    Raises:
        InputError: no package states an accuracy of any of these models on these inputs.
    """
    accuracies = [(line, row.name, values) for line, row in enumerate(rows, 1) if (values := _stated(row, arguments))]
    if not accuracies:
        raise InputError(
            f"join {PUBLISHED}: no package states an accuracy of these models on these inputs; expected a model "
            "of torchvision, such as torchvision:resnet50, or your own CSV file with a column model"
        )
    return Table(PUBLISHED, ("accuracy", "accuracy_of"), tuple(accuracies))


def _stated(row: Compared, arguments: Mapping[str, Any]) -> dict[str, Value]:
    """Return the columns of a row's published accuracy; empty if there is none for its inputs."""
    stated = published_accuracy(row.model or row.name, dict(arguments))
    if stated is None or len(row.inputs) != 1 or not {name for name, _ in row.sizes} <= IMAGE_SIZES:
        return {}
    accuracy, weights, inputs = stated
    (shape, _), published_shape = row.inputs[0], leaves(inputs)[0].shape
    same_size = shape[1:] == published_shape[1:]  # at any batch
    return {"accuracy": accuracy, "accuracy_of": weights} if same_size else {}
