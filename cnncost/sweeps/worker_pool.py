"""The workers of a sweep: this process, other processes of this machine, or a Dask or Ray cluster, run by joblib."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from math import inf
from typing import Any, Literal, Self, TypeAlias, get_args

from cnncost.endings import unwinding
from cnncost.errors import InputError, MissingPackageError, SweepError
from cnncost.sweeps.processes import Processes
from cnncost.sweeps.work import prepare

Backend: TypeAlias = Literal["processes", "dask", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
_WAIT = 10
"""Seconds to wait for a scheduler's answer."""


class WorkerPool:
    """Workers of one of joblib's backends.

    Args:
        backend: "processes" of this machine, "dask" or "ray".
        scheduler: address of the Dask scheduler or Ray cluster; without one, Ray starts a cluster on this machine.
        jobs: number of processes, or of simultaneous tasks on a cluster; None: all cores or all workers.
        timeout: wall-clock limit for a point in seconds; None: no limit.
        ready: called first in each process of this machine; its time does not count as a point's.

    Attributes:
        processes: the processes of this machine; None: tasks run in this process or on a cluster.
        streams: whether answers arrive one by one; if not, the answers of several tasks arrive together.
        timeout: the argument.

    Raises:
        InputError: the backend is unknown, there is no scheduler for Dask or one for processes, `jobs` is below 1, or
            the timeout is not above 0.
        MissingPackageError: joblib, Dask or Ray is not installed.
        SweepError: the scheduler can't be reached or has no workers.
    """

    def __init__(
        self, backend: str = "processes", scheduler: str | None = None, jobs: int | None = None,
        timeout: float | None = None, ready: Callable[[], None] = prepare,
    ) -> None:  # fmt: skip
        if backend not in BACKENDS:
            raise InputError(f"sweep: backend {backend!r}: expected {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
        if jobs is not None and jobs < 1:
            raise InputError(f"sweep: jobs: expected 1 or more, got {jobs}")
        if (backend == "processes" and scheduler is not None) or (backend == "dask" and scheduler is None):
            wrong = "local processes need no scheduler" if scheduler else "dask needs its scheduler's address"
            raise InputError(f"sweep: {wrong}; expected --backend dask --scheduler tcp://HOST:8786")
        if timeout is not None and not 0 < timeout < inf:
            raise InputError(f"sweep: timeout: expected a number of seconds above 0, such as 120, got {timeout:g}")
        self._joblib = _imported("joblib", "joblib")
        self.backend, self.streams, self._jobs, self.timeout = backend, backend != "ray", jobs, timeout
        self._ready = ready
        self.processes: Processes | None = None
        self._close: list[Callable[[], Any]] = []
        self._ending = ExitStack()
        self._death_errors: tuple[type[BaseException], ...] = ()
        self._parallel_config: dict[str, Any] = {"n_jobs": jobs or -1}
        {"processes": self._start_processes, "dask": self._start_dask, "ray": self._start_ray}[backend](scheduler)

    def _start_processes(self, _: str | None) -> None:
        self.workers, self._parallel_config = self._jobs or os.cpu_count() or 1, {"n_jobs": 1}
        if self.workers > 1 or self.timeout is not None:  # a call that hangs can only be killed in another process
            self.processes = Processes(self.workers, self.timeout, self._ready)
            self._close.append(self.processes.end)

    def _start_dask(self, scheduler: str | None) -> None:
        distributed = _imported("distributed", "dask")
        for name in ("distributed", "distributed.core", "distributed.comm"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # our own message says what is wrong
        try:
            client = distributed.Client(scheduler, timeout=_WAIT, set_as_default=False)
        except (OSError, ValueError, TimeoutError, ImportError) as error:
            raise _unreached("Dask's scheduler", scheduler, error) from None
        self._close.append(client.close)
        with suppress(Exception):
            client.wait_for_workers(1, timeout=_WAIT)
        self.workers = len(client.scheduler_info(n_workers=-1)["workers"])  # -1: all, not only the first five
        if not self.workers:
            self.close()
            raise SweepError(f"sweep: the scheduler {scheduler} has no workers; start some: dask worker {scheduler}")
        self._parallel_config |= {"backend": "dask", "client": client}
        self._death_errors = (distributed.KilledWorker,)

    def _start_ray(self, address: str | None) -> None:
        ray = _imported("ray", "ray")
        from ray.util.joblib import register_ray

        if not ray.is_initialized():
            local = {} if address else {"include_dashboard": False, "num_cpus": self._jobs}
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
            except (OSError, ValueError, RuntimeError, TimeoutError) as error:
                raise _unreached("the Ray cluster", address, error) from None
            self._close.append(ray.shutdown)
        register_ray()
        self.workers = self._jobs or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        self._parallel_config |= {"backend": "ray", "n_jobs": self.workers}
        self._death_errors = (ray.exceptions.RayError,)

    def work(self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Call a function with each tuple of arguments as workers become free; yield the answers in any order.

        Raises:
            WorkersDied: a worker died, so its task has no answer.
            SweepError: the cluster can no longer be reached.
        """
        joblib = self._joblib
        options: dict[str, Any] = {"batch_size": 1, "pre_dispatch": f"{2 * self.workers}"}
        if self.streams:
            options["return_as"] = "generator_unordered"
        try:
            with joblib.parallel_config(**self._parallel_config):
                parallel = joblib.Parallel(**options)
            yield from parallel(joblib.delayed(function)(*call) for call in calls)
        except self._death_errors as error:
            raise WorkersDied(str(error)) from None
        except OSError as error:
            if self.backend == "processes":
                raise
            raise SweepError(
                f"sweep: the cluster is gone: {str(error) or type(error).__name__}; the same command resumes the sweep"
            ) from None

    def close(self) -> None:
        """Shut down everything that was started for this pool."""
        while self._close:
            with suppress(Exception):
                self._close.pop()()

    def __enter__(self) -> Self:
        # if this process does the work, signals keep their defaults: a handler would wait for a model that hangs in C
        if self._close:
            self._ending.enter_context(unwinding())
        self._ending.callback(self.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()


class WorkersDied(Exception):  # noqa: N818  # caught by the runner, which continues
    """A worker died while it had a task."""


def _imported(module: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        what = "joblib" if extra == "joblib" else f"'cnncost[{extra}]'"
        raise MissingPackageError(f"sweep: this needs the package {extra}; pip install {what}") from None


def _unreached(what: str, address: str | None, error: BaseException) -> SweepError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return SweepError(
        f"sweep: {what} {address or ''} can't be reached: {reason}; expected the address of a running one, such as "
        "tcp://HOST:8786, with the same package versions as here"
    )
