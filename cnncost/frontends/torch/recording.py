"""Makes one recording: copies the model, runs the copy under the recorder, and restores the state outside the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from torch import nn

from cnncost.errors import CnncostError, InputError
from cnncost.frontends.torch import autocast as autocasts
from cnncost.frontends.torch import autocast_regions as regions
from cnncost.frontends.torch import (
    collectives,
    global_hooks,
    higher_order,
    reassigned,
    saved_tensors,
    shared_memory,
    skeleton_cache,
    unwatched,
)
from cnncost.frontends.torch.appearance import Appearance
from cnncost.frontends.torch.attempt import Attempt
from cnncost.frontends.torch.compat.distributed import any_split
from cnncost.frontends.torch.compat.modules import any_global_hook
from cnncost.frontends.torch.compiler import no_compiler_import
from cnncost.frontends.torch.diagnose import explain_failure
from cnncost.frontends.torch.guard import Draws, quiet_torch, same_random_state
from cnncost.frontends.torch.inputs import Inputs, prepare
from cnncost.frontends.torch.module_calls import room_for_replaced_calls
from cnncost.frontends.torch.modules import Tracker, walk
from cnncost.frontends.torch.outcome import Outcome
from cnncost.frontends.torch.partial_graphs import partial_graph
from cnncost.frontends.torch.patches import Patch, patched
from cnncost.frontends.torch.placement import Home, default_device, find_home, known_devices, placement_of
from cnncost.frontends.torch.recorder import Recorder
from cnncost.frontends.torch.repeats import RecordingKey
from cnncost.frontends.torch.replicated import Replica, broadcast_buffers
from cnncost.frontends.torch.restarts import AutocastUnneededError, DrawsFoundError
from cnncost.frontends.torch.scripted import set_mode
from cnncost.frontends.torch.self_tracing import refused_tracing
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.surroundings import Reach, reach_of
from cnncost.frontends.torch.training import Step, Training
from cnncost.frontends.torch.watch import Watch, watching
from cnncost.graph import Graph, RealRun, verify
from cnncost.session import SESSION

_Skeleton = TypeVar("_Skeleton", bound=Skeleton)
WeakTensors: TypeAlias = list[ref[torch.Tensor]]
"""Weak references to a recording's tensors, by which to check afterwards that they were freed."""


def record_once(model: nn.Module, inputs: Any, attempt: Attempt, created: WeakTensors) -> Graph:
    """Record a model once, on a cached skeleton if there is one, else on a new one.

    Args:
        model: the user's model.
        inputs: the inputs as the user passed them.
        attempt: options of the recording.
        created: receives weak references to the tensors that are alive at the end.

    Raises:
        RestartError: the recording has to be restarted with other options.
    """
    graph, cached = _recorded(model, prepare(inputs, model, attempt.floats), attempt, created)
    if cached is None:
        return verify(graph)
    graph = cached.reuse_if_equal(graph)
    cached.repeats.after_recording(graph)
    if cached.clean(created):  # nothing here refers to tensors, so any that are still alive are held by the copies
        skeleton_cache.store(model, attempt.train, cached)
    return graph


def _recorded(
    model: nn.Module, inputs: Inputs, attempt: Attempt, created: WeakTensors
) -> tuple[Graph, skeleton_cache.CachedSkeleton | None]:
    """Return the Graph, and the skeleton if it can be cached (else None)."""
    reusable = attempt.shared and not any(
        (attempt.grad, attempt.casts, attempt.called, attempt.find_draws, attempt.replica)
    )
    if any_split(inputs.tensors()):
        attempt, reusable = replace(attempt, split=True), False
    home = find_home(model, inputs, attempt.device, attempt.spread)
    reusable = reusable and not home.others and not any_global_hook()
    cached = skeleton_cache.acquire(model, attempt.train) if reusable else None
    if cached is None:
        return _on_new_copy(model, inputs, attempt, home, created, reusable)
    key = _key_of(cached, inputs, attempt, home)
    if (graph := cached.repeats.known_graph(key)) is not None:
        return graph, cached
    if not skeleton_cache.renew(cached, model, attempt.train):
        return _on_new_copy(model, inputs, attempt, home, created, reusable)
    cached.repeats.before_recording(key)
    skeleton, watch, tracker = cached.skeleton, cached.watch(), cached.open(attempt.use_memo)
    return _run_and_restore(skeleton, watch, _Run(cached.model, tracker, inputs, attempt, home, None), created), cached


