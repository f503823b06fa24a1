"""Records a prefill, and decode steps that use the cache that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnncost.analysis import analyze
from cnncost.decoding.dialog import Dialog, dialog_with
from cnncost.decoding.figures import Cache, Serving
from cnncost.decoding.polynomials import fitted_polynomials
from cnncost.devices import find as find_device
from cnncost.devices.model import Device, dtype_named
from cnncost.errors import CnncostError, InputError
from cnncost.fit import largest_batch
from cnncost.garbage import gc_disabled
from cnncost.passes.roofline import roofline
from cnncost.report.model import Report
from cnncost.report.prediction import Prediction

_MAX_CONTEXT = 1 << 20
"""Upper limit of the search for the longest context, in tokens."""


def serving(
    model: Any, inputs: Any = None, *, context: int, batch: int = 1, dtype: Any = None,
    model_args: dict[str, Any] | None = None, new_tokens: int = 1, chunk: int | None = None,
    device: str | None = None, device_file: str | Path | None = None, last_logits: bool = False, fit: bool = False,
) -> Serving:  # fmt: skip
    """Return the cost of serving a model: prefilling the prompt, and decode steps that use the cache.

    Args:
        model: a Transformers model, either built or as a name such as `"hf:llama"` (then with its head for generation);
            or any model with a method `step(inputs, cache) -> (outputs, cache)`, whose first call gets None as the
            cache.
        inputs: for a model with `step`, the shape of the prompt or a tensor, whose first two axes are batch and tokens,
            such as `"1x1x512"`; their sizes are replaced by `batch` and the number of tokens. None: token ids.
        context: number of tokens in each prompt; the decode step attends to these and to its own token.
        batch: number of sequences served together.
        dtype: dtype of parameters and inputs, such as `"bf16"`, for a model named by a specification.
        model_args: keyword arguments of the factory, or fields of the configuration.
        new_tokens: number of tokens to generate for each sequence. If more than 1, the last decode step is also
            recorded.
        chunk: number of tokens in a chunk of the prefill; None: the whole prompt at once.
        device: one of `cnncost devices`, to predict times with the roofline model.
        device_file: a TOML file with further devices.
        last_logits: compute only the logits of the prompt's last token, as `generate` does, instead of all logits, as
            forward does.
        fit: find the largest batch, and the longest context, whose prefill and decode step fit the device's memory.

    Returns:
        The Serving: Reports of prefill and decode, and the cache.

    Raises:
        InputError: a size is less than 1, the model can't be served, or `fit` lacks a device with a known memory.
        CnncostError: as `analyze` does.
    """
    sizes = {"context": context, "batch": batch, "new_tokens": new_tokens, "chunk": context if chunk is None else chunk}
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise InputError(f"{name}={size!r}: expected a whole number, 1 or more")
    target = None if device is None else find_device(device, None if device_file is None else Path(device_file))
    if fit and (target is None or target.memory is None):
        raise InputError("fit: expected a device whose memory is known; give device='h100', for example")
    with gc_disabled():
        resolved = _resolved(model, model_args, dtype)
        dialog = dialog_with(resolved.model, resolved.name, inputs, last_logits)
        calls = _Calls(resolved, dialog)
        served = _served(calls, context, batch, new_tokens, sizes["chunk"], target)
        if fit and target is not None and target.memory is not None:
            return _fitted(calls, served, int(target.memory))
        return served


def _resolved(model: Any, model_args: dict[str, Any] | None, dtype: Any) -> Any:
    """Return the model, to be run in eval mode; a Transformers architecture gets its head for generation."""
    from cnncost.sources import transformers
    from cnncost.sources.resolve import resolve
    from cnncost.sources.settings import float_dtype

    if isinstance(model, str) and model.startswith(transformers.PREFIX):
        model = transformers.load(model, transformers.GENERATING)
    # the shape is a placeholder, because a source may have no default inputs; `_Calls.run` replaces it
    found = resolve(model, "1x1:int64", model_args)
    # call `step` instead of forward, unless the user names another method
    if callable(getattr(found.model, "step", None)) and not found.source.method:
        found = replace(found, source=replace(found.source, method="step"))
    found = replace(found, train=False)
    return found if dtype is None else found.to(float_dtype(dtype_named(str(dtype).removeprefix("torch."))))


class _Calls:
    """Records calls of a model: prefills and decode steps."""

    def __init__(self, resolved: Any, dialog: Dialog) -> None:
        self._resolved = resolved
        self.dialog = dialog
        self.name: str = resolved.name
        self.model = resolved.model

    def run(self, inputs: Any, what: str) -> tuple[Report, Any]:
        """Return the Report of a call, and the call's result."""
        returned: list[Any] = []
        graph = replace(self._resolved, inputs=inputs).record("static", returned.append)
        return analyze(graph, name=f"{self.name}, {what}"), returned[-1]

    def prefill(self, batch: int, context: int, chunk: int | None = None) -> Iterator[tuple[Report, Any]]:
        """Yield the Report and the result of each call of a prefill."""
        chunk = min(chunk or context, context)
        outcome: Any = None
        for start in range(0, context, chunk):
            tokens = min(chunk, context - start)
            what = f"prefill of {tokens:,} tokens" + (f" after {start:,}" if start else "")
            first = self.dialog.first(batch, tokens) if start == 0 else self.dialog.next(batch, tokens, outcome)
            report, outcome = self.run(first, what)
            yield report, outcome

    def decode(self, batch: int, context: int, outcome: Any = None) -> tuple[Report, Any]:
        """Return the Report and result of the step after a prompt, whose prefill returned `outcome`; None: run it."""
        if outcome is None:
            *_, (_, outcome) = self.prefill(batch, context)
        return self.run(self.dialog.next(batch, 1, outcome), f"decode after {context:,} tokens")


