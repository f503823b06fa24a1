"""Process groups, DTensor, FSDP and DDP: private names of `torch.distributed`.

Modules are looked up in `sys.modules` instead of being imported, which takes half a second: only a split model needs
them, and then they are loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from cnncost.errors import InputError
from cnncost.frontends.torch.compat import facts

STATES_OF_SPLIT_MODULES = "torch.distributed.fsdp._fully_shard"
"""The package whose objects hold the parameters of a module after `fully_shard`, and run its collectives in hooks."""

FLAT = ("torch.distributed.fsdp.fully_sharded_data_parallel", "FullyShardedDataParallel")
"""Module and name of FSDP1's class, which joins parameters into flat ones that C++ and its handles share."""

_STATES = "torch.distributed._composable_state"
"""The module with the table of the states that `fully_shard` gives to modules."""
PROPAGATION = "torch.distributed.tensor._sharding_prop"
"""The module in which DTensor chooses how an op's result is split."""
_PROPAGATES = ("_propagate_tensor_meta", "_propagate_tensor_meta_non_cached")
"""Methods of DTensor's `ShardingPropagator` that run an op on fake tensors to infer the result's shape."""


def is_split(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a DTensor."""
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    return kind is not None and isinstance(tensor, kind)


def any_split(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether any of the tensors is a DTensor. Skips the search if DTensor's module is not loaded."""
    return "torch.distributed.tensor" in sys.modules and any(map(is_split, tensors))


def local_of(tensor: Any) -> torch.Tensor:
    """A DTensor's part on this rank: the tensor object itself, whereas `to_local` returns a view."""
    part: torch.Tensor = tensor._local_tensor
    return part


def settle(tensor: Any) -> None:
    """Compute and cache the hash of a DTensor's spec: otherwise the first op would do so, and change the object."""
    hash(tensor._spec)


def split_like(tensor: Any, local: torch.Tensor) -> torch.Tensor:
    """A DTensor with the spec of another and the given local part."""
    result: torch.Tensor = type(tensor)(local, tensor._spec, requires_grad=tensor.requires_grad)
    return result


def propagation_places() -> Iterator[tuple[Any, str]]:
    """The methods by which DTensor infers shapes: the ops that they run are not the model's."""
    kind = getattr(sys.modules.get(PROPAGATION), "ShardingPropagator", None)
    return ((kind, name) for name in _PROPAGATES if hasattr(kind, name)) if kind is not None else iter(())


def places_left_by_context_parallel() -> Iterator[tuple[Any, str]]:
    """The attributes that `context_parallel` replaces and, up to torch 2.12, does not restore if an error ends it."""
    if facts.CONTEXT_PARALLEL_RESTORES_AFTER_ERRORS:
        return
    yield torch.nn.functional, "scaled_dot_product_attention"
    kind: Any = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    if kind is not None:
        yield kind._op_dispatcher, "_custom_op_handlers"


def without_its_autograd(name: str) -> Callable[[dict[str, Any]], torch.Tensor]:
    """A function that runs the functional collective `name` without autograd, given its arguments by name."""

    def run(arguments: dict[str, Any]) -> torch.Tensor:
        op = getattr(torch.ops._c10d_functional, name).default
        result: torch.Tensor = op(*[arguments[argument.name] for argument in op._schema.arguments])
        return result

    return run


def states_by_module() -> Any:
    """A weak mapping from modules to weak references to their states; None if no module can have one."""
    return getattr(sys.modules.get(_STATES), "_module_state_mapping", None)


def group_of(group: Any) -> Any:
    """Return the group that a collective's argument refers to: a `ProcessGroup`, a boxed one, or a group's name.

    Raises:
        InputError: the group no longer exists.
    """
    from torch._C import _distributed_c10d as c10d

    if isinstance(group, c10d.ProcessGroup):
        return group
    resolve: Any = c10d._resolve_process_group  # its argument has a type of its own since torch 2.10
    try:
        return resolve(group) if isinstance(group, str) else c10d.ProcessGroup.unbox(group)
    except RuntimeError:
        raise InputError(
            f"the process group {group!r} that this model was split over is gone; expected a model that is split and "
            "analyzed in the same world, within one `with cnncost.world(size=…)`"
        ) from None


def ranks_in(group: Any) -> list[int]:
    """The global ranks of a process group's members, ascending."""
    import torch.distributed as dist

    return sorted(dist.get_process_group_ranks(group))


def finished_work() -> Any:
    """A `Work` handle of a finished collective, boxed as c10d's ops return it."""
    from torch._C import _distributed_c10d as c10d

    return c10d.FakeWork().boxed()


def forget_plans() -> None:
    """Clear DTensor's caches: keys compare meshes by shape, so an entry may hold the process groups of another mesh."""
    from torch.distributed.tensor import DTensor, _redistribute, debug

    for name in ("_clear_python_sharding_prop_cache", "_clear_fast_path_sharding_prop_cache"):
        getattr(debug, name, _no_cache)()
    if not hasattr(debug, "_clear_python_sharding_prop_cache"):  # torch 2.9
        DTensor._op_dispatcher.sharding_propagator.propagate_op_sharding.cache.cache_clear()
    getattr(_redistribute._gen_transform_infos, "cache_clear", _no_cache)()


def _no_cache() -> None:
    """Do nothing: this version of torch has no such cache."""


def all_reduce(group: Any, tensor: torch.Tensor) -> None:
    """Sum a tensor over a group, in place."""
    group.allreduce([tensor])


def broadcast(group: Any, tensor: torch.Tensor) -> None:
    """Copy the tensor of a group's first rank into that of every other rank, in place."""
    group.broadcast(tensor, 0)


def buckets(tensors: list[Any], limits: tuple[int, ...]) -> list[list[int]]:
    """Indices of the tensors in each of `DistributedDataParallel`'s buckets; `limits` is from `bucket_limits`."""
    from torch._C import _distributed_c10d as c10d

    assigned, _ = c10d._compute_bucket_assignment_by_size(tensors, list(limits), [False] * len(tensors))
    return [list(indices) for indices in assigned]


def bucket_limits(model: Any) -> tuple[int, ...]:
    """Maximum bytes of the first bucket of a `DistributedDataParallel` module, and of each later one."""
    from torch._C import _distributed_c10d as c10d

    return (int(c10d._DEFAULT_FIRST_BUCKET_BYTES), int(model.bucket_bytes_cap))


def has_hook(model: Any) -> bool:
    """Whether a communication hook is registered with a `DistributedDataParallel` module."""
    return bool(getattr(model, "_comm_hooks", ()))


def make_fake_world(size: int, rank: int) -> None:
    """Initialize torch's fake process group as the default: its collectives return immediately and move no data."""
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
