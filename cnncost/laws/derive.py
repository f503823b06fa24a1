"""`cnncost.formula`, which finds the laws of a model's costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cnncost.laws.box import Fitted
from cnncost.laws.fit import Fit
from cnncost.laws.floors import Floors
from cnncost.laws.law import Law
from cnncost.laws.laws import Laws
from cnncost.laws.samples import ADDITIVE, QUANTITIES, TRAINED, Sample, Sampler
from cnncost.laws.search import anchor_of, lines
from cnncost.laws.variables import parse

if TYPE_CHECKING:
    from cnncost.sources.resolve import Model, Trace


def formula(
    model: Model, inputs: Any = None, vary: str | Iterable[str] | Mapping[str, Any] = ("batch",), *,
    model_args: dict[str, Any] | None = None, training: bool = True, trace: Trace = "static", autocast: Any = None,
) -> Laws:  # fmt: skip
    """Return the costs of a model as exact functions of sizes.

    The model is analyzed at a few points, and polynomials with rational coefficients are interpolated. The model is
    then analyzed at further points, which must agree exactly: polynomials that one of them contradicts are not
    returned.

    Args:
        model: as for `analyze`.
        inputs: as for `analyze`; the search begins at their sizes.
        vary: names, with or without sizes: `("batch", "height", "width")`, `"batch,ids.1=64..512"`,
            `{"width": (16, 32, 64)}`. A name is `batch`; `height`, `width` or `depth` of images; `size` for height and
            width together; `sequence` (axis 1 of tokens or vectors); `length` (axis 2 of N×C×L); an axis of any input
            by the input's name or position, `ids.1`; a keyword of the model's factory; or the name of an open axis in
            an ONNX file. Variables joined as in `a+b` vary together.
        model_args: keyword arguments for a factory.
        training: whether to find laws of a training step's memory, too.
        trace: as for `analyze`.
        autocast: as for `analyze`.

    Returns:
        The laws by quantity: `macs`, `flops`, `bytes`, `params`, `activations`, `inference_peak`, `training_peak`;
        without training, or for an ONNX file, there are no laws of `activations` and `training_peak`.

    Raises:
        CnncostError: `analyze` fails at the model's own sizes; a name in `vary` is unknown; or for some variable, the
            model runs at one size only or no lattice of sizes was found on which its costs are polynomials.
    """
    sampler = Sampler(model, inputs, model_args, parse(vary), trace, training, autocast)
    first = sampler.first()
    anchor = anchor_of(sampler)
    fit = Fit(sampler, anchor, lines(sampler, anchor))
    floors = Floors(fit).laws
    laws = {name: _law(name, fit.laws.get(name), fit, sampler, floors) for name in QUANTITIES}
    if not training or sampler.forward_only:
        laws = {name: law for name, law in laws.items() if name not in TRAINED}
    return Laws(sampler.title, sampler.variables, laws, fit.layers, fit.irregular, _notes(first, sampler), sampler)


def _law(name: str, fitted: Fitted | None, fit: Fit, sampler: Sampler, floors: dict[str, Fitted]) -> Law:
    """Return the public law for a fitted one, with the reason if its values are lower bounds or no law was found.

    `floors` are the laws with floors, which also hold off the lattice. They become the `everywhere` of the laws.
    """
    names = tuple(v.name for v in sampler.variables)
    symbols = tuple(v.symbol for v in sampler.variables)
    samples = {point: sample for point, sample in sampler.samples().items() if name in sample.totals}
    bound = next((sample.bounds[name] for sample in samples.values() if name in sample.bounds), "")
    values = {point: sample.totals[name] for point, sample in samples.items()}
    if fitted is None or fitted.why:
        why = f"known only at {len(values)} sampled points: {fitted.why}" if fitted is not None else ""
        why = why or f"no training step: {sampler.no_training or 'it fails at some of the sizes'}"
        return Law(name, names, symbols, (), (), (), bound, why, values, {}, sampler.base)
    parts = fit.layers[name] if name in ADDITIVE else {}
    everywhere = None
    if (with_floors := floors.get(name)) is not None:
        everywhere = Law(
            name, names, symbols, tuple(with_floors.pieces), tuple(with_floors.domain), tuple(with_floors.checked),
            bound, "", values, {}, sampler.base,
        )  # fmt: skip
    return Law(
        name, names, symbols, tuple(fitted.pieces), tuple(fitted.domain), tuple(fitted.checked), bound, "", values,
        {path: law for path, law in parts.items() if law.terms}, sampler.base, everywhere,
    )  # fmt: skip


def _notes(first: Sample, sampler: Sampler) -> tuple[str, ...]:
    notes = list(first.notes)
    if first.run_on:
        notes.append(f"each point is a run on {first.run_on}: sizes that depend on values may differ with other values")
    if sampler.forward_only:
        notes.append("no training step: an ONNX file has no backward pass")
    if sampler.no_training:
        notes.append(f"no training step: {sampler.no_training}")
    return tuple(notes)