def _served(calls: _Calls, context: int, batch: int, new_tokens: int, chunk: int, device: Device | None) -> Serving:
    """Record the prefill, the decode steps and, if `batch` > 1, the cache of a single sequence."""
    chunks: list[Report] = []
    outcome: Any = None
    for report, outcome in calls.prefill(batch, context, chunk):  # noqa: B007  # the last outcome is used below
        chunks.append(report)
    decode, after = calls.decode(batch, context, outcome)
    filled, grown = calls.dialog.cache(outcome), calls.dialog.cache(after)
    total = _nbytes(filled)
    if batch > 1:  # run a single sequence: a cache may share tensors between sequences, so dividing could be wrong
        *_, (_, outcome) = calls.prefill(1, context)
        filled, grown = calls.dialog.cache(outcome), calls.dialog.cache(calls.decode(1, context, outcome)[1])
    last = calls.decode(batch, context + new_tokens - 1)[0] if new_tokens > 1 else None
    # if the prefill was not chunked, the calls above are the sample at the full context
    recorded = _figures(chunks[0], decode, total) if len(chunks) == 1 else None

    def sample(length: int) -> dict[str, int] | None:
        return recorded if length == context and recorded is not None else _sample(calls, batch, length)

    return Serving(
        calls.name, batch, context, tuple(chunks), decode, cache_of(filled, grown), total,
        fitted_polynomials(sample, context),
        () if device is None else tuple([_timed(report, device) for report in (*chunks, decode)]),
        new_tokens, last, None if device is None or last is None else _timed(last, device), chunk,
        notes=_notes(calls.model, context + new_tokens),
    )  # fmt: skip


def _notes(model: Any, tokens: int) -> tuple[str, ...]:
    """Return a remark if the context exceeds the maximum in a Transformers model's configuration."""
    config: Any = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or tokens <= most:
        return ()
    return (f"the configuration is for {most:,} tokens (max_position_embeddings), but {tokens:,} were requested",)


