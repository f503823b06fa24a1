"""Splits a model over a device mesh (`--parallel`, `cnncost.split`) by data, fully sharded or tensor parallelism."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from cnncost.errors import CnncostError, DataDependentError, InputError
from cnncost.sources.find import find
from cnncost.sources.resolve import Resolved, resolve
from cnncost.sources.source import ModelSource

if TYPE_CHECKING:
    from torch import nn

    from cnncost.sources.settings import Settings

_ORDER = ("dp", "fsdp", "tp")
"""Axes of the mesh, outermost first: ranks along the last axis are neighbours, on one node if possible."""
_EXAMPLE = "expected sizes of axes such as fsdp=8,tp=2"


@dataclass(frozen=True, slots=True)
class Parallel:
    """The device mesh, and how a model is split over it.

    Attributes:
        axes: sizes of the mesh's axes by name, outermost first.
        rank: the rank that is analyzed.
        mixed: dtype in which a fully sharded model computes; None: the parameters'. Gradients are reduced in float32.
        plan: for tensor parallelism, styles (such as `colwise`) by module path; None: the model's own plan.
        blocks: pattern of the paths of the modules that `fully_shard` wraps; None: the repeated blocks.
    """

    axes: dict[str, int] = field(default_factory=dict)
    rank: int = 0
    mixed: str | None = None
    plan: dict[str, str] | None = None
    blocks: str | None = None

    @property
    def size(self) -> int:
        """Number of ranks."""
        return prod(self.axes.values())

    @contextmanager
    def resolved(self, model: str | ModelSource, settings: Settings) -> Iterator[Resolved]:
        """Context manager that yields the model, built without weights and split, inside a simulated world.

        Raises:
            CnncostError: `Settings.resolve`, `world` or `split` failed, or the model can't be split.
        """
        source = find(model)
        if source.saved:
            raise InputError(f"--parallel: {source.text} is a saved report, which can't be split; give the model")
        if source.follow is not None:
            raise InputError(f"--parallel: {source.text} is an ONNX file, which has no modules to split")
        if source.method:
            raise InputError(
                f"--parallel: {source.text}: only a model's own forward can be split; leave out #{source.method}"
            )
        if settings.trace == "real":
            raise InputError(
                "--parallel: a split model is analyzed without data, because there are no other ranks to communicate "
                "with; leave out --trace real"
            )
        from cnncost.frontends.torch.world import world

        with world(self.size, self.axes, self.rank) as mesh:
            built = split(settings.resolve(source), mesh, plan=self.plan, mixed=self.mixed, blocks=self.blocks)
            axes = " × ".join(f"{name} {n}" for name, n in self.axes.items())
            with _without_values(source.text):
                yield replace(built, notes=(f"rank {self.rank} of {self.size}: {axes}", *built.notes))


@contextmanager
def _without_values(name: str) -> Iterator[None]:
    """Context manager that explains the error of a forward that reads values, and silences one of FSDP's warnings."""
    try:
        with warnings.catch_warnings():  # the warning is about in-place writes, which don't matter in a single run
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
            yield
    except DataDependentError as error:
        message = f"{error.args[0]}; {name} is split, and a split model is analyzed without data: leave out --parallel"
        error.args = (message, *error.args[1:])
        raise


def parse(
    text: str, *, rank: int = 0, mixed: str | None = None, plan: tuple[str, ...] = (), blocks: str | None = None
) -> Parallel:
    """Parse `--parallel fsdp=8,tp=2` and the options that go with it, without importing torch.

    Raises:
        InputError: an axis is unknown or given twice, a size or plan is invalid, the rank is outside the mesh, or the
            mesh has only one rank.
    """
    from cnncost.near import suggestion

    axes: dict[str, int] = {}
    for part in text.split(","):
        name, equals, size = (each.strip() for each in part.partition("="))
        if not equals or not name:
            raise InputError(f"--parallel {text!r}: {part.strip()!r}: {_EXAMPLE}")
        if name not in _ORDER:
            raise InputError(
                f"--parallel {text!r}: no axis {name!r}{suggestion(name, _ORDER)}; expected {', '.join(_ORDER)}"
            )
        if name in axes:
            raise InputError(f"--parallel {text!r}: {name} is given twice")
        if not (size.isascii() and size.isdecimal()) or not int(size):
            raise InputError(f"--parallel {text!r}: {name}: expected 1 or more ranks, got {size!r}")
        axes[name] = int(size)
    axes = {name: axes[name] for name in _ORDER if name in axes}
    parallel = Parallel(axes, rank, mixed, _plan(plan), blocks)
    if parallel.size == 1:
        raise InputError(f"--parallel {text!r}: a world of one rank splits nothing; leave out --parallel")
    if not 0 <= rank < parallel.size:
        raise InputError(f"--rank {rank}: expected one of the {parallel.size} ranks, 0 to {parallel.size - 1}")
    return parallel


