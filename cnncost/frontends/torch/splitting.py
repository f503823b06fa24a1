"""Splits a model over a device mesh: shards blocks (`fsdp`), splits modules by a plan (`tp`), replicates it (`dp`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.styles import own_plan, parallelize, path_matches

AXES = ("dp", "fsdp", "tp")
"""Names of the mesh axes over which a model can be split, outermost first: replicas, shards, parts of tensors."""
MIXED = {"bf16": torch.bfloat16, "bfloat16": torch.bfloat16, "fp16": torch.float16, "float16": torch.float16}


class SplitModel(NamedTuple):
    """A split model, and notes on how it was split."""

    model: nn.Module
    notes: tuple[str, ...]


def split_module(
    model: nn.Module, mesh: Any, plan: Mapping[str, Any] | None = None, mixed: str | None = None,
    blocks: str | None = None,
) -> SplitModel:  # fmt: skip
    """Split a model over a mesh: in place, except that `dp` without `fsdp` wraps it in DistributedDataParallel.

    Args:
        model: the model, with or without weights.
        mesh: a `DeviceMesh` with some of the axes `dp`, `fsdp` and `tp`.
        plan: for `tp`; see `cnncost.split`.
        mixed: for `fsdp`; see `cnncost.split`.
        blocks: for `fsdp`; see `cnncost.split`.

    Raises:
        InputError: an axis is unknown, or a model or option can't be used with the axes.
    """
    names = tuple(getattr(mesh, "mesh_dim_names", None) or ())
    check_axes(names)
    check_options(names, plan=plan, mixed=mixed, blocks=blocks)
    notes = []
    if "fsdp" in names:
        chosen = _blocks(model, blocks)  # before tensor parallelism changes the modules
    if "tp" in names:
        parallelize(model, mesh["tp"], plan)
        whose = "its tp_plan" if plan is None else "the plan given"
        notes.append(f"tensor parallel by {whose}")
    if "fsdp" in names:
        notes.append(f"fully sharded by {_in_words(chosen)}, then the rest")
        _shard(model, mesh["dp", "fsdp"] if "dp" in names else mesh["fsdp"], chosen, mixed)
    elif "dp" in names:
        from torch.nn.parallel import DistributedDataParallel

        # init_sync would compare and broadcast parameters, but those of simulated ranks are equal
        model = DistributedDataParallel(model, process_group=mesh.get_group("dp"), init_sync=False)
        notes.append("replicated by DistributedDataParallel")
    return SplitModel(model, tuple(notes))


def check_axes(names: tuple[str, ...]) -> None:
    """Raise InputError for mesh axes, or combinations of axes, over which models can't be split."""
    from cnncost.near import suggestion

    if not names:
        raise InputError(f"split: the mesh's axes have no names; expected one or more of {', '.join(AXES)}")
    for name in names:
        if name not in AXES:
            raise InputError(
                f"split: unknown mesh axis {name!r}{suggestion(name, AXES)}; expected {', '.join(AXES)} (replicas, "
                "shards of parameters, parts of tensors)"
            )
    if "dp" in names and "tp" in names and "fsdp" not in names:
        raise InputError(
            "split: dp with tp: DistributedDataParallel does not accept tensors that are split; expected an axis fsdp "
            "between the two, of size 1 to shard nothing: dp=2,fsdp=1,tp=2"
        )


def check_options(names: tuple[str, ...], *, plan: Any = None, mixed: Any = None, blocks: Any = None) -> None:
    """Raise InputError for an option without the axis to which it applies, and for an unknown dtype."""
    for axis, option, value in (("tp", "plan", plan), ("fsdp", "mixed", mixed), ("fsdp", "blocks", blocks)):
        if value is not None and axis not in names:
            more = "; without it, use --autocast or --dtype" if option == "mixed" else ""
            raise InputError(f"split: {option} applies to the axis {axis}, which the mesh doesn't have{more}")
    if mixed is not None and mixed not in MIXED:
        raise InputError(f"split: mixed: expected one of {', '.join(MIXED)}, got {mixed!r}")