def _key_of(cached: skeleton_cache.CachedSkeleton, inputs: Inputs, attempt: Attempt, home: Home) -> RecordingKey | None:
    """Return the key by which a recording is compared with the last one; None if it has to run in any case."""
    comparable = SESSION.repeats and attempt.use_memo and attempt.returned is None
    return cached.key_of(inputs, attempt, home) if comparable else None


def _on_new_copy(
    model: nn.Module, inputs: Inputs, attempt: Attempt, home: Home, created: WeakTensors, reusable: bool
) -> tuple[Graph, skeleton_cache.CachedSkeleton | None]:
    if any_split(model.parameters()):  # a cached skeleton has only plain tensors
        attempt, reusable = replace(attempt, split=True), False
    originals = walk(model)
    loss = attempt.training.loss if attempt.training is not None else None
    called = [function for function in (attempt.called, loss) if callable(function)]
    skeleton, reach = make_skeleton(originals, called, lambda watch: Skeleton(attempt.shared, watch, bool(home.others)))
    tree = [(path, skeleton.module(module)) for path, module in originals]
    modules = [module for _, module in originals]
    collectives.enter_states(skeleton)
    if attempt.train is not None:
        for _, copy in tree:
            set_mode(copy, attempt.train)
    device = attempt.autocast.device if attempt.autocast is not None else "cpu"
    casting = autocasts.Casting(attempt.caches_casts, device) if attempt.casts else None
    tracker = Tracker(Recorder(attempt.use_memo, skeleton, data=skeleton.values(), casting=casting))
    tracker.enter(tree)
    cached = skeleton_cache.prepare(modules, attempt.train, skeleton, tracker, reach) if reusable else None
    if cached is not None:
        cached.repeats.before_recording(_key_of(cached, inputs, attempt, home))
    step = step_of(attempt.training, tree[0][1], skeleton, tracker, attempt.replica)
    graph = _run_and_restore(skeleton, skeleton.watch, _Run(tree[0][1], tracker, inputs, attempt, home, step), created)
    skeleton.release()
    if casting is not None and attempt.autocast is None and not casting.regions:
        raise AutocastUnneededError
    return graph if casting is None else replace(graph, notes=(*graph.notes, *casting.notes())), cached


def step_of(
    training: Training | None, model: nn.Module, skeleton: Skeleton, tracker: Tracker, replica: Replica | None = None
) -> Step | None:
    """Return the part of a training step after forward, with a copy of the loss; None if there is no training."""
    if training is None:
        return None
    if callable(training.loss):
        training = training._replace(loss=skeleton.value(training.loss))
    return Step(training, model, skeleton, tracker, replica)


def make_skeleton(
    originals: list[tuple[str, nn.Module]], called: list[Any], new_skeleton: Callable[[Watch], _Skeleton]
) -> tuple[_Skeleton, Reach]:
    """Return a skeleton of the modules and called functions, and the outside objects that the model's code reaches.

    Functions that the model holds (hooks, closures) are discovered only while it is copied. Objects that they reach
    through globals must not be copied, so everything is copied again if new functions were found.
    """
    kinds = [type(module) for _, module in originals]
    own = {id(module) for _, module in originals}
    functions: list[Any] = [*_HELD_CLASSES.get(kinds[0], ())]
    while True:
        reach = reach_of(kinds, functions)
        skeleton = new_skeleton(Watch(reach, own))
        for _, module in originals:
            skeleton.module(module)
        for function in (*called, *global_hooks.global_hooks()):
            skeleton.value(function)
        already = set(map(id, functions))
        new = [function for function in skeleton.code.all if id(function) not in already]
        if not new:
            classes = [each for each in skeleton.code.all if isinstance(each, type)]
            _HELD_CLASSES[kinds[0]] = tuple([each for each in classes if "<locals>" not in each.__qualname__])
            return skeleton, reach
        functions += new


