"""MODEL as a Transformers architecture: `hf:bert`, `hf:BertForMaskedLM`, or a local `hf:path/to/config.json`.

The model is built from its configuration alone; arguments set fields of the configuration. Nothing is downloaded.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnncost.errors import SourceError
from cnncost.near import suggestion
from cnncost.sources.causes import one_line
from cnncost.sources.offline import offline
from cnncost.sources.packages import importing, required
from cnncost.sources.source import ModelSource

PREFIX = "hf:"
_AUTO = (
    "AutoModel", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForImageClassification",
    "AutoModelForObjectDetection", "AutoModelForSemanticSegmentation", "AutoModelForDepthEstimation",
    "AutoModelForKeypointDetection", "AutoModelForTextToSpectrogram", "AutoModelForTextToWaveform", "AutoBackbone",
)  # fmt: skip
"""Auto classes to try, in order, for the model of a configuration."""


GENERATING = ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq", "AutoModelForCausalLM")
"""Auto classes of models that generate text, with their heads.

Encoder-decoders come first, because some are registered for AutoModelForCausalLM as well.
"""


def load(spec: str, first: tuple[str, ...] = ()) -> ModelSource:
    """Return the source of an architecture, named by model type, by class, or by a local configuration.

    Args:
        spec: the user's text.
        first: auto classes to try before the others, for a configuration that fits several.

    Raises:
        MissingPackageError: transformers is not installed.
        SourceError: there is no such type, class or file, the name is that of a model on the hub, or the configuration
            can't be read.
    """
    from cnncost.sources.transformers_inputs import inputs_of

    name = spec.removeprefix(PREFIX)
    with offline(spec):
        (transformers,) = required(spec, "transformers")
        with importing(spec, "transformers"):  # most of its modules are imported lazily
            factory = _from_file(spec, name, transformers, first) or _from_name(spec, name, transformers, first)
    return ModelSource("transformers", spec, factory, library=True, inputs_of=inputs_of)


def _from_file(spec: str, name: str, transformers: Any, first: tuple[str, ...]) -> Any:
    """Return a factory for `config.json` or its folder; None if there is no such path."""
    path = Path(name) / "config.json" if Path(name).is_dir() else Path(name)
    if not path.is_file():
        if Path(name).is_dir():
            raise SourceError(f"{spec}: the folder has no config.json; expected a configuration saved by Transformers")
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{spec}: {path} is not JSON: {one_line(error)}") from None
    kind = fields.get("model_type") if isinstance(fields, dict) else None
    types = _types(transformers)
    if kind not in types:
        problem = f"model_type {kind!r}, which this version doesn't know" if kind else "no model_type"
        near = suggestion(str(kind), types)
        raise SourceError(
            f"{spec}: {path} has {problem}; expected one of Transformers {transformers.__version__}{near}"
        )
    architecture = next(iter(fields.get("architectures") or []), None)

    def factory(**arguments: Any) -> Any:
        config = transformers.AutoConfig.for_model(**fields)
        _set(config, arguments)
        return _model(
            spec, transformers, config, getattr(transformers, architecture, None) if architecture else None, first
        )

    return factory


def _from_name(spec: str, name: str, transformers: Any, first: tuple[str, ...]) -> Any:
    """Return a factory for a model type or a class of Transformers. Raises SourceError if there is none."""
    types = _types(transformers)
    if name in types:
        model_class: Any = None
        config_class = types[name]
    else:
        model_class = getattr(transformers, name, None) if name.isidentifier() else None
        config_class = getattr(model_class, "config_class", None)
        if inspect.isclass(model_class) and issubclass(model_class, transformers.PretrainedConfig):
            model_class, config_class = None, model_class
        if config_class is None:
            classes = (n for n in dir(transformers) if n.endswith("Model"))
            raise SourceError(_unknown_message(spec, name, types, classes))

    def factory(**arguments: Any) -> Any:
        config = _configured(config_class, arguments)
        return _model(spec, transformers, config, model_class, first)

    return factory


def model_types(transformers: Any) -> list[str]:
    """Return the model types that `hf:` accepts."""
    return list(_types(transformers))


def _types(transformers: Any) -> Any:
    """Return the configuration classes by model type."""
    return transformers.models.auto.configuration_auto.CONFIG_MAPPING


def _unknown_message(spec: str, name: str, types: Iterable[str], classes: Iterable[str]) -> str:
    if "/" in name or "-" in name:  # no class of Transformers has either
        kind = _type_in(name, types)
        alternative = f"hf:{kind}, in its default configuration" if kind else "hf:bert"
        return (
            f"{spec}: no local file or folder of this name, and models on the hub are not downloaded. "
            f"Give the architecture, {'' if kind else 'for example '}{alternative} (--model-args sets its fields), or "
            "download the model's config.json and give that: hf:path/to/config.json"
        )
    near = suggestion(name, [*types, *classes])
    return f"{spec}: no model type or class of Transformers, and no local configuration{near}"


def _type_in(name: str, types: Iterable[str]) -> str:
    """Return the model type with which a hub name begins, such as `bert` of `bert-base-uncased`; empty without one."""
    last = name.rpartition("/")[2].lower().replace("_", "-")
    spelled = {kind.lower().replace("_", "-"): kind for kind in types}
    prefixes = [kind for kind in spelled if last == kind or last.startswith((f"{kind}-", f"{kind}."))]
    return spelled[max(prefixes, key=len)] if prefixes else ""


def _configured(config_class: Any, arguments: dict[str, Any]) -> Any:
    """Return a configuration whose constructor was given these fields, so that others (`head_dim`) follow from them.

    Raises:
        ValueError: the configuration has no such field.
    """
    default = config_class()
    # parts: nested configurations, whose fields are set one by one
    parts = {
        name: value for name, value in arguments.items()
        if isinstance(value, dict) and hasattr(getattr(default, name, None), "to_dict")
    }  # fmt: skip
    _set(default, arguments)  # raises for unknown names; the constructor would accept them silently
    config = config_class(**{name: value for name, value in arguments.items() if name not in parts})
    _set(config, parts)
    return config


def _derived_fields(part: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the fields, with their values, that a nested configuration's constructor derives from its arguments.

    Derived fields are found by calling the constructor with the arguments alone: they then differ from its defaults.
    Their values come from a second call, which is also given all other fields of the nested configuration.
    """
    flat = {name: value for name, value in arguments.items() if not hasattr(getattr(part, name, None), "to_dict")}
    try:
        default, alone = type(part)().to_dict(), type(part)(**flat).to_dict()
        names = {name for name, value in alone.items() if name not in flat and default.get(name) != value}
        other_fields = {name: value for name, value in part.to_dict().items() if name not in names}
        rebuilt = type(part)(**{**other_fields, **flat}) if names else None
    except Exception:  # noqa: BLE001  # the constructor needs further arguments: no field is derived
        return {}
    return {name: getattr(rebuilt, name) for name in names}