def _plan(texts: tuple[str, ...]) -> dict[str, str] | None:
    """Parse `--plan PATH=STYLE,…` into styles by path; None if no plan is given. Raises InputError."""
    plan: dict[str, str] = {}
    for text in texts:
        for part in text.split(","):
            path, equals, style = (each.strip() for each in part.partition("="))
            if not equals or not path or not style:
                raise InputError(f"--plan {text!r}: expected MODULE=STYLE, for example 'blocks.*.up=colwise'")
            plan[path] = style
    return plan or None


def split(
    model: nn.Module | str | Resolved, mesh: Any, inputs: Any = None, *, plan: Mapping[str, Any] | None = None,
    mixed: str | None = None, blocks: str | None = None, model_args: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Split a model over a mesh, for `analyze`.

        with cnncost.world(size=16, mesh={"fsdp": 8, "tp": 2}) as mesh:
            model = cnncost.split("hf:llama", mesh, mixed="bf16")
            report = cnncost.analyze(model, training=True, optimizer="adamw")

    Tensor parallelism is applied first, then `fully_shard` to each repeated block and to the whole model. Inputs are
    those of a single rank.

    Args:
        model: an `nn.Module`, which is split in place, or a specification such as `"hf:llama"`, which is built without
            weights.
        mesh: a `DeviceMesh` with named axes: `fsdp`, over which all parameters are sharded; `tp`, over which the layers
            in `plan` are split; `dp`, over which the model is replicated: by `fully_shard` if there is an `fsdp` axis,
            else by `DistributedDataParallel`.
        inputs: as for `analyze`, for a specification without inputs of its own. Give a module's inputs to `analyze`.
        plan: for `tp`: styles by module path, in which `*` stands for a name. A style is one of torch's
            `ParallelStyle`s, or a word as in Transformers' `tp_plan`: `colwise`, `rowwise`, `colwise_gather_output`,
            `rowwise_split_input`, `embedding_rowwise`, `embedding_colwise`, `sequence_parallel`, …. None: a
            Transformers model's own `tp_plan`.
        mixed: for `fsdp`: `"bf16"` or `"fp16"`, the dtype in which parameters are gathered and used; gradients are
            reduced in float32.
        blocks: for `fsdp`: the paths of modules that are sharded one by one, such as `"layers.*"`. None: all modules of
            the class that fills the longest `ModuleList` or `Sequential`.
        model_args: as for `analyze`.

    Returns:
        A model for `analyze`: the module, wrapped if replicated; for a specification, the built model with inputs.

    Raises:
        InputError: the mesh has other axes, the model can't be split over them, a size can't be divided among the
            ranks, or the plan is for modules that don't exist.
        SourceError: as for `analyze`.
    """
    if isinstance(model, (str, Resolved)):
        resolved = resolve(model, inputs, model_args)
        result = _split(resolved.model, mesh, resolved.name, plan, mixed, blocks)
        source = ModelSource("object", resolved.name, lambda: result.model)
        return replace(
            resolved, source=source, model=result.model, weightless=False,  # can't be built again with weights
            device=resolved.device or _reported_device(resolved), notes=(*resolved.notes, *result.notes),
        )  # fmt: skip
    from torch import nn

    if not isinstance(model, nn.Module):
        raise InputError(f"split: expected an nn.Module or a specification, got {type(model).__name__}")
    if model_args or inputs is not None:
        argument = "model_args" if model_args else "inputs"
        raise InputError(
            f"split: {argument}: only for a specification such as 'net.py:Net', but a model was given; give its inputs "
            "to analyze"
        )
    return _split(model, mesh, "", plan, mixed, blocks).model


def _split(model: Any, mesh: Any, name: str, plan: Any, mixed: Any, blocks: Any) -> Any:
    """Return the result of `split_module`: a model and notes. Error messages are prefixed with `name` if given."""
    from cnncost.frontends.torch.splitting import split_module

    try:
        return split_module(model, mesh, plan, mixed, blocks)
    except CnncostError as error:
        if name:
            error.args = (f"{name}: {error.args[0]}", *error.args[1:])
        raise


def _reported_device(resolved: Resolved) -> str | None:
    """Return the device that tensors report: the CPU if there are no weights, which would be on it; None: their own."""
    return "cpu" if resolved.weightless else None
