"""The options of commands that run models, combined into one value, and the Report of a model run with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnncost.cli.options import input_option, model_args_option, parsed_model_args

if TYPE_CHECKING:
    from cnncost.report.model import Report
    from cnncost.sources.settings import Settings

_TRACES = ("auto", "static", "real")


def _read_json(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    """Return the option's JSON: the value itself, or the text of a file or of standard input; empty without the option.

    An empty file is returned as `" "`, so that it is an error instead of being taken for a missing option.
    """
    if value is None or value.lstrip()[:1] in {"{", "["}:
        return value or ""
    from cnncost.errors import InputError

    try:
        if value == "-":
            return (sys.stdin.buffer.read().decode("utf-8-sig") if sys.stdin is not None else "") or " "
        return Path(value).read_text(encoding="utf-8-sig") or " "
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InputError(
            f"--inputs-json {value}: can't be read: {reason}; expected a file, - for standard input, or the JSON itself"
        ) from None


json_option = click.option(
    "--inputs-json", metavar="JSON", callback=_read_json,
    help="All arguments of forward, instead of --input: a list, or an object of keyword arguments, with tensors as "
    '{"shape": [1, 3, 224, 224], "dtype": "float32"}; or a file that contains it, or - for standard input.',
)  # fmt: skip
batch_option = click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="Batch size: the first axis of each input."
)
dtype_option = click.option(
    "--dtype", metavar="NAME", help="dtype of parameters and inputs: float32, bfloat16, float16, float64."
)
trace_option = click.option(
    "--trace", type=click.Choice(_TRACES),
    help="static: run forward without data. real: run it on data, for models that read computed values. auto, the "
    "default: static, or real if that fails.",
)  # fmt: skip
autocast_option = click.option(
    "--autocast", metavar="DTYPE",
    help="Run forward and loss under torch.autocast: bf16, fp16, or, with CUDA's op lists, cuda:bf16 or cuda (fp16).",
)  # fmt: skip
_OPTIONS = (input_option, json_option, model_args_option, batch_option, dtype_option, trace_option, autocast_option)
_NAMES = ("inputs", "inputs_json", "model_args", "batch", "dtype", "trace", "autocast")
"""The arguments of `Settings` that `_OPTIONS` set, in the same order."""


def run_options(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options on how a model is run; the command receives them as `settings`.

    Args:
        without: arguments of `Settings` whose options the command lacks or declares itself.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        names = [name for name in _NAMES if name not in without]

        @wraps(command)
        def run(**arguments: Any) -> Any:
            from cnncost.sources.settings import Settings

            values = {name: arguments.pop(name) for name in names}
            settings = Settings(**{**values, "model_args": parsed_model_args(values["model_args"])})
            settings.check()  # raises before the work
            return command(**arguments, settings=settings)

        decorated: Callable[..., Any] = run
        for name, option in reversed(list(zip(_NAMES, _OPTIONS, strict=True))):
            if name in names:
                decorated = option(decorated)
        return decorated

    return add


def analyzed(model: str, settings: Settings, *, further: tuple[str, ...] = (), **options: Any) -> Report:
    """Return the Report of a model, or a saved one.

    Args:
        model: the model's specification, as the user wrote it.
        settings: how to run the model.
        further: names of the command's own options that were given but have no effect on a saved report.
        options: further arguments of `analyze`.

    Raises:
        UsageError: the model is a saved report, and options for models were given.
    """
    from cnncost.analysis import analyze
    from cnncost.sources.find import find

    if is_cached(model, settings):
        return cached(model, settings, **options)
    source = find(model)
    if source.saved:
        refuse_for_saved(model, settings, further)
        return analyze(source)
    return analyze(settings.resolve(source), trace=settings.tracing, **options)


def is_cached(model: str, settings: Settings) -> bool:
    """Return whether a recording can be cached: with a cache, a model built by Python code, and no run on data."""
    from cnncost.cache.recordings import active
    from cnncost.sources.find import is_built_by_code

    return active() is not None and settings.trace != "real" and is_built_by_code(model)


def cached(
    model: str, settings: Settings, *, strict: bool = False, training: bool = False, loss: str | None = None,
    optimizer: str | None = None, set_to_none: bool = True,
) -> Report:  # fmt: skip
    """Return the Report of a model, from the cache if nothing has changed. The options are those of `analyze`."""
    from cnncost.analysis import recorded, reported
    from cnncost.cache.recordings import recording
    from cnncost.recording import Recording

    step = (loss, optimizer, set_to_none) if training else None

    def record() -> Recording:
        return recorded(settings.resolve(model), None, settings.tracing, step)

    return reported(recording(model, {"settings": settings.to_data(), "step": step}, record), strict)


def refuse_for_saved(model: str, settings: Settings, further: tuple[str, ...] = ()) -> None:
    """Raise UsageError for options that have no effect on a saved report."""
    if options := [*settings.options, *further]:
        *first, last = options
        subject = f"{', '.join(first)} and {last} are" if first else f"{last} is"
        raise click.UsageError(f"{model} is a saved report, which describes one run; {subject} for models")


def side_by_side(models: tuple[str, ...], settings: Settings) -> list[Report]:
    """Return the Reports of several models; the settings apply to those that are not saved reports.

    Raises:
        UsageError: all are saved reports, and options for models were given.
    """
    from cnncost.analysis import analyze
    from cnncost.sources.find import find

    sources = [None if is_cached(model, settings) else find(model) for model in models]
    if all(source is not None and source.saved for source in sources):
        refuse_for_saved(models[0], settings)
    reports = []
    for model, source in zip(models, sources, strict=True):
        if source is None:
            reports.append(cached(model, settings))
        elif source.saved:
            reports.append(analyze(source))
        else:
            reports.append(analyze(settings.resolve(source), trace=settings.tracing))
    return reports


def at_sizes(
    models: tuple[str, ...], settings: Settings, vary: tuple[str, ...]
) -> tuple[list[str], list[dict[str, int]], list[Report]]:
    """Return names, sizes and Reports of several models, each at all combinations of the sizes in `--vary`.

    Raises:
        UsageError: a model is a saved report, whose sizes can't vary; or a size is set twice.
        InputError: a variable has no sizes, or there are too many.
    """
    if not vary:
        return list(models), [{} for _ in models], side_by_side(models, settings)
    from cnncost.laws.points import at_sizes as reports_at
    from cnncost.laws.points import parse_lists
    from cnncost.sources.find import find

    variables = parse_lists(vary)
    parts = {part for each in variables for part in each.parts}
    if twice := sorted(parts & {*settings.model_args, *(["batch"] if settings.batch is not None else [])}):
        option = "--batch" if twice[0] == "batch" else "--model-args"
        raise click.UsageError(f"--vary {twice[0]}: {option} also sets it; leave out one of the two")
    names, sizes, reports = [], [], []
    for model in models:
        source = find(model)
        if source.saved:
            raise click.UsageError(f"{model} is a saved report, which describes one run; --vary is for models")
        for point in reports_at(
            source, settings.parsed_inputs(), variables, model_args=settings.model_args, trace=settings.tracing,
            autocast=settings.casting(), prepare=settings.prepared,
        ):  # fmt: skip
            names.append(model)
            sizes.append(point.sizes)
            reports.append(point.report)
    return names, sizes, reports