def _set(config: Any, arguments: dict[str, Any]) -> None:
    """Set fields of a configuration in place; a dict sets fields of a nested configuration.

    Raises:
        ValueError: the configuration has no such field, so setting it would have no effect.
    """
    for name, value in arguments.items():
        if not hasattr(config, name) and not _is_read(config, name):
            near = suggestion(name, config.to_dict())
            raise ValueError(f"{type(config).__name__} has no field {name}{near}")
        part = getattr(config, name, None)
        if isinstance(value, dict) and hasattr(part, "to_dict"):
            derived_fields = _derived_fields(part, value)
            _set(part, value)
            for field, derived in derived_fields.items():
                setattr(part, field, derived)
        else:
            setattr(config, name, value)


def _is_read(config: Any, name: str) -> bool:
    """Return whether the architecture's code reads this field, such as `head_dim`, if the configuration has it."""
    home = Path(sys.modules[type(config).__module__].__file__ or "").parent
    code = "".join(file.read_text(encoding="utf-8") for file in home.glob("modeling_*.py"))
    return re.search(rf"getattr\((self\.)?config, [\"']{re.escape(name)}[\"']", code) is not None


def _model(spec: str, transformers: Any, config: Any, model_class: Any, first: tuple[str, ...]) -> Any:
    """Build a configuration's model: a `model_class`, or if that is None, the model of the first fitting auto class."""
    if model_class is not None:
        return model_class._from_config(config)
    if not config.architectures:
        config.architectures = []  # not None: some auto classes iterate over it
    for auto in (*first, *_AUTO):
        mapping = getattr(transformers, auto)._model_mapping
        if type(config) in mapping:
            with importing(spec, "transformers"):
                mapping[type(config)]  # imports its code
            return getattr(transformers, auto).from_config(config)
    raise ValueError(f"Transformers has no model for {type(config).__name__}; name its class, as in hf:BertModel")
