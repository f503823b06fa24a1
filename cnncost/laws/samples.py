"""Costs at single points, by direct analysis. Laws are found from such samples and checked against others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnncost.errors import CnncostError, InputError
from cnncost.graph import Shape
from cnncost.laws.polynomial import Point
from cnncost.sources.sizes import Axis, leaves, with_sizes

if TYPE_CHECKING:
    from cnncost.laws.variables import Variable, VariableRequest
    from cnncost.report.model import Report
    from cnncost.sources.resolve import Resolved, Trace

ADDITIVE = ("macs", "flops", "bytes", "params")
"""Quantities that are sums over layers."""
PEAKS = ("inference_peak", "training_peak")
"""Quantities that are a maximum over the ops of a run."""
TRAINED = ("activations", "training_peak")
"""Quantities of a training step."""
QUANTITIES = (*ADDITIVE, "activations", *PEAKS)
"""All quantities that may have a law, in the order of reports."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of an analysis at one point.

    Attributes:
        totals: totals by quantity; memory only if requested.
        layers: additive quantities by module path, of the ops that the module runs itself in all its calls.
        outputs: label and output shapes of each row, in order.
        timelines: bytes alive at each op, by the quantity that is their peak.
        bounds: the quantities whose totals are lower bounds, with the reason.
        run_on: the data on which forward ran in a real run; else empty.
        untrained: why there is no training step, if one was requested and failed.
        notes: the Report's notes.
        work: the amount of work: number of ops, plus MACs of a real run, of which a million count as one op. It is not
            a time, because the sizes that are tried, and with them the law, must not depend on the machine's load.
    """

    totals: dict[str, int]
    layers: dict[str, dict[str, int]]
    outputs: tuple[tuple[str, tuple[Shape, ...]], ...]
    timelines: dict[str, tuple[int, ...]] = field(default_factory=dict)
    bounds: dict[str, str] = field(default_factory=dict)
    run_on: str = ""
    untrained: str = ""
    notes: tuple[str, ...] = ()
    work: int = 0

    def of_layer(self, path: str, quantity: str) -> int:
        """Return an additive quantity of a module's own ops; 0 if the module was not called."""
        return self.layers[path][quantity] if path in self.layers else 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed analysis: the reason, and the path of the module that raised (empty if unknown)."""

    reason: str
    path: str = ""


class Sampler:
    """Analyzes one model at many points. The model is built once, unless a keyword of its factory varies.

    Args:
        model: as for `analyze`.
        inputs: as for `analyze`.
        model_args: as for `analyze`.
        requests: the variables.
        trace: as for `analyze`.
        training: whether samples with memory include a training step.
        autocast: as for `analyze`.
        prepare: called with each newly built model and its inputs (a `Resolved`); returns the one to analyze, for
            example with another batch size or dtype.

    Attributes:
        variables: the variables, in the order of a point's sizes.
        title: the model's name.
        no_training: why the training step failed; empty if it did not fail or none was requested.
        forward_only: whether a training step was requested for an ONNX file, which has no backward pass.
        trace: how the model is run, `static` or `real`: like the first run.
    """

    def __init__(
        self, model: Any, inputs: Any, model_args: Mapping[str, Any] | None, requests: list[VariableRequest],
        trace: Trace, training: bool, autocast: Any = None, prepare: Callable[[Resolved], Resolved] | None = None,
    ) -> None:  # fmt: skip
        from cnncost.laws.open_axes import with_open_axes
        from cnncost.laws.variables import variables

        self._prepare = prepare
        self._source, self._inputs, self._autocast = _source(model), inputs, autocast
        self._arguments = {**self._source.arguments, **(model_args or {})}
        self.trace, self.no_training = trace, ""
        self._training, self.forward_only = training, False
        self._built: dict[tuple[int, ...], Resolved] = {}
        self._model = model if not isinstance(model, str) else None
        keywords, takes_others = _keywords(self._source)
        keywords |= {name: value for name, value in self._arguments.items() if name in keywords or takes_others}
        keyword_sizes = _initial_keyword_sizes(requests, keywords, takes_others)
        resolved, file = self._resolve(keyword_sizes), None
        if self._source.follow is not None:  # an ONNX file declares its inputs' shapes
            resolved, file = with_open_axes(resolved, requests)
            self._training, self.forward_only = False, self._training
        names = _parameters(resolved)
        self.variables: tuple[Variable, ...] = variables(
            requests, leaves(resolved.inputs), names, keywords, takes_others, file
        )
        # the sizes with which the model was built; a variable that also sets an axis begins at the axis's size instead
        initial = tuple(keyword_sizes.get(v.keywords[0], v.base) for v in self.variables if v.keywords)
        self._built[initial] = resolved
        self.title = resolved.title
        self._results: dict[tuple[Point, bool], Sample | Failure] = {}  # by point, and whether with memory
        self._work: dict[Point, int] = {}

    @property
    def base(self) -> Point:
        """The point at which the search begins: the model's own sizes, if they are in range."""
        return tuple(v.base for v in self.variables)

    def results(self) -> dict[Point, Sample | Failure]:
        """Return the result at each analyzed point, with memory if that was requested there."""
        # results with memory come last, and replace those without
        return {point: sample for (point, _), sample in sorted(self._results.items(), key=lambda each: each[0][1])}

    def samples(self) -> dict[Point, Sample]:
        """Return the results of analyses that did not fail."""
        return {point: sample for point, sample in self.results().items() if isinstance(sample, Sample)}

    def at(self, point: Point, full: bool = False) -> Sample | Failure:
        """Return the (cached) costs at a point; with `full`, including memory and a training step."""
        result = self._results.get((point, True)) or self._results.get((point, full))
        if result is None:
            result = self._results[point, full] = self._analyzed_or_failed(point, full)
        return result

    def _analyzed_or_failed(self, point: Point, full: bool) -> Sample | Failure:
        """Analyze the model at a point, and without a training step if that fails."""
        reason = ""
        for training in (True, False) if full and self._training else (False,):
            try:
                found = self._analyzed(point, full, training)
            except CnncostError as error:
                reason, path = str(error).splitlines()[0], getattr(error, "path", "")
            else:
                self._work[point] = found.work
                return replace(found, untrained=reason)
        return Failure(reason, path)

    def is_slow(self, point: Point) -> bool:
        """Return whether the analysis at a point was much more work than others, as when forward loops over a size."""
        usual = sorted(self._work.values())[len(self._work) // 2]
        return self._work.get(point, 0) > max(_MUCH, _TIMES * usual)

    def first(self) -> Sample:
        """Return the costs at the base, with memory and a training step. Raises CnncostError like `analyze`."""
        point = self.base
        found = self._analyzed_or_failed(point, full=True)
        if isinstance(found, Failure):
            found = self._analyzed(point, full=True, training=False)  # raises the error
        self._results[point, True] = found
        if found.untrained:
            self._training, self.no_training = False, found.untrained
        # all points are run like the first one, because results of static and real runs are not comparable
        self.trace = "real" if found.run_on else "static"
        if found.run_on:
            self.variables = tuple(
                v if v.firm else replace(v, high=min(v.high, _MAX_REAL_GROWTH * max(v.base, 2))) for v in self.variables
            )
        return found

    def _factory_sizes(self, point: Point) -> tuple[int, ...]:
        """Return the sizes in a point that the factory receives. A model is built once for each such tuple."""
        return tuple(size for variable, size in zip(self.variables, point, strict=True) if variable.keywords)

    def _resolve(self, sizes: Mapping[str, int]) -> Resolved:
        """Build the model with these sizes as keyword arguments of the factory."""
        from cnncost.sources.resolve import Resolved, resolve

        if isinstance(self._model, Resolved) and not sizes:
            return resolve(self._model, self._inputs, autocast=self._autocast)
        source = replace(self._source, arguments={}) if not self._source.built else self._source
        resolved = resolve(source, self._inputs, {**self._arguments, **sizes} or None, self._autocast)
        return resolved if self._prepare is None else self._prepare(resolved)

    def _analyzed(self, point: Point, full: bool, training: bool) -> Sample:
        return _sample(self.report(point, training), full)

    def report(self, point: Point, training: bool = False) -> Report:
        """Return the Report at a point. Raises CnncostError like `analyze`."""
        from cnncost.analysis import analyze

        factory_sizes = self._factory_sizes(point)
        if factory_sizes not in self._built:
            sizes = {
                name: size for v, size in zip(self.variables, point, strict=True) for name in v.keywords
            }  # fmt: skip
            if len(self._built) > _MAX_BUILT:
                self._built.clear()
            self._built[factory_sizes] = self._resolve(sizes)
        resolved = self._built[factory_sizes]
        axes: dict[Axis, int] = {}
        for variable, size in zip(self.variables, point, strict=True):
            axes.update(dict.fromkeys(variable.axes, size))
        inputs = with_sizes(resolved.inputs, axes, static=self.trace == "static")
        if resolved.batch is not None:
            # analyze then checks that the inputs have a batch axis; its argument `inputs` would drop `batch`
            return analyze(replace(resolved, inputs=inputs), trace=self.trace, training=training)
        return analyze(resolved, inputs, trace=self.trace, training=training)


_MAX_REAL_GROWTH = 4
"""Default limit on the growth of a size in real runs, which take time and memory."""
_MUCH, _TIMES = 4000, 4
"""An analysis is slow if its work exceeds the first number of ops (about 0.25 s), and so many times the median."""
_MACS_AS_OP = 10**6
"""MACs of a real run that take about as long as analyzing one op."""
_MAX_BUILT = 8
"""The cache of built models is emptied when it has more models than this."""


def _source(model: Any) -> Any:
    from cnncost.graph import Graph
    from cnncost.sources.find import find
    from cnncost.sources.resolve import Resolved

    if isinstance(model, Graph):
        raise InputError("a Graph is of one run; expected a model that can be run at other sizes")
    source = model.source if isinstance(model, Resolved) else find(model)
    if source.saved:
        raise InputError(
            f"{source.text}: a saved report is of one run; expected a model that can be run at other sizes"
        )
    return source


def _keywords(source: Any) -> tuple[dict[str, Any], bool]:
    """Return the keywords of a model's factory with their defaults, and whether it also accepts others."""
    import inspect

    if source.built or source.follow is not None:
        return {}, False
    try:
        parameters = inspect.signature(source.factory).parameters.values()
    except (TypeError, ValueError):
        return {}, True
    takes_others = any(each.kind is each.VAR_KEYWORD for each in parameters)
    named = [each for each in parameters if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}]
    return {each.name: each.default for each in named}, takes_others


