"""Recurrent layers as the CPU runs them: an LSTM by one fused kernel per layer and direction, others step by step.

CUDA's LSTM is treated the same. On meta tensors torch uses an unfused implementation, with ops for each gate of each
step, and saves all their results for backward; the kernel saves a workspace instead.
Ref: `mkldnn_rnn` in ATen's native/mkldnn/RNN.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, TypeAlias

import torch

from cnncost.frontends.torch.autocast import casts, lower_dtype, lowered
from cnncost.frontends.torch.compat import facts
from cnncost.frontends.torch.compat.dispatch import BelowAutograd, is_excluded, key
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.steps import packed as packed_steps
from cnncost.frontends.torch.steps import recurrent as steps

Results: TypeAlias = "tuple[torch.Tensor, Any, Any]"
"""The output of all steps, and the last hidden state and last cell state of each layer and direction."""

_LSTM = 2
"""ATen's number for this cell."""
_AUTOGRAD = key("AutogradOther")
"""One of autograd's keys: `BelowAutograd` excludes them all, `torch.no_grad` none."""
_FLOATS = frozenset({torch.float32, torch.bfloat16})
"""Dtypes of the CPU's kernel (few CPUs support float16). Under CUDA's autocast the kernel is cuDNN's, which also has
float16."""

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
"""C++ functions of `torch` that recurrent modules call."""


def onednn_is_on() -> bool:
    """Return True unless the user has switched oneDNN off. Without it a CPU runs an LSTM step by step."""
    return bool(torch.backends.mkldnn.enabled)


def fused_recurrent(
    name: str, original: Callable[..., Any], thread: int, on_cpu: Callable[[torch.Tensor], bool]
) -> Callable[..., Any]:
    """Return the replacement of the C++ function `name`.

    An LSTM that the fused kernel supports is one op per layer and direction. Other layers run step by step if a CPU
    would run them that way; otherwise the original runs.

    Args:
        name: one of `RECURRENT`.
        original: the function to replace.
        thread: id of the thread that records; other threads run the original.
        on_cpu: whether a tensor represents one on the CPU.
    """
    unfused = _in_steps(name, original, thread, on_cpu)
    return _fused_lstm(original, unfused, thread, on_cpu) if name == "lstm" else unfused


def _fused_lstm(
    original: Callable[..., Results], unfused: Callable[..., Results], thread: int,
    on_cpu: Callable[[torch.Tensor], bool],
) -> Callable[..., Results]:  # fmt: skip
    def lstm(*args: Any) -> Results:
        if get_ident() != thread or (not onednn_is_on() and on_cpu(args[0])):
            return unfused(*args)
        # as kernel ops: for autograd, and because the CPU's autocast casts the weights of one direction at a time
        in_kernels = torch.is_grad_enabled() or under_cpu_autocast()
        if in_kernels and (unpacked := _unpacked(args)) is not None:
            y, *last = lstm(*unpacked)
            return y.flatten(0, 1), *last
        if not _fits(*args):
            return unfused(*args)
        if not torch.is_grad_enabled():
            return _by_layers(partial(_kernel, save_workspace=False) if in_kernels else _as_one_op(original), *args)
        x, states, weights, *settings = args
        if not under_cpu_autocast():  # CUDA casts everything at once, a CPU casts what each layer needs
            (x, *states), weights = lowered(x, *states), lowered(*weights)
        return _by_layers(_kernel, x, states, weights, *settings)

    return lstm


def parts(name: str, *args: Any) -> Any:
    """Return a layer's result, computed by the ops that a CPU runs without autograd; None to let torch compute it."""
    fused = name == "lstm" and onednn_is_on()
    if fused and _fits(*args):
        return _by_layers(partial(_kernel, save_workspace=False), *args)
    if fused and (unpacked := _unpacked(args)) is not None:
        y, *last = _by_layers(partial(_kernel, save_workspace=False), *unpacked)
        return y.flatten(0, 1), *last
    return step_by_step(name, *args)


def step_by_step(name: str, *args: Any) -> Any:
    """Return the result of a CPU layer that has no fused kernel; None to let torch compute it."""
    if _plain(name, *args):
        return steps(name, args[0], _states(args[1]), *args[2:])
    if is_packed(args) and _plain_packed(name, *args):
        return packed_steps(name, args[0], args[1].tolist(), _states(args[2]), *args[3:])
    return None


