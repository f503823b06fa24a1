"""Builds the inputs of a model's calls: the prompt, then further tokens together with the cache that it returned."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from cnncost.errors import InputError
from cnncost.frontends.torch.inputs import Arguments
from cnncost.shapes import TensorText
from cnncost.sources.batch import with_batch

STATES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
"""Names under which Transformers models take the cache as an argument and return it as a field of the result."""


class Dialog(Protocol):
    """Builds the inputs of successive calls, and finds the cache in their results."""

    def first(self, batch: int, tokens: int) -> Any:
        """Return the inputs of the first call, with `tokens` tokens of each sequence."""
        ...

    def next(self, batch: int, tokens: int, outcome: Any) -> Any:
        """Return the inputs of a call with further tokens, after a call that returned `outcome`."""
        ...

    def cache(self, outcome: Any) -> Any:
        """Return the cache in a call's result."""
        ...


def dialog_with(model: Any, name: str, inputs: Any, last_logits: bool) -> Dialog:
    """Return the Dialog for a model.

    Args:
        model: the built model.
        name: the model's name, for messages.
        inputs: the prompt of a model with a method `step`, as for `serving`.
        last_logits: compute only the logits of the last token of each call.

    Raises:
        InputError: the model has no method `step`, and its forward takes no cache; or `inputs` or `last_logits` don't
            apply to it.
    """
    if callable(getattr(model, "step", None)):
        if last_logits:
            raise InputError(f"{name}: last_logits: only Transformers models support it; step decides what it returns")
        return _Stepwise(inputs)
    parameters = inspect.signature(model.forward).parameters if hasattr(model, "forward") else {}
    if hasattr(model, "config") and any(state in parameters for state in STATES):
        if inputs is not None:
            raise InputError(f"{name}: inputs: a Transformers model gets as many tokens as the context; leave them out")
        return _Transformer(model, name, frozenset(parameters), last_logits)
    raise InputError(
        f"{name}: {type(model).__name__} can't be served: expected a method step(inputs, cache) that returns outputs "
        "and the cache, or a Transformers model whose forward takes a cache, such as past_key_values"
    )


class _Stepwise:
    """For a model with a method `step(inputs, cache) -> (outputs, cache)`; the first cache is None."""

    def __init__(self, inputs: Any) -> None:
        self._inputs = inputs

    def first(self, batch: int, tokens: int) -> Any:
        return Arguments((self._tokens(batch, tokens), None), {})

    def next(self, batch: int, tokens: int, outcome: Any) -> Any:
        return Arguments((self._tokens(batch, tokens), self.cache(outcome)), {})

    def cache(self, outcome: Any) -> Any:
        if not isinstance(outcome, (tuple, list)) or len(outcome) != 2:
            raise InputError(f"step: expected a pair of outputs and the cache, got {type(outcome).__name__}")
        return outcome[1]

    def _tokens(self, batch: int, tokens: int) -> TensorText:
        if self._inputs is None:
            return TensorText((batch, tokens), "int64")
        shape, dtype = _shape_of(self._inputs)
        if len(shape) < 2:
            raise InputError(f"inputs: expected batch and tokens as the first two axes, got {shape}")
        return TensorText((batch, tokens, *shape[2:]), dtype)


def _shape_of(inputs: Any) -> tuple[tuple[int, ...], str | None]:
    from cnncost.shapes import parse_shape

    if isinstance(inputs, str):
        inputs = parse_shape(inputs)
    if isinstance(inputs, TensorText):
        return inputs.shape, inputs.dtype
    if hasattr(inputs, "shape") and hasattr(inputs, "dtype"):
        return tuple(inputs.shape), str(inputs.dtype).removeprefix("torch.")
    if isinstance(inputs, (tuple, list)) and all(type(size) is int for size in inputs):
        return tuple(inputs), None
    raise InputError(f"inputs: expected one shape or tensor, such as '1x1:int64', got {type(inputs).__name__}")


class _Transformer:
    """For a Transformers model whose results have the cache in a field that forward takes as an argument.

    In an encoder-decoder model, the prompt goes to the encoder, and the decoder begins with one token. If the encoder
    takes no text (Whisper), it gets its usual inputs, and the prompt goes to the decoder.
    """

    def __init__(self, model: Any, name: str, parameters: frozenset[str], last_logits: bool) -> None:
        self._model, self._name, self._parameters = model, name, parameters
        self._encoder_decoder = (
            bool(getattr(model.config, "is_encoder_decoder", False)) and "decoder_input_ids" in parameters
        )
        self._encoder_takes_text = model.main_input_name == "input_ids"
        self._options: dict[str, Any] = {flag: True for flag in ("use_cache", "use_mems") if flag in parameters}
        if last_logits:
            if "logits_to_keep" not in parameters:
                raise InputError(f"{name}: last_logits: forward of {type(model).__name__} has no logits_to_keep")
            self._options["logits_to_keep"] = 1

    def first(self, batch: int, tokens: int) -> Any:
        if not self._encoder_decoder:
            return {"input_ids": _ids(batch, tokens), **self._options}
        if self._encoder_takes_text:
            return {"input_ids": _ids(batch, tokens), "decoder_input_ids": _ids(batch, 1), **self._options}
        return {**self._encoded(batch), "decoder_input_ids": _ids(batch, tokens), **self._options}

    def _encoded(self, batch: int) -> dict[str, Any]:
        from cnncost.sources.transformers_inputs import inputs_of

        main = self._model.main_input_name
        inputs: dict[str, Any] = with_batch({main: inputs_of(self._model)[main]}, batch)
        return inputs

    def next(self, batch: int, tokens: int, outcome: Any) -> Any:
        field = self._field(outcome)
        cache_and_options = {field: outcome[field], **self._options}
        if not self._encoder_decoder:
            return {"input_ids": _ids(batch, tokens), **cache_and_options}
        encoded = outcome.get("encoder_last_hidden_state")
        return {"decoder_input_ids": _ids(batch, tokens), "encoder_outputs": (encoded,), **cache_and_options}

    def cache(self, outcome: Any) -> Any:
        return outcome[self._field(outcome)]

    def _field(self, outcome: Any) -> str:
        returned = outcome if isinstance(outcome, Mapping) else {}
        for field in STATES:
            if field in self._parameters and returned.get(field) is not None:
                return field
        raise InputError(
            f"{self._name}: forward of {type(self._model).__name__} returned no cache: expected one of "
            f"{', '.join(STATES)} among {', '.join(returned) or type(outcome).__name__}"
        )


def _ids(batch: int, tokens: int) -> TensorText:
    return TensorText((batch, tokens), "int64")