def _initial_keyword_sizes(
    requests: list[VariableRequest], keywords: Mapping[str, Any], takes_others: bool
) -> dict[str, int]:
    """Return the initial sizes of the factory's varying keywords, with which the model is built before inputs exist."""
    from cnncost.laws.variables import is_keyword

    sizes: dict[str, int] = {}
    for request in requests:
        size = request.values[0] if request.values else request.low
        for part in request.parts:
            if size is not None and is_keyword(part, True, keywords, takes_others):
                sizes[part] = size
    return sizes


def _parameters(resolved: Resolved) -> list[str]:
    """Return the names of forward's positional parameters."""
    import inspect

    target = resolved.callable_of(resolved.model)
    try:
        parameters = inspect.signature(getattr(target, "forward", target)).parameters.values()
    except (TypeError, ValueError):
        return []
    return [each.name for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]


def _sample(report: Report, full: bool) -> Sample:
    """Return a Report's figures as a Sample; with `full`, including memory."""
    layers: dict[str, dict[str, int]] = {}
    for row in report.layers:
        sums = layers.setdefault(row.path, dict.fromkeys(ADDITIVE, 0))
        sums["macs"] += row.macs
        sums["flops"] += row.flops
        sums["params"] += row.params
        sums["bytes"] += row.bytes_read + row.bytes_written
    total = report.totals
    totals = {
        "macs": total.macs, "flops": total.flops, "bytes": total.bytes_read + total.bytes_written,
        "params": total.params,
    }  # fmt: skip
    bounds: dict[str, str] = {}
    if total.lower_bound:
        unknown = ", ".join(report.unknown) or report.partial
        bounds = dict.fromkeys(("macs", "flops", "bytes"), f"ops without a rule: {unknown}")
    timelines: dict[str, tuple[int, ...]] = {}
    if full:
        memory = report.memory
        runs = {"inference_peak": memory.inference, "training_peak": memory.training}
        for name, run in runs.items():
            if run is not None:
                totals[name] = run.peak.nbytes
                timelines[name] = run.timeline
                if run.unseen:
                    bounds[name] = f"ops with unknown temporaries: {', '.join(run.unseen)}"
        if memory.figures.activations is not None:
            totals["activations"] = memory.figures.activations
    outputs = tuple((row.label, row.output_shapes) for row in report.layers)
    graphs = [graph for graph in (report.graph, report.training) if graph is not None]
    work = sum(len(graph.nodes) for graph in graphs) + (total.macs // _MACS_AS_OP if report.run_on else 0)
    return Sample(totals, layers, outputs, timelines, bounds, run_on=report.run_on, notes=report.notes, work=work)
