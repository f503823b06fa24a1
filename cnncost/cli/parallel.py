"""The options that split a model over devices, combined into one value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cnncost.sources.parallel import Parallel
    from cnncost.sources.resolve import Resolved
    from cnncost.sources.settings import Settings

_OPTIONS = (
    click.option(
        "--parallel", "parallel", metavar="AXES",
        help="Analyze one rank of a split model: fsdp=8,tp=2, with dp=2 for replicas. Inputs are those of the rank.",
    ),
    click.option("--rank", type=int, metavar="R", help="With --parallel: the rank to analyze; by default 0."),
    click.option(
        "--mixed", metavar="DTYPE",
        help="With fsdp: gather and compute in bf16 or fp16, and reduce gradients in float32.",
    ),
    click.option(
        "--blocks", metavar="PATTERN",
        help="With fsdp: modules to shard separately, such as 'layers.*'; by default the repeated blocks.",
    ),
    click.option(
        "--plan", multiple=True, metavar="MODULE=STYLE",
        help="With tp: how to split modules, such as 'layers.*.up=colwise'; by default the tp_plan of Transformers.",
    ),
)  # fmt: skip


def parallel_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that split a model; the command receives one argument `parallel`, None without `--parallel`."""

    @wraps(command)
    def run(*, parallel: str | None, rank: int | None, mixed: str | None, blocks: str | None, plan: tuple[str, ...],
            **arguments: Any) -> Any:  # fmt: skip
        dependent = {"--rank": rank, "--mixed": mixed, "--blocks": blocks, "--plan": plan or None}
        if parallel is None:
            for name, value in dependent.items():
                if value is not None:
                    raise click.UsageError(f"{name} is for a split model; also give --parallel, such as fsdp=8,tp=2")
            return command(**arguments, parallel=None)
        from cnncost.sources.parallel import parse

        parsed = parse(parallel, rank=rank or 0, mixed=mixed, plan=plan, blocks=blocks)
        return command(**arguments, parallel=parsed)

    decorated: Callable[..., Any] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@contextmanager
def built_model(model: str, settings: Settings, parallel: Parallel | None) -> Iterator[Resolved]:
    """Yield the model to analyze: the whole model, or one rank's part of it."""
    if parallel is None:
        yield settings.resolve(model)
    else:
        with parallel.resolved(model, settings) as part:
            yield part
