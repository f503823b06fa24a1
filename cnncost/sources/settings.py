"""The options that all commands and budget files share: inputs, batch, dtype, trace, autocast."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args

from cnncost.errors import InputError
from cnncost.shapes import parse_inputs
from cnncost.sources import json_inputs
from cnncost.sources.resolve import Resolved, Trace, resolve

if TYPE_CHECKING:
    from cnncost.sources.source import ModelSource

TRACES: tuple[Trace, ...] = get_args(Trace)
_DTYPES = {
    "half": "float16", "fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "float": "float32",
    "fp64": "float64", "double": "float64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """How to build and run the user's model. An attribute with its default value is an option that was not given.

    Attributes:
        inputs: shape strings as for `--input`.
        inputs_json: all arguments of forward as JSON; replaces `inputs`.
        model_args: keyword arguments for the factory or class.
        batch: batch size to set in each input.
        dtype: dtype of parameters, and of inputs that state none.
        trace: as for `analyze`; None: "auto".
        autocast: as for `analyze`.
    """

    inputs: tuple[str, ...] = ()
    inputs_json: str = ""
    model_args: dict[str, Any] = field(default_factory=dict)
    batch: int | None = None
    dtype: str | None = None
    trace: Trace | None = None
    autocast: str | None = None

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Settings:
        """Return the settings from the result of `to_data`, which may have been stored as JSON."""
        return cls(**{**data, "inputs": tuple(data["inputs"])})

    def to_data(self) -> dict[str, Any]:
        """Return the settings as plain data for JSON."""
        return asdict(self)

    @property
    def options(self) -> list[str]:
        """Names of the options that were given, such as `--input` and `--model-args`."""
        nothing = Settings()
        changed = [each.name for each in fields(self) if getattr(self, each.name) != getattr(nothing, each.name)]
        return [_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in changed]

    @property
    def tracing(self) -> Trace:
        """The kind of run to record; `auto` if none was given."""
        return self.trace or "auto"

    def check(self) -> None:
        """Check what can be checked without torch. Raises InputError."""
        if self.inputs_json:
            if self.inputs:
                raise InputError("--input and --inputs-json: expected one of them; --inputs-json gives all arguments")
            json_inputs.parse(self.inputs_json)
        elif self.inputs:
            parse_inputs(self.inputs)

    def parsed_inputs(self) -> Any:
        """Return the inputs, as for `analyze`; None if none were given. Raises InputError."""
        self.check()
        if self.inputs_json:
            return json_inputs.to_inputs(json_inputs.parse(self.inputs_json))
        return parse_inputs(self.inputs) if self.inputs else None

    def resolve(self, model: str | ModelSource) -> Resolved:
        """Build the model and return it with its inputs, ready to be recorded.

        Raises:
            CnncostError: an input, the dtype or the autocast is invalid, or `resolve` fails.
        """
        resolved = resolve(model, self.parsed_inputs(), self.model_args, self.casting(), self.batch)
        dtype = float_dtype(self.dtype)
        return resolved if dtype is None else resolved.to(dtype)

    def casting(self) -> Any:
        """Return the autocast to run under; None if none was given. Raises InputError for an invalid one."""
        return _autocast(self.autocast)

    def prepared(self, resolved: Resolved) -> Resolved:
        """Return a built model with the batch size and dtype set. Raises InputError if that is impossible."""
        dtype = float_dtype(self.dtype)
        if self.batch is not None:
            resolved = resolved.batched(self.batch)
        return resolved if dtype is None else resolved.to(dtype)


_OPTIONS = {"inputs": "--input"}
"""Options that are not named after their attribute."""


def _autocast(text: str | None) -> Any:
    if text is None:
        return None  # without importing torch, which an ONNX file does not need
    from cnncost.frontends.torch.autocast_setting import parse

    return parse(text)


def float_dtype(name: str | None) -> Any:
    """Return the floating-point torch.dtype of a name such as `bfloat16` or `bf16`; None for None.

    Raises:
        InputError: no floating-point dtype has this name.
    """
    if name is None:
        return None
    import torch

    dtype = getattr(torch, _DTYPES.get(name.lower(), name.lower()), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError(f"--dtype {name}: expected a floating-point dtype such as float32, bfloat16, float16")
    return dtype