def _unpacked(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return the unpacked LSTM's arguments if packed sequences have equal length and the kernel applies, else None."""
    if not facts.LSTM_UNPACKS_EQUAL_LENGTHS or not is_packed(args):
        return None
    if is_meta(args[1]) or not args[1].numel() or args[0].dim() != 2:
        return None
    x, steps, *rest = args
    first, last = int(steps[0]), int(steps[-1])  # batch sizes never increase
    if first != last or x.shape[0] != first * len(steps):
        return None
    unpacked = (x.view(len(steps), first, x.shape[1]), *rest, False)
    return unpacked if _fits(*unpacked) else None


def is_packed(args: tuple[Any, ...]) -> bool:
    """True if the arguments are those of packed sequences: data, batch sizes, states, weights."""
    return len(args) == 9 and isinstance(args[3], (list, tuple))


def _states(states: Any) -> list[torch.Tensor]:
    return [states] if isinstance(states, torch.Tensor) else list(states)


def _one_dtype(*tensors: torch.Tensor) -> bool:
    """True if all tensors have one dtype, or autocast is on: each product then casts its operands."""
    return lower_dtype() is not None or len({t.dtype for t in tensors}) == 1


def _plain(name: str, *args: Any) -> bool:
    """True for unpacked input on meta, T,N,I or N,T,I, with weights and states that fit; torch handles the rest."""
    if len(args) != 9 or not isinstance(args[0], torch.Tensor) or not isinstance(args[3], bool):
        return False
    x, states, weights, has_biases, layers, _, _, bidirectional, batch_first = args
    if not is_meta(x) or x.dim() != 3 or not x.numel():
        return False
    states, rows = _states(states), layers * (2 if bidirectional else 1)
    if not _one_dtype(x, *states, *weights) or len(weights) != rows * _weights_per_row(name, states, has_biases):
        return False
    rows_and_batch = (rows, x.shape[0 if batch_first else 1])
    return weights[0].shape[1] == x.shape[2] and all(s.shape[:2] == rows_and_batch for s in states)


def _weights_per_row(name: str, states: list[torch.Tensor], has_biases: bool) -> int:
    """Return the number of weights of a layer in one direction: two matrices, two biases, an LSTM's projection."""
    projected = name == "lstm" and states[0].shape[-1] != states[1].shape[-1]
    return 2 + (2 if has_biases else 0) + (1 if projected else 0)


def _plain_packed(name: str, *args: Any) -> bool:
    """True for packed input on meta, ΣN,I with the batch size of each step, with weights and states that fit."""
    x, sizes, states, weights, has_biases, layers, _, _, bidirectional = args
    if not is_meta(x) or x.dim() != 2 or not x.numel() or is_meta(sizes) or not isinstance(has_biases, bool):
        return False
    states, rows = _states(states), layers * (2 if bidirectional else 1)
    if not _one_dtype(x, *states, *weights) or len(weights) != rows * _weights_per_row(name, states, has_biases):
        return False
    fits = all(s.dim() == 3 and s.shape[0] == rows and s.shape[1] == int(sizes[0]) for s in states)
    return fits and weights[0].shape[1] == x.shape[1]


def _in_steps(
    name: str, original: Callable[..., Any], thread: int, on_cpu: Callable[[torch.Tensor], bool]
) -> Callable[..., Any]:
    """Return a function that runs a layer step by step in training and under the CPU's autocast, else as one op.

    As one op under autocast, a layer is cast as for cuDNN's kernel. The CPU has no such kernel: autocast casts only the
    products of each step, and states keep their dtype or are promoted.
    """

    def recurrent(*args: Any) -> Any:
        ours, lower = get_ident() == thread, lower_dtype()
        in_steps = _differentiates() if lower is None else under_cpu_autocast()
        if ours and in_steps and on_cpu(args[0]):
            result = step_by_step(name, *args)
            if result is not None:
                return tuple(result)
        if not ours or torch.is_grad_enabled() or lower_dtype() is None:
            return original(*args)
        cast_args = list(lowered(*args))
        if under_cpu_autocast():  # states keep their dtype
            states = 2 if is_packed(args) else 1
            cast_args[states] = args[states]
        with BelowAutograd():
            return original(*cast_args)

    return recurrent


def under_cpu_autocast() -> bool:
    """True under the CPU's autocast: only its op lists contain the fused kernel."""
    return casts("mkldnn_rnn_layer")


def _differentiates() -> bool:
    """True if the recording has autograd on, as in a training step, even where forward turns it off."""
    return torch.is_grad_enabled() or not is_excluded(_AUTOGRAD)


def _fits(*args: Any) -> bool:
    """True if the fused LSTM kernel applies: unpacked input on meta, T,N,I or N,T,I, no projections, operands that fit.

    Torch handles or rejects the rest.
    """
    if len(args) != 9 or not isinstance(args[0], torch.Tensor):
        return False
    x, states, weights, has_biases, layers, _, _, bidirectional, batch_first = args
    rows = layers * (2 if bidirectional else 1)
    dtypes = {t.dtype for t in (x, *states, *weights)}
    if (lower := lower_dtype()) is not None:  # all are cast, whatever dtypes they have
        dtypes = {lower} if dtypes <= {*_FLOATS, torch.float16} else dtypes
        fused = _FLOATS if under_cpu_autocast() else {lower}
    else:
        fused = _FLOATS
    if not is_meta(x) or x.dim() != 3 or not x.numel() or len(dtypes) != 1 or not dtypes <= fused:
        return False
    if len(weights) != rows * (4 if has_biases else 2):
        return False
    state = (rows, x.shape[0 if batch_first else 1], weights[1].shape[1])
    return weights[0].shape[1] == x.shape[2] and all(tuple(s.shape) == state for s in states)


Layer: TypeAlias = (
    "Callable[[torch.Tensor, list[torch.Tensor], list[torch.Tensor], bool, int, bool, list[torch.Tensor]], Results]"
)
"""Runs one layer. Arguments: input T,N,I; states, each D,N,H; weights; whether they have biases; the number of
directions D; whether it trains; a list that keeps each direction's output alive."""


def _by_layers(
    run: Layer, x: torch.Tensor, states: list[torch.Tensor], weights: list[torch.Tensor], has_biases: bool, layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> Results:  # fmt: skip
    """Run the layers one after the other; each reads the whole output of the previous one."""
    directions = 2 if bidirectional else 1
    per_layer = (4 if has_biases else 2) * directions
    x = first = (x.transpose(0, 1) if batch_first else x).contiguous()  # `first` keeps it alive to the end, as C++ does
    states = [state.contiguous() for state in states]
    last: list[list[torch.Tensor]] = [[], []]
    held = [x] * directions  # each direction's output: C++ keeps it until the next layer's replaces it, or to the end
    for number in range(layers):
        here = slice(number * directions, (number + 1) * directions)
        own = weights[number * per_layer : (number + 1) * per_layer]
        x, *final = run(x, [state[here] for state in states], own, has_biases, directions, train, held)
        for all_layers, state in zip(last, final, strict=True):
            all_layers.extend(state)
        if dropout and train and number < layers - 1:
            x = torch.dropout(x, dropout, True)
    hy, cy = (torch.stack(of_layers) for of_layers in last)
    del first, held
    return (x.transpose(0, 1) if batch_first else x), hy, cy


def _kernel(
    x: torch.Tensor, states: list[torch.Tensor], weights: list[torch.Tensor], has_biases: bool, directions: int,
    _: bool, held: list[torch.Tensor], save_workspace: bool = True,
) -> Results:  # fmt: skip
    """Run a layer by one kernel op per direction, as autograd and autocast see it. `save_workspace`: for backward."""
    kernel: Any = torch.ops.aten.mkldnn_rnn_layer
    hidden, per_direction = states[0].shape[-1], len(weights) // directions
    hy, cy = [], []
    for direction in range(directions):
        own = weights[direction * per_direction : (direction + 1) * per_direction]
        if not has_biases:
            own = [*own, *map(torch.zeros_like, own)]
        reverse, bidirectional, layers, batch_first = direction == 1, directions == 2, 1, False
        batch_sizes: list[int] = []  # not packed
        out, h, c, _ = kernel(
            x, *own, *(state[direction] for state in states), reverse, batch_sizes, _LSTM, hidden, layers, has_biases,
            bidirectional, batch_first, save_workspace,
        )  # fmt: skip
        held[direction] = out
        del out, own  # the zeros in place of biases live only while the kernel runs
        hy.append(h)
        cy.append(c)
    return (held[0] if directions == 1 else torch.cat(held, -1)), hy, cy


def _as_one_op(original: Callable[..., Results]) -> Layer:
    """Return a function that records a layer without autograd, as one op, whose operands CUDA's autocast casts."""

    def run(
        x: torch.Tensor, states: list[torch.Tensor], weights: list[torch.Tensor], has_biases: bool, directions: int,
        train: bool, _: list[torch.Tensor],
    ) -> Results:  # fmt: skip
        (x, *states), weights = lowered(x, *states), list(lowered(*weights))
        layers, dropout, batch_first = 1, 0.0, False
        with BelowAutograd():
            return original(x, states, weights, has_biases, layers, dropout, train, directions == 2, batch_first)

    return run
