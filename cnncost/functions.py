"""The commands as Python functions. They return data, print nothing, and accept the same models as `analyze`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnncost import units
from cnncost.analysis import analyze
from cnncost.errors import InputError
from cnncost.report.model import Report

if TYPE_CHECKING:
    from cnncost.budget.check import Check
    from cnncost.budget.compare import Compared
    from cnncost.budget.diff import Diff
    from cnncost.budget.join import Joined
    from cnncost.laws.points import AtSizes
    from cnncost.report.prediction import Prediction
    from cnncost.shown import ShownComparison
    from cnncost.sources.resolve import Model


def roofline(
    model: Model | Report, inputs: Any = None, *, device: str, dtype: Any = None, device_file: str | Path | None = None,
    step: bool = False, link: str | None = None, node: int | None = None, algorithm: str = "ring", **options: Any,
) -> Prediction:  # fmt: skip
    """Predict the time of a model on a device, op by op, with the roofline model. The device itself is not needed.

    Args:
        model: as for `analyze`, or a Report.
        inputs: as for `analyze`.
        device: one of `cnncost devices`, such as `"h100"`.
        dtype: treat all floating-point numbers as this number format, such as `"bf16"` or `torch.bfloat16`; None: as
            recorded.
        device_file: a TOML file with further devices.
        step: predict a training step instead of a forward.
        link: for a split model, the link that all collectives use, one of `cnncost.devices.model.LINKS`, such as
            `"nvlink"`; None: the device's fastest link within a node, its network between nodes.
        node: for a split model, the number of ranks on a node; None: as many as the device's fastest link connects.
        algorithm: for a split model, the algorithm of its all-reduces: `"ring"` or `"tree"`.
        options: further arguments of `analyze`, such as `training=True`.

    Returns:
        The Prediction: `.roofline.total.seconds`, and times by call and op; for a split model also `.links.times`.

    Raises:
        CnncostError: the device or number format is unknown, or a Report was read from a file or passed together with
            inputs or options; or as for `analyze`.
    """
    from cnncost.devices import find
    from cnncost.devices.model import dtype_named
    from cnncost.passes.links import topology
    from cnncost.report.prediction import predicted
    from cnncost.shown import ShownPrediction

    if not isinstance(device, str):
        raise InputError(f"roofline: device: expected a name, such as 'h100', got {type(device).__name__}: {device!r}")
    if isinstance(model, Report) and (inputs is not None or options):
        given = ", ".join([*(["inputs"] if inputs is not None else []), *options])
        raise InputError(f"roofline: {given}: a Report has been analyzed already; pass the model, or the Report alone")
    hardware = find(device, None if device_file is None else Path(device_file))
    number_format = None if dtype is None else dtype_named(str(dtype).removeprefix("torch."))
    if number_format is not None:
        hardware.peak(number_format)  # raises before the long analysis if the device has no such peak
    link_topology = topology(link, node, algorithm)
    report = _report(
        model, inputs, {**options, "training": True} if step and not isinstance(model, Report) else options
    )
    times, links = predicted(report, hardware, number_format, link_topology, step)
    return ShownPrediction(report, times, links=links, step=step)


def diff(old: Model | Report, new: Model | Report, inputs: Any = None, **options: Any) -> Diff:
    """Compare the costs of two models, and name the modules that changed them. Renamed or moved modules are matched.

    Args:
        old: a model as for `analyze`, or a Report.
        new: a model as for `analyze`, or a Report.
        inputs: as for `analyze`, for both.
        options: further arguments of `analyze`, for both.

    Returns:
        The Diff: `.changes`, and the figures of both models.

    Raises:
        CnncostError: as for `analyze`.
    """
    from cnncost.budget.snapshot import of_report
    from cnncost.shown import ShownDiff

    return ShownDiff(of_report(_report(old, inputs, options)), of_report(_report(new, inputs, options)))


def compare(
    models: Mapping[str, Model | Report] | Sequence[Model | Report], inputs: Any = None, *,
    vary: str | Sequence[str] | Mapping[str, Any] | None = None, join: str | Path | None = None,
    quality: str | None = None, **options: Any,
) -> ShownComparison:  # fmt: skip
    """Compare parameters, MACs, FLOPs and memory of several models, and mark the Pareto front.

    Args:
        models: models as for `analyze`, or Reports, as a dict by name or as a sequence.
        inputs: as for `analyze`, for all models that are not Reports.
        vary: sizes, as for `formula`, with one row for each combination: `"size=160,224,288"`, `{"batch": (1, 8)}`, or
            a keyword of the factory, `"width=16,32"`.
        join: a CSV file with a column `model` and further columns, such as accuracy, for `.joined`. A name that matches
            no model causes a warning. `"published"` means the top-1 accuracies that torchvision states.
        quality: the column of `join` that the Pareto front compares with MACs, `-COLUMN` if less is better; None: the
            first column with numbers.
        options: further arguments of `analyze`; with `vary`, only `model_args`, `trace` and `autocast`.

    Returns:
        A tuple with a Compared for each row. `str()` of it is a table, and `.to_html()` returns a page with charts.

    Raises:
        CnncostError: the CSV file can't be read or matches no model, or `vary` is combined with a Report; or as for
            `analyze`.
    """
    from cnncost.budget.compare import compare as side_by_side
    from cnncost.shown import ShownComparison

    if isinstance(models, str) or not isinstance(models, (Mapping, Sequence)):
        raise InputError(f"compare: expected several models, as a list or a dict by name, got {type(models).__name__}")
    if quality is not None and join is None:
        raise InputError("compare: quality names a column of join; pass join, too: a CSV file with a column model")
    named = [*models.items()] if isinstance(models, Mapping) else [(None, model) for model in models]
    if vary is None:
        rows = side_by_side([_named(name, _report(model, inputs, options)) for name, model in named])
    else:
        points = [(name, point) for name, model in named for point in _at_sizes(model, inputs, vary, options)]
        rows = side_by_side([_named(name, p.report) for name, p in points], [p.sizes for _, p in points])
    if join is None:
        return ShownComparison(rows)
    joined = _joined(rows, join, quality, options.get("model_args") or {})
    return ShownComparison(joined.rows, joined)


def _named(name: str | None, report: Report) -> tuple[str, Report]:
    return (report.model if name is None else name), report


def _at_sizes(model: Model | Report, inputs: Any, vary: Any, options: dict[str, Any]) -> list[AtSizes]:
    from cnncost.laws.points import at_sizes, parse_lists

    if isinstance(model, Report):
        raise InputError(f"compare: {model.model}: a Report is of one run; with vary, pass the model")
    if other := [name for name in options if name not in {"model_args", "trace", "autocast"}]:
        raise InputError(f"compare: {', '.join(other)}: not with vary; expected only model_args, trace or autocast")
    return list(at_sizes(model, inputs, parse_lists(vary), **options))


def _joined(
    rows: tuple[Compared, ...], path: str | Path, quality: str | None, arguments: Mapping[str, Any]
) -> Joined:  # fmt: skip
    import warnings

    from cnncost.budget.join import join, read
    from cnncost.published import PUBLISHED, table_of

    joined = join(rows, table_of(rows, arguments) if path == PUBLISHED else read(path), quality)
    for note in joined.notes:
        warnings.warn(note, stacklevel=3)  # the warning points at the caller of `compare`
    return joined


def check(
    config: str | Path | None = None, names: Sequence[str] = (), *, any_torch: bool = False, allow_unknown: bool = False
) -> Check:
    """Check models against their budgets, like `cnncost check`.

    Args:
        config: the budget file; None: the nearest `cnncost.toml` or `pyproject.toml`.
        names: names of the budgets to check; empty: all.
        any_torch: accept a baseline recorded with another version of torch.
        allow_unknown: accept totals that are lower bounds because some ops have no rule.

    Returns:
        The Check: `.exit_code` is 0 if all limits are met; `.models` has every limit with its result.

    Raises:
        CnncostError: the budget file is missing or invalid, it has no budget of a given name, or the baseline can't be
            read.
    """
    from cnncost.budget import lock
    from cnncost.budget.check import check as check_budgets
    from cnncost.budget.file import find, read
    from cnncost.budget.measure import measure_all
    from cnncost.shown import ShownCheck

    file = read(Path(config) if config is not None else find(Path.cwd()))
    known = [budget.name for budget in file.budgets]
    for name in names:
        if name not in known:
            raise InputError(f"{file.path}: no budget named {name!r}; there are {', '.join(known)}")
    budgets = [budget for budget in file.budgets if not names or budget.name in names]
    baseline = lock.read(file.baseline, any_torch=any_torch)
    measured = measure_all(budgets, file.path.parent, jobs=1)
    result = check_budgets(file, measured, baseline, allow_unknown=allow_unknown)
    return ShownCheck(result.file, result.models, result.baseline, result.revision)


def max_batch(
    model: Model, inputs: Any = None, *, device_memory: int | str, training: bool = True, loss: Any = None,
    optimizer: Any = None, block: int = 1, workspace: int | str = 0, model_args: dict[str, Any] | None = None,
    autocast: Any = None,
) -> int:  # fmt: skip
    """Return the largest batch whose peak memory fits a device; 0 if not even one example fits.

    Warns that it is an upper bound if what an op allocates while it runs is not known, as with ops without a rule.

    Args:
        model: as for `analyze`.
        inputs: as for `analyze`; the first axis of each is the batch axis.
        device_memory: bytes, or a string such as `"24GB"` or `"24GiB"`.
        training: True for a training step, False for a forward without autograd.
        loss: the training step's loss, as for `analyze`.
        optimizer: the training step's optimizer, as for `analyze`.
        block: the allocator's block size in bytes, to a multiple of which it rounds sizes up; 512 for CUDA.
        workspace: bytes that the device's libraries keep allocated, or a string such as `"1GiB"`.
        model_args: as for `analyze`.
        autocast: as for `analyze`.

    Raises:
        CnncostError: a size can't be parsed, a loss or optimizer is given without training, the inputs have no batch
            axis, or memory hardly depends on the batch; or as for `analyze`.
    """
    import warnings

    from cnncost.fit import Step, largest_batch, usage
    from cnncost.sources.batch import with_batch
    from cnncost.sources.resolve import resolve

    if not isinstance(training, bool):
        raise InputError(f"max_batch: training: expected True or False, got {type(training).__name__}")
    if not training and (loss is not None or optimizer is not None):
        raise InputError("max_batch: loss and optimizer belong to a training step; expected training=True with them")
    if type(block) is not int or block < 1:
        raise InputError(f"block: expected a number of bytes from 1 up, such as 512, got {block!r}")
    limit, reserved = _bytes("device_memory", device_memory), _bytes("workspace", workspace)
    resolved = resolve(model, inputs, model_args, autocast)
    resolved.check_batch_axis()
    step = Step(loss, optimizer) if training else None

    unseen = set[str]()

    def peak_at(batch: int) -> int:
        memory = usage(resolved, with_batch(resolved.inputs, batch), step=step, block=block)
        unseen.update(memory.unseen)
        return reserved + memory.peak.nbytes

    largest = largest_batch(peak_at, limit)
    if largest and unseen:
        names = ", ".join(sorted(unseen))
        warnings.warn(
            f"max_batch: {largest:,} is an upper bound: what {names} allocates while it runs is not known", stacklevel=2
        )
    return largest


def _report(model: Model | Report, inputs: Any, options: dict[str, Any]) -> Report:
    return model if isinstance(model, Report) else analyze(model, inputs, **options)


def _bytes(name: str, size: int | str) -> int:
    if type(size) is int and size >= 0:
        return size
    if isinstance(size, str) and not size.strip()[-1:].isdecimal():  # without a unit, a string is ambiguous
        try:
            return units.parse_data(size)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from None
    raise InputError(f"{name}: expected a number of bytes, or a string with a unit such as '24GB', got {size!r}")
