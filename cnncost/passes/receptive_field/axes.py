"""Find the spatial input axes: those along which some op of the model slides, attends or recurs.

This tracks where axes go, not which positions each output sees: a softmax over rows, a linear layer over frequencies or
a Fourier transform mixes all positions of an axis, but its output still has that axis, and a convolution may slide
along it. A tensor's axis is a product of parts, and each part records the input axes that it comes from. If several
input axes are mixed into one, as in a linear layer on a flattened map, the result is no longer tracked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

from cnncost.graph import Graph, Node, OpSpec, Shape
from cnncost.ops.reach import All, DataDependentIndex, Output, Permute, Reshape, Route, Spread, Step, Window, reach_of

Key: TypeAlias = "tuple[int, int]"
"""An input axis: the index of the input, and the index of the axis."""


class Part(NamedTuple):
    """A factor of an axis.

    Attributes:
        size: number of positions.
        keys: the input axes that it comes from.
        outer: whether it is the outermost part of these input axes.
        within: input axes that were inner parts of this axis until a window or an index merged it into one part.
    """

    size: int
    keys: tuple[Key, ...] = ()
    outer: bool = True
    within: tuple[Key, ...] = ()


Axis: TypeAlias = tuple[Part, ...]
Axes: TypeAlias = tuple[Axis, ...]


class AxisTracker:
    """Tracks the input axes through all values of a Graph.

    Attributes:
        axes: axes of the values that depend on inputs, by value id.
        slid: the input axes that ops slide along.
        inner: the input axes that are an inner part of an axis that ops slide along: W in a row of H·W tokens, but also
            channels that a pixel shuffle put between pixels.
    """

    def __init__(self, graph: Graph) -> None:
        self.axes: dict[int, Axes] = {}
        self.slid: set[Key] = set()
        self.inner: set[Key] = set()
        self._channels: set[Key] = set()  # input axes that convolutions have summed over as channels
        self._lengths: dict[Key, int] = {}
        self._picked: dict[int, tuple[Key, ...]] = {}  # by value id: the axes of which it is one position
        for number, value in enumerate(graph.inputs):
            shape = graph.values[value].shape
            if not prod(shape):
                continue
            axes = tuple((Part(n, ((number, axis),)),) for axis, n in enumerate(shape))
            self._lengths |= {(number, axis): n for axis, n in enumerate(shape)}
            # a tensor passed as two inputs is one value
            self.axes[value] = _union([self.axes[value], axes]) if value in self.axes else axes
        for node in graph.nodes:
            if node.phase == "forward" and any(value in self.axes for value in node.inputs):
                self._node(node)

    def axes_of_input(self, number: int) -> tuple[list[int], list[int]]:
        """Return the axes of an input that are in `slid` and those that are in `inner`, sorted."""
        slid, inner = ([axis for n, axis in keys if n == number] for keys in (self.slid, self.inner))
        return sorted(slid), sorted(inner)

    def axes_from(self, value: int, keys: set[Key]) -> set[int]:
        """Return the axes of a value that contain the outermost part, longer than 1, of one of these input axes."""
        axes = self.axes.get(value, ())
        return {i for i, axis in enumerate(axes) if any(p.size > 1 and p.outer and keys & {*p.keys} for p in axis)}

    def _node(self, node: Node) -> None:
        spec = node.spec
        if not any(prod(output.shape) for output in spec.outputs):
            return
        reach = reach_of(spec)
        if spec.kind == "conv":
            self._contract(spec, self.axes.get(node.inputs[0]))
        elif spec.kind == "softmax":
            self._attend(spec, self.axes.get(node.inputs[0]))
        for index, value in enumerate(node.outputs):
            shape = spec.outputs[index].shape
            output = reach[index] if reach is not None and index < len(reach) else None
            if not prod(shape):
                continue
            self._picked[value] = self._picks(node, output)
            axes = self._unchanged(node, shape) if output is None else self._after_routes(node, output)
            if axes is not None:
                self.axes[value] = axes
            else:
                self.axes.pop(value, None)

    def _contract(self, spec: OpSpec, axes: Axes | None) -> None:
        """Exclude the axes that a convolution sums over as channels, unless an op slid along them before."""
        weight = spec.inputs[1].shape
        channel_axis = len(spec.inputs[0].shape) - len(weight) + 1
        if axes is None or (weight[1] == 1 and spec["groups"] > 1):  # depthwise: channels aren't mixed
            return
        elsewhere = _keys(part for i, parts in enumerate(axes) if i != channel_axis for part in parts)
        self._channels |= _keys(axes[channel_axis]) - elsewhere - self.slid

    def _attend(self, spec: OpSpec, axes: Axes | None) -> None:
        """Mark attended input axes as slid: those along the softmax's axis that are also in another axis."""
        if axes is None or not spec.inputs[0].shape:
            return
        axis = spec["axis"] % len(axes)
        elsewhere = _keys(part for i, parts in enumerate(axes) if i != axis for part in parts)
        self.slid |= (_keys(axes[axis]) & elsewhere) - self._channels

    def _unchanged(self, node: Node, shape: Shape) -> Axes | None:
        """Return the axes after an op without a reach rule: those of inputs with as many axes, if any, else None."""
        matching = [axes for value in node.inputs if (axes := self.axes.get(value)) and len(axes) == len(shape)]
        return _union([tuple(map(_windowed, axes, shape)) for axes in matching]) if matching else None

    def _after_routes(self, node: Node, output: Output) -> Axes | None:
        tracked = [route for route in output.routes if node.inputs[route.input] in self.axes]
        contracts = len({route.input for route in tracked}) > 1
        candidates = [
            self._after_route(
                self.axes[node.inputs[route.input]], node.spec.inputs[route.input].shape, route, contracts
            )
            for route in tracked
        ]
        if not candidates:
            return None
        if output.joined is None:
            return _union(candidates)
        union = _union([_resize_axis(axes, output.joined, sum(output.sizes)) for axes in candidates])
        if _keys(union[output.joined]):
            return union
        return self._stacked(union, output.joined, [self._picked.get(node.inputs[each.input], ()) for each in tracked])

    def _stacked(self, axes: Axes, axis: int, picked: list[tuple[Key, ...]]) -> Axes:
        """Return the axes of stacked values: if they were single positions of an input axis, they form it again."""
        elsewhere = _keys(part for parts in axes for part in parts)
        common = [key for key in picked[0] if all(key in keys for keys in picked) and key not in elsewhere]
        return _replaced(axes, axis, (Part(_size(axes[axis]), (common[-1],)),)) if common else axes

    def _picks(self, node: Node, output: Output | None) -> tuple[Key, ...]:
        """Return the input axes of which an output is a single position: its inputs' and those the op picks from."""
        picked = dict.fromkeys(key for value in node.inputs for key in self._picked.get(value, ()))
        for route in output.routes if output else ():
            if route.steps and isinstance(route.steps[-1], Reshape):
                picked |= dict.fromkeys(self._dropped(node, route))
        return tuple(picked)

    def _dropped(self, node: Node, route: Route) -> set[Key]:
        """Return the input axes of which one position is left before the route's last step and which are gone after."""
        axes, shape = self.axes.get(node.inputs[route.input]), node.spec.inputs[route.input].shape
        if axes is None or not all(isinstance(step, (Window, Permute)) for step in route.steps[:-1]):
            return set()
        for step in route.steps[:-1]:
            axes, shape = _stepped(axes, shape, step)
        single = _keys(part for parts, n in zip(axes, shape, strict=True) if n == 1 for part in parts)
        after, _ = _stepped(axes, shape, route.steps[-1])
        return {key for key in single - _keys(part for parts in after for part in parts) if self._lengths[key] > 1}

    def _after_route(self, axes: Axes, shape: Shape, route: Route, contracts: bool) -> Axes:
        """Return the axes after a route.

        `contracts`: the op has several tracked inputs, so an axis reduced by `All` is summed over and gone.
        """
        for step in route.steps:
            if isinstance(step, (Window, All)) and step.slides:
                self._slide(axes[step.axis])
            if isinstance(step, All) and contracts:
                axes = _replaced(axes, step.axis, (Part(1),))
            axes, shape = _stepped(axes, shape, step)
        return tuple(map(_mixed, axes, shape))

    def _slide(self, axis: Axis) -> None:
        """Record that an op slides along an axis: along its outermost part, and along the others as inner parts."""
        outer = True
        for part in axis:
            if part.outer:
                (self.slid if outer else self.inner).update(set(part.keys) - self._channels)
                self.inner.update(set(part.within) - self._channels)
            outer = outer and part.size == 1


