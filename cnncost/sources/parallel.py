"""Splits a model over a device mesh (`--parallel`, `cnncost.split`): data, fully sharded and tensor parallel."""

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
"""Axes of the mesh, outermost first: ranks along the last axis are neighbours, if possible on one node."""
_EXAMPLE = "expected sizes of axes such as fsdp=8,tp=2"


@dataclass(frozen=True, slots=True)
class Parallel:
    """The device mesh, and how a model is split over it.

    Attributes:
        axes: sizes of the mesh's axes by name, outermost first.
        rank: the rank that is analyzed.
        mixed: dtype in which a fully sharded model computes; its gradients are reduced in float32.
        plan: style (such as `colwise`) by module path, for tensor parallel; None: the model's own plan.
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
        """Context manager: the model built without weights and split, in a simulated world that ends with the context.

        Raises:
            CnncostError: an error of `Settings.resolve`, `world` or `split`, or a model that can't be split.
        """
        source = find(model)
        if source.saved:
            raise InputError(f"--parallel: {source.text} is a saved report, of the run that it was made for")
        if source.follow is not None:
            raise InputError(f"--parallel: {source.text} is a file of ops, whose modules can't be split")
        if source.method:
            raise InputError(
                f"--parallel: {source.text}: expected a model with its own forward, without #{source.method}"
            )
        if settings.trace == "real":
            raise InputError(
                "--parallel: a split model is analyzed without data, as there are no other ranks to answer; leave out "
                "--trace real"
            )
        from cnncost.frontends.torch.world import world

        with world(self.size, self.axes, self.rank) as mesh:
            built = split(settings.resolve(source), mesh, plan=self.plan, mixed=self.mixed, blocks=self.blocks)
            axes = " × ".join(f"{name} {n}" for name, n in self.axes.items())
            with _without_values(source.text):
                yield replace(built, notes=(f"rank {self.rank} of {self.size}: {axes}", *built.notes))


@contextmanager
def _without_values(name: str) -> Iterator[None]:
    """Context manager that explains the error of a forward that reads values, and silences a warning of FSDP's."""
    try:
        with warnings.catch_warnings():  # it advises against in-place writes, which don't matter in one run
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
        InputError: an unknown or duplicate axis, an invalid size, a rank outside of the mesh, or only one rank.
    """
    from cnncost.near import suggestion

    axes: dict[str, int] = {}
    for part in text.split(","):
        name, equals, size = (each.strip() for each in part.partition("="))
        if not equals or not name:
            raise InputError(f"--parallel {text!r}: {part.strip()!r}: {_EXAMPLE}")
        if name not in _ORDER:
            raise InputError(
                f"--parallel {text!r}: no axis {name!r}{suggestion(name, _ORDER)}; there are {', '.join(_ORDER)}"
            )
        if name in axes:
            raise InputError(f"--parallel {text!r}: {name} is given twice")
        if not (size.isascii() and size.isdecimal()) or not int(size):
            raise InputError(f"--parallel {text!r}: {name}: expected a number of ranks from 1 up, got {size!r}")
        axes[name] = int(size)
    axes = {name: axes[name] for name in _ORDER if name in axes}
    parallel = Parallel(axes, rank, mixed, _plan(plan), blocks)
    if parallel.size == 1:
        raise InputError(f"--parallel {text!r}: a world of one rank, in which nothing is split; leave it out")
    if not 0 <= rank < parallel.size:
        raise InputError(f"--rank {rank}: expected one of the {parallel.size} ranks, 0 to {parallel.size - 1}")
    return parallel


def _plan(texts: tuple[str, ...]) -> dict[str, str] | None:
    """Parse `--plan PATH=STYLE,…` to styles by path; None if no plan is given. Raises InputError."""
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
    those of one rank.

    Args:
        model: an `nn.Module`, which is split in place, or a specification such as `"hf:llama"`, which is built without
            weights.
        mesh: a `DeviceMesh` with named axes: `fsdp`, over which all parameters are sharded; `tp`, over which the layers
            in `plan` are split; `dp`, over which the model is replicated: by `fully_shard` if there is an `fsdp` axis,
            else by `DistributedDataParallel`.
        inputs: as for `analyze`, for a specification without inputs of its own. A module's are given to `analyze`.
        plan: for `tp`: styles, as words (`colwise`, `rowwise`, `colwise_gather_output`, `rowwise_split_input`,
            `embedding_rowwise`, `embedding_colwise`, `sequence_parallel`, …, as in Transformers' `tp_plan`) or torch's
            `ParallelStyle`s, by the modules' paths, in which `*` stands for a name. None: a Transformers model's own
            `tp_plan`.
        mixed: for `fsdp`: `"bf16"` or `"fp16"`, in which parameters are gathered and computed with; gradients are
            reduced in float32.
        blocks: for `fsdp`: the paths of modules that are sharded one by one, such as `"layers.*"`. None: all modules of
            the class that fills the longest `ModuleList` or `Sequential`.
        model_args: as for `analyze`.

    Returns:
        A model for `analyze`: the module, wrapped if replicated; for a specification, the built model with inputs.

    Raises:
        InputError: a mesh with other axes, a model that can't be split over them, sizes that can't be divided among the
            ranks, a plan for modules that don't exist.
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
            f"split: {argument}: expected a specification such as 'net.py:Net' with them, got a model; analyze takes "
            "its inputs"
        )
    return _split(model, mesh, "", plan, mixed, blocks).model


def _split(model: Any, mesh: Any, name: str, plan: Any, mixed: Any, blocks: Any) -> Any:
    """Return the result of `split_module`: a model and notes. `name` is prepended to errors."""
    from cnncost.frontends.torch.splitting import split_module

    try:
        return split_module(model, mesh, plan, mixed, blocks)
    except CnncostError as error:
        if name:
            error.args = (f"{name}: {error.args[0]}", *error.args[1:])
        raise


def _reported_device(resolved: Resolved) -> str | None:
    """Return the device that tensors report: for a model without weights the CPU, where one with weights would be."""
    return "cpu" if resolved.weightless else None
