"""Analyzes one model at all combinations of the sizes that are given for each variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from cnncost.errors import InputError
from cnncost.laws.samples import Sampler
from cnncost.laws.variables import VariableRequest, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnncost.report.model import Report
    from cnncost.sources.resolve import Resolved, Trace

MOST = 256
"""Maximum number of points for one model. More are probably a mistake."""


class AtSizes(NamedTuple):
    """A Report, and the sizes at which the model was analyzed, by variable."""

    sizes: dict[str, int]
    report: Report


def parse_lists(vary: str | Iterable[str] | Mapping[str, Any]) -> list[VariableRequest]:
    """Parse variables, each with a list of sizes: `size=160,224,288`, `batch=8..64:8`.

    Raises:
        InputError: as for `parse`, or a variable has no sizes, a range no step, or there are too many points.
    """
    requests = parse_unlimited_lists(vary)
    points = prod(len(each.values) for each in requests)
    if points > MOST:
        raise InputError(f"vary: {points:,} combinations of sizes; expected at most {MOST}")
    return requests


def parse_unlimited_lists(vary: str | Iterable[str] | Mapping[str, Any]) -> list[VariableRequest]:
    """Parse like `parse_lists`, but without a limit on the number of points. Raises InputError."""
    return [_with_list(each) for each in parse(vary)]


def _with_list(request: VariableRequest) -> VariableRequest:
    """Return a request with its range expanded to a list of sizes."""
    if request.values:
        return request
    name = request.name
    if request.low is None or request.high is None or request.step is None:
        missing = "a step" if request.low is not None else "its sizes"
        low, high = request.low or 160, request.high or 288  # an example for the message
        step = max(1, (high - low) // 2)
        raise InputError(f"vary {name}: expected {missing}, such as {name}={low}..{high}:{step} or {name}={low},{high}")
    return request._replace(
        values=tuple(range(request.low, request.high + 1, request.step)), low=None, high=None, step=None
    )


def at_sizes(
    model: Any, inputs: Any, requests: list[VariableRequest], *, model_args: Mapping[str, Any] | None = None,
    trace: Trace = "static", autocast: Any = None, prepare: Callable[[Resolved], Resolved] | None = None,
) -> Iterator[AtSizes]:  # fmt: skip
    """Yield a Report for each combination of sizes, the last variable changing fastest.

    Args:
        model: as for `analyze`.
        inputs: as for `analyze`; variables override some of their sizes.
        requests: the variables and their sizes, as returned by `parse_lists`.
        model_args: as for `analyze`.
        trace: as for `analyze`.
        autocast: as for `analyze`.
        prepare: called with each newly built model and its inputs (a `Resolved`); returns the one to analyze, for
            example with another batch size or dtype.

    Raises:
        CnncostError: `model` is a Graph or a saved report, a name in `requests` is unknown, or `analyze` fails at a
            point.
    """
    sampler = Sampler(model, inputs, model_args, requests, trace, False, autocast, prepare)
    names = [each.name for each in requests]
    for point in product(*(each.values for each in requests)):
        yield AtSizes(dict(zip(names, point, strict=True)), sampler.report(point))