def _shard(model: nn.Module, mesh: Any, chosen: dict[str, nn.Module], mixed: str | None) -> None:
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    options: dict[str, Any] = {"mesh": mesh}
    if mixed is not None:
        options["mp_policy"] = MixedPrecisionPolicy(param_dtype=MIXED[mixed], reduce_dtype=torch.float32)
    for module in chosen.values():
        fully_shard(module, **options)
    fully_shard(model, **options)


def _blocks(model: nn.Module, pattern: str | None) -> dict[str, nn.Module]:
    """Return the repeated blocks by path: modules that match `pattern` if given, else the children of the longest list.

    A list is a ModuleList or Sequential of two or more modules of one class. Blocks are also the children of other
    lists of that class (stages of one network), and of lists that neither contain nor are inside a chosen one (a
    decoder next to an encoder).

    Raises:
        InputError: there are no blocks, or the pattern matches a module without a forward.
    """
    if pattern is not None:
        named = {path: module for path, module in model.named_modules() if path and path_matches(pattern, path)}
        for path, module in named.items():
            if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
                raise InputError(
                    f"split: blocks: {path} is a {type(module).__name__}, which has no forward; expected the modules "
                    f"inside, such as '{path}.*'"
                )
        if not named:
            raise InputError(
                f"split: blocks: {pattern}: no module of this path; expected a path such as 'layers.*', in which * "
                f"matches one name; {type(model).__name__} has {', '.join(name for name, _ in model.named_children())}"
            )
        return named
    lists = [(path, children) for path, module in model.named_modules() if (children := _repeated_children(module))]
    if not lists:
        raise InputError(
            f"fsdp: {type(model).__name__} has no repeated blocks (no ModuleList or Sequential of two or more modules "
            "of one class), so it is unknown what to shard; name the modules: --blocks 'features.*', or "
            "cnncost.split(model, mesh, blocks='features.*')"
        )
    classes: set[type] = set()
    taken: list[str] = []
    lists.reverse()  # the sort is stable: among lists of equal length the innermost comes first
    for path, children in sorted(lists, key=lambda found: -len(found[1])):
        if type(children[0]) in classes or not any(_overlap(path, other) for other in taken):
            classes.add(type(children[0]))
            taken.append(path)
    return {
        f"{path}.{name}" if path else name: child
        for path, children in reversed(lists) if type(children[0]) in classes
        for name, child in model.get_submodule(path).named_children()
    }  # fmt: skip


def _overlap(path: str, other: str) -> bool:
    """Return True if one of the modules at two paths contains the other, or they are the same."""
    return f"{path}.".startswith(f"{other}." if other else "") or f"{other}.".startswith(f"{path}." if path else "")


def _repeated_children(module: nn.Module) -> list[nn.Module]:
    """Return a list's children if there are several, of one class, with children and parameters; else an empty list."""
    if not isinstance(module, (nn.ModuleList, nn.Sequential)):
        return []
    children = list(module)
    fits = len(children) > 1 and len({type(child) for child in children}) == 1
    return children if fits and all(_has_parts(child) for child in children) else []


def _has_parts(module: nn.Module) -> bool:
    """Return True if a module has children and parameters."""
    return next(module.children(), None) is not None and next(module.parameters(), None) is not None


def _in_words(chosen: dict[str, nn.Module]) -> str:
    """Describe the blocks: `layers.0 … layers.31 (32 LlamaDecoderLayer)`."""
    paths, classes = list(chosen), {type(module).__name__ for module in chosen.values()}
    ends = paths[0] if len(paths) == 1 else f"{paths[0]} … {paths[-1]}"
    return f"{ends} ({len(paths)} {'/'.join(sorted(classes))})"


__all__ = ["AXES", "SplitModel", "check_axes", "check_options", "own_plan", "split_module"]