def _keys(parts: Iterable[Part]) -> set[Key]:
    return {key for part in parts for key in part.keys}


# ---- steps


def _stepped(axes: Axes, shape: Shape, step: Step) -> tuple[Axes, Shape]:
    """Return axes and shape after a step. An axis reduced by `All` keeps its parts, since `Spread` may restore it."""
    match step:
        case Window() | DataDependentIndex():
            size = len(step.sees) if isinstance(step, Window) else step.size
            return _resize_axis(axes, step.axis, size), _resized(shape, step.axis, size)
        case All():
            return axes, _resized(shape, step.axis, 1)
        case Spread():
            parts = _mixed(axes[step.axis], step.size)
            return _replaced(axes, step.axis, parts), _resized(shape, step.axis, step.size)
        case Permute():
            return tuple(axes[i] for i in step.order), tuple(shape[i] for i in step.order)
        case Reshape():
            return _reshaped(tuple(map(_mixed, axes, shape)), shape, step.shape), step.shape


def _resized(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _replaced(axes: Axes, axis: int, parts: Axis) -> Axes:
    return (*axes[:axis], parts, *axes[axis + 1 :])


def _resize_axis(axes: Axes, axis: int, size: int) -> Axes:
    """Return the axes after windows along one of them."""
    return _replaced(axes, axis, _windowed(axes[axis], size))


def _size(axis: Axis) -> int:
    return prod(part.size for part in axis)


def _windowed(axis: Axis, size: int) -> Axis:
    """Return an axis after windows: if its size changes, its outermost part alone, with the new size."""
    if _size(axis) == size:
        return axis
    with_keys = [part for part in axis if part.keys and part.size > 1] or [part for part in axis if part.keys]
    if not with_keys:
        return (Part(size),)
    first, *others = with_keys
    within = tuple(dict.fromkeys(key for part in others for key in (*part.keys, *part.within)))
    return (first._replace(size=size, within=first.within + within),)


def _mixed(axis: Axis, size: int) -> Axis:
    """Return an axis after an op that mixes all of its positions.

    If its size changes, it becomes one part, whose keys are lost unless all parts of the axis had the same keys.
    """
    if _size(axis) == size:
        return axis
    parts = [part for part in axis if part.size > 1] or axis
    keys = {part.keys for part in parts if part.keys}
    if len(keys) != 1 or (size > 1 and any(not part.keys for part in parts)):
        return (Part(size),)
    return (Part(size, keys.pop(), any(part.outer for part in parts)),)


def _reshaped(axes: Axes, old: Shape, new: Shape) -> Axes:
    """Distribute parts over the axes of a new shape. If sizes don't divide, only those axes are blended."""
    divided = _divided([part for axis in axes for part in axis], new)
    if divided is not None:
        return tuple(divided)
    by_axis: dict[int, Axis] = {}
    old_remaining = [i for i, n in enumerate(old) if n > 1]
    new_remaining = [i for i, n in enumerate(new) if n > 1]
    while old_remaining:  # the shortest run of old axes that has as many elements as a run of new ones
        old_run, new_run = [old_remaining.pop(0)], [new_remaining.pop(0)]
        while (old_size := prod(old[i] for i in old_run)) != (new_size := prod(new[i] for i in new_run)):
            run, remaining = (old_run, old_remaining) if old_size < new_size else (new_run, new_remaining)
            run.append(remaining.pop(0))
        parts = [part for i in old_run for part in axes[i]]
        sizes = tuple(new[i] for i in new_run)
        by_axis.update(zip(new_run, _divided(parts, sizes) or _blended(parts, sizes), strict=True))
    return tuple(by_axis.get(i, ()) for i in range(len(new)))


def _divided(parts: Sequence[Part], sizes: Shape) -> list[Axis] | None:
    """Group consecutive parts into axes of these sizes, splitting parts if needed; None if sizes don't divide."""
    remaining, axes = list(parts), []
    for size in sizes:
        axis: list[Part] = []
        if size == 1 and remaining and remaining[0].size == 1:
            axis.append(remaining.pop(0))
        while (need := size // _size(tuple(axis))) > 1:
            part = remaining.pop(0)
            if part.size == 1:  # left from an axis that was reduced
                continue
            if part.size > need and part.size % need == 0:
                remaining.insert(0, Part(part.size // need, part.keys, False))
                part = part._replace(size=need)
            elif need % part.size:
                return None
            axis.append(part)
        axes.append(tuple(axis))
    return axes


def _blended(parts: Sequence[Part], sizes: Shape) -> list[Axis]:
    """Return axes of these sizes from parts that don't divide. They keep the parts' keys if all have the same."""
    keys = {part.keys for part in parts if part.size > 1}
    common = keys.pop() if len(keys) == 1 else ()
    return [(Part(n, common, i == 0 and any(part.outer for part in parts)),) for i, n in enumerate(sizes)]


# ---- merging paths


def _union(candidates: Sequence[Axes]) -> Axes:
    """Merge the axes of several tensors of the same shape."""
    union, *others = candidates
    for axes in others:
        if axes != union:
            union = tuple(map(_joined, union, axes))
    return union


def _joined(a: Axis, b: Axis) -> Axis:
    """Return an axis with the keys of both: part by part if their parts have the same sizes.

    Otherwise it has the parts of the axis with more keys; its first part also gets the keys that only the other has.
    """
    if len(_keys(b)) > len(_keys(a)):
        a, b = b, a
    if [part.size for part in a] == [part.size for part in b]:
        return tuple(
            Part(
                p.size,
                tuple(dict.fromkeys(p.keys + q.keys)),
                any(each.outer and each.keys for each in (p, q)),
                tuple(dict.fromkeys(p.within + q.within)),
            )
            for p, q in zip(a, b, strict=True)
        )
    further_keys = tuple(sorted(_keys(b) - _keys(a)))
    return (a[0]._replace(keys=a[0].keys + further_keys), *a[1:]) if further_keys else a


# ---- spatial axes


def spatial_axes(shape: Shape, slid: Iterable[int], inner: Iterable[int]) -> tuple[int, ...]:
    """Return the spatial axes of an input: those along which an op slides, attends or recurs.

    If none does (a perceptron), they are those marked * by convention: N,C,*; N,*,* for three axes; none for two.
    """
    sliding = set(slid)
    if len(sliding) == 1:  # a row of tokens: H (or T) is the outer part, W an inner one
        sliding |= set(inner)
    if sliding or len(shape) < 3:
        return tuple(sorted(sliding))
    return tuple(range(2, len(shape))) if len(shape) > 3 else (1, 2)