def _fitted(calls: _Calls, served: Serving, limit: int) -> Serving:
    """Return the Serving with the largest batch and longest context that fit `limit` bytes; 0 if even 1 does not."""

    def peak(batch: int, context: int) -> int:
        chunk = served.chunk if served.chunk < served.context else None  # None: unchunked at any length
        chunks = [*calls.prefill(batch, context, chunk)]
        decode, _ = calls.decode(batch, context, chunks[-1][1])
        return max(report.memory.inference_peak for report in (*(each for each, _ in chunks), decode))

    longest, why = _longest(lambda context: peak(served.batch, context), limit, served.context)
    notes = (*served.notes, *why, *(_notes(calls.model, longest) if longest > served.context else ()))
    return replace(
        served,
        largest_batch=largest_batch(lambda batch: peak(batch, served.context), limit),
        longest_context=longest,
        notes=tuple(dict.fromkeys(notes)),
    )


def _longest(peak_at: Callable[[int], int], limit: int, tried: int) -> tuple[int, tuple[str, ...]]:
    """Return the longest context whose peak is within a limit, by doubling and bisection, and a note on other limits.

    A context longer than the requested one (`tried`) may fail: caches and tables of positions have a maximum length.
    """
    why: dict[int, str] = {}

    def fits_at(context: int) -> bool:
        try:
            return peak_at(context) <= limit
        except CnncostError as error:
            if context <= tried:
                raise
            why[context] = str(error)
            return False

    fits, over = 0, min(tried, _MAX_CONTEXT)
    while fits_at(over):
        fits = over
        if fits == _MAX_CONTEXT:
            return fits, (f"longest context: {_MAX_CONTEXT:,} tokens fit, and no more were tried",)
        over = min(2 * over, _MAX_CONTEXT)
    while over - fits > 1:
        middle = (fits + over) // 2
        fits, over = (middle, over) if fits_at(middle) else (fits, middle)
    return fits, (f"longest context: {over:,} tokens fail: {why[over]}",) if over in why else ()


def _sample(calls: _Calls, batch: int, context: int) -> dict[str, int] | None:
    """Return the figures at a context length, for fitting polynomials; None if an op has no rule."""
    *_, (prefill, outcome) = calls.prefill(batch, context)
    return _figures(prefill, calls.decode(batch, context, outcome)[0], _nbytes(calls.dialog.cache(outcome)))


def _figures(prefill: Report, decode: Report, cache: int) -> dict[str, int] | None:
    if prefill.unknown or decode.unknown:
        return None
    return {
        "macs": decode.totals.macs, "flops": decode.totals.flops, "prefill_macs": prefill.totals.macs,
        "prefill_flops": prefill.totals.flops, "cache": cache,
    }  # fmt: skip


def _timed(report: Report, device: Device) -> Prediction:
    assert report.graph is not None  # it was recorded just now
    return Prediction(report, roofline(report.graph, device))


def cache_of(filled: Any, grown: Any) -> Cache:
    """Return the cache figures of one sequence.

    Args:
        filled: the cache after the prompt.
        grown: the cache one token later.
    """
    from cnncost.frontends.torch.compat.tensors import identity_of

    before, after = (_cache_tensors(each) for each in (filled, grown))
    if len(before) == len(after):
        growing = sum(old.nbytes for old, new in zip(before, after, strict=True) if new.nbytes != old.nbytes)
    else:  # a new tensor for each token: the whole cache grows
        growing = sum(tensor.nbytes for tensor in before)
    storages = {identity_of(t.untyped_storage()): t.untyped_storage() for t in _cache_tensors(filled)}
    total = sum(tensor.nbytes for tensor in before)
    return Cache(total, sum(t.nbytes for t in after) - total, growing, sum(s.nbytes() for s in storages.values()))


def _cache_tensors(state: Any) -> list[Any]:
    """Return the tensors in a cache, except scalars, which only count tokens."""
    from cnncost.frontends.torch.outcome import tensors_held

    return [tensor for tensor in tensors_held(state) if tensor.dim()]


def _nbytes(state: Any) -> int:
    return sum(tensor.nbytes for tensor in _cache_tensors(state))
