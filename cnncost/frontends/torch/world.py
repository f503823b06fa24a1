"""Simulates a distributed job in one process, in which a split model is analyzed as one of the ranks.

Torch's fake process group stands in for the other ranks: constructors and `fully_shard` run as usual, and collectives
move nothing but are recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from typing import Any

import torch.distributed as dist

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.distributed import forget_plans, make_fake_world


@contextmanager
def world(size: int, mesh: Mapping[str, int] | None = None, rank: int = 0) -> Iterator[Any]:
    """Context in which this process simulates one rank of a distributed job, to split and analyze models.

        with cnncost.world(size=8, mesh={"dp": 2, "tp": 4}) as mesh:
            model = build()
            parallelize_module(model, mesh["tp"], plan)
            fully_shard(model, mesh=mesh["dp"])
            report = cnncost.analyze(model, inputs, training=True)

    No process is started and nothing is sent. The world ends with the context: a model that was split in it can't be
    analyzed afterwards, but reports remain valid.

    Args:
        size: number of ranks.
        mesh: sizes of the mesh axes by name, outermost first, whose product is `size`; by default one axis, `dp`.
        rank: the rank of this process.

    Yields:
        The mesh, a `torch.distributed.device_mesh.DeviceMesh` of CPUs: what a rank holds, computes and sends does not
        depend on the device.

    Raises:
        InputError: the mesh has another size, the rank is outside the world, torch was built without distributed, or
            there is a process group already. With one, models are analyzed without this context.
    """
    axes = dict(mesh) if mesh is not None else {"dp": size}
    _check(size, axes, rank)
    make_fake_world(size, rank)
    try:
        from torch.distributed.device_mesh import init_device_mesh

        forget_plans()  # DTensor's caches may refer to the process groups of an earlier world
        yield init_device_mesh("cpu", tuple(axes.values()), mesh_dim_names=tuple(axes))
    finally:
        forget_plans()
        dist.destroy_process_group()


def _check(size: int, axes: dict[str, int], rank: int) -> None:
    numbers = {"size": size, "rank": rank, **{f"mesh axis {name!r}": n for name, n in axes.items()}}
    for name, n in numbers.items():
        least = 0 if name == "rank" else 1
        if type(n) is not int or n < least:
            raise InputError(f"world: {name}: expected an integer from {least} up, got {n!r}")
    if rank >= size:
        raise InputError(f"world: rank: expected one of the {size} ranks, 0 to {size - 1}, got {rank}")
    if prod(axes.values()) != size:
        product = " × ".join(f"{name} {n}" for name, n in axes.items())
        raise InputError(
            f"world: mesh: expected axes whose sizes multiply to {size}, got {product} = {prod(axes.values())}"
        )
    if not dist.is_available():
        raise InputError("world: this torch was built without torch.distributed; expected one that was built with it")
    if dist.is_initialized():
        raise InputError(
            f"world: this process has a process group already, of {dist.get_world_size()} ranks; analyze a model that "
            "is split over it without `cnncost.world`, or end the group first with "
            "`torch.distributed.destroy_process_group()`"
        )