_HELD_CLASSES: WeakKeyDictionary[type, tuple[type, ...]] = WeakKeyDictionary()
"""By model class, the classes of objects that its last model held, so that the next one has to be copied only once."""
SESSION.own_table("classes that models hold", _HELD_CLASSES)


def _run_and_restore(skeleton: Skeleton, watch: Watch | None, run: _Run, created: WeakTensors) -> Graph:
    """Run on copies, and restore the state outside the model even if the run fails."""
    if watch is None:
        return run(created)
    run.observe(watch)
    with watching(watch, skeleton.copy_of) as restored:
        graph = run(created)
    notes = tuple([f"forward wrote to {what}; it was restored" for what in restored])
    return replace(graph, notes=(*graph.notes, *notes)) if notes else graph


class _Run:
    """A single run of a model."""

    def __init__(
        self, model: nn.Module, tracker: Tracker, inputs: Inputs, attempt: Attempt, home: Home, step: Step | None
    ) -> None:
        self._model = model
        self._tracker = tracker
        self._inputs = inputs
        self._attempt = attempt
        self._step = step
        self._home = home
        recorder = tracker.recorder
        bare = attempt.device is not None and default_device(model, inputs).type == "meta"
        grad = None if attempt.grad else attempt.caller_grad
        self._appearance = recorder.appearance = Appearance(recorder, home.device, grad, bare, bool(home.others))
        for tensor, device in known_devices(inputs, recorder.skeleton if home.others else None):
            self._appearance.place(tensor, device)

    def observe(self, watch: Watch) -> None:
        """Observe draws from the random generators that `watch` found outside the model."""
        self._tracker.watch = watch

    def __call__(self, created: WeakTensors) -> Graph:
        """Run and record. `created` receives weak references to the tensors that are alive at the end.

        Raises:
            CnncostError: forward or the training step failed; the error's `recorded` is the partial Graph or None.
        """
        recorder, inputs = self._tracker.recorder, self._inputs
        recorder.values_at_hand.update(inputs.data)
        recorder.masks.sources.append(inputs.originals)
        loose = inputs.loose()
        input_values = tuple([self._enter(tensor, id(tensor) in loose) for tensor in inputs.tensors()])
        try:
            with same_random_state() as draws:
                self._tracker.draws = draws if self._attempt.find_draws else None
                outputs, storages, dependence = self._forward(draws)
            return Graph(
                tuple(recorder.ledger.values), tuple(recorder.nodes), *self._tracker.finish(), storages, input_values,
                outputs, dependence, inputs.examples, (*inputs.notes, *recorder.notes),
                tuple(recorder.masks.by_node.items()), fused=tuple(recorder.fused),
                placement=placement_of(recorder.ledger, self._home) if self._appearance.several else None,
            )  # fmt: skip
        except BaseException as error:
            if isinstance(error, CnncostError):
                error.recorded = partial_graph(self._tracker, inputs, input_values)
            raise
        finally:
            created.extend(recorder.ledger.created())
            created.extend(map(ref, inputs.tensors()))
            self._tracker.release()  # otherwise an error's traceback or a reference cycle keeps the copies alive

    def _enter(self, tensor: torch.Tensor, loose: bool) -> int:
        """Register an input and return its value id. `loose` means that it may die during the run."""
        ledger, inputs = self._tracker.recorder.ledger, self._inputs
        values = inputs.data.get(id(tensor), None if tensor.is_meta else tensor)
        tracked = ledger.add_source(tensor, "input", values, lasts=not loose)
        tracked.block.from_float_input = id(tensor) in inputs.floats
        self._appearance.store_device(tensor, tracked.block)
        return tracked.value

    def _forward(self, draws: Draws) -> tuple[tuple[int, ...], Any, RealRun | None]:
        """Run forward and the training step; return the outputs' value ids, the storages, and the data dependence."""
        tracker, attempt, step = self._tracker, self._attempt, self._step
        recorder = tracker.recorder
        try:
            with (
                _torch_configured(attempt, recorder.casting) as region_patches,
                unwatched.installed(recorder.device_type, recorder.notes, recorder.stand_in),
                recorder, replacing(tracker, self._appearance, [*region_patches, *draws.entropy.patches()]),
            ):  # fmt: skip
                with regions.switched_on(attempt.autocast):
                    broadcast_buffers(attempt.replica if attempt.grad else None, self._model)
                    result = tracker.call_root(self._model, attempt.called, self._inputs)
                    recorder.raise_if_refused()
                    outputs = tracker.values(result)
                    dependence = self._data_dependence(draws.drawn_from())
                    loss = step.loss(result) if step is not None else None
                if step is not None and loss is not None:
                    recorder.raise_if_refused()  # in the loss
                    step.run(loss)
                    recorder.raise_if_refused()  # in backward or in the optimizer
        except (Exception, SystemExit) as error:
            if isinstance(error, InputError):
                raise
            raise explain_failure(error, tracker, self._inputs) from error
        if attempt.returned is not None:
            attempt.returned(Outcome(recorder).value(result))
        return outputs, recorder.ledger.storages(), dependence  # while the outputs are still alive

    def _data_dependence(self, names: list[str]) -> RealRun | None:
        """Return what figures depend on besides shapes (draws, given values) and where it is first read, or None.

        `names` are generators outside torch that were drawn from. DrawsFoundError is raised if it is unknown where.
        """
        tracker, recorder = self._tracker, self._tracker.recorder
        names += tracker.moved_generators()
        if names and not self._attempt.find_draws:
            raise DrawsFoundError
        reasons, reads = [], [*recorder.drawn, *recorder.read_given]
        place = tracker.drawn_in
        if recorder.drawn:
            names = [*names, "torch's random numbers"]
            place = tracker.path(recorder.drawn[0]) if place is None else place
        if names:
            reasons.append(f"one draw of {' and '.join(names)} (first in {place or 'the model'})")
        if recorder.read_given:
            reasons.append(f"the values given (read first in {tracker.path(recorder.read_given[0]) or 'the model'})")
        if not reasons:
            return None
        first = tracker.path(reads[0]) if reads else place or ""
        return RealRun(" and ".join(reasons), (), max(len(reads), 1), first, chance=bool(names))


@contextmanager
def replacing(tracker: Tracker, appearance: Appearance, other_patches: list[Patch]) -> Iterator[None]:
    """Context in which all patches of a recording are applied; to be entered while the recorder is active."""
    recorder, ledger = tracker.recorder, tracker.recorder.ledger
    without_data = [] if recorder.on_values else [
        *saved_tensors.patches(appearance.is_ours, recorder.read, recorder.refuse),
        *shared_memory.patches(appearance.is_ours, recorder.refuse),
    ]  # fmt: skip
    patches = [
        *other_patches, *unwatched.PATCHES, *higher_order.patches(recorder.notes), *tracker.patches(),
        *refused_tracing(recorder.on_values, appearance.is_ours, recorder.refuse),
        *collectives.unrecorded_propagation(), *reassigned.patches(ledger.forget, ledger.resize_storage),
        *global_hooks.patches(recorder.skeleton), *appearance.patches(), *without_data,
    ]  # fmt: skip
    with room_for_replaced_calls(), appearance.shown(), collectives.context_parallel_ended(), patched(patches):
        yield


@contextmanager
def _torch_configured(attempt: Attempt, casting: autocasts.Casting | None) -> Iterator[list[Patch]]:
    """Context in which torch is configured for a recording; yields patches that the caller has to apply."""
    device = attempt.autocast.device if attempt.autocast is not None else "cpu"
    undecomposed = not (casting or attempt.split or attempt.grad)
    with (
        quiet_torch(attempt.grad and not attempt.turned_off, undecomposed),
        no_compiler_import(),
        regions.watched(device, casting) as patches,
    ):
        if casting is None:
            yield patches
            return
        with casting.installed():
            yield patches
