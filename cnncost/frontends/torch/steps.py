"""Runs recurrent layers time step by time step, as torch does on a CPU without a fused kernel.

On a CPU, one matmul multiplies the inputs of all time steps by the weights; on meta, torch runs one matmul per step.
Tensors live as long here as in the C++ code, which holds them in local variables or in its list of all steps' states.
Ref: ATen's native/RNN.cpp.

Axes: T time steps, N sequences, I inputs, H hidden units, R output units (H, or the size of a projection), G gates,
D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch.nn.functional import linear

State: TypeAlias = tuple[torch.Tensor, ...]
"""The hidden state (N,R), and for an LSTM also the cell state (N,H)."""
Weights: TypeAlias = Sequence[torch.Tensor]
Cell: TypeAlias = Callable[[torch.Tensor, State, torch.Tensor], State]
"""Maps the input's product (N,G·H), the state, and the hidden state's product (N,G·H) to the next state."""


def _lstm(gates_in: torch.Tensor, state: State, gates_back: torch.Tensor) -> State:
    gates = gates_back.add_(gates_in).unsafe_chunk(4, 1)
    i, f, g, o = gates[0].sigmoid_(), gates[1].sigmoid_(), gates[2].tanh_(), gates[3].sigmoid_()
    cell = (f * state[1]).add_(i * g)
    return o * cell.tanh(), cell


def _gru(gates_in: torch.Tensor, state: State, gates_back: torch.Tensor) -> State:
    from_input, from_state = gates_in.unsafe_chunk(3, 1), gates_back.unsafe_chunk(3, 1)
    reset, update = [from_state[i].add_(from_input[i]).sigmoid_() for i in (0, 1)]
    new = from_input[2].add(from_state[2].mul_(reset)).tanh_()
    return ((state[0] - new).mul_(update).add_(new),)


def _simple(function: Callable[[torch.Tensor], torch.Tensor]) -> Cell:
    return lambda gates_in, _, gates_back: (function(gates_back.add_(gates_in)),)


_CELLS: dict[str, Cell] = {
    "lstm": _lstm, "gru": _gru, "rnn_tanh": _simple(torch.tanh), "rnn_relu": _simple(torch.relu),
}  # fmt: skip


def recurrent(
    name: str, x: torch.Tensor, states: Sequence[torch.Tensor], weights: Weights, has_biases: bool, layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> list[torch.Tensor]:  # fmt: skip
    """Return the outputs of all time steps, and the last states of all layers and directions.

    Shapes: x: T,N,I, or N,T,I if `batch_first`; states: D·layers,N,R, for an LSTM also D·layers,N,H.
    """
    cell, directions = _CELLS[name], 2 if bidirectional else 1
    x = x.transpose(0, 1) if batch_first else x
    first = list(zip(*[state.unbind(0) for state in states], strict=True))
    per_cell = len(weights) // len(first)
    own = [weights[i * per_cell : (i + 1) * per_cell] for i in range(len(first))]
    last: list[State] = []
    for layer in range(layers):
        at = layer * directions
        if bidirectional:
            x, *finals = _both_ways(cell, x, first[at : at + 2], own[at : at + 2], has_biases)
        else:
            x, *finals = _one_way(cell, x, first[at], own[at], has_biases)
        last += finals
        if dropout and train and layer < layers - 1:
            x = torch.dropout(x, dropout, True)
    joined = [torch.stack(of_all) for of_all in zip(*last, strict=True)]
    return [x.transpose(0, 1) if batch_first else x, *joined]


def _one_way(cell: Cell, x: torch.Tensor, first: State, weights: Weights, has_biases: bool) -> tuple[Any, ...]:
    """A unidirectional layer: T,N,I → T,N,R, and the last state."""
    gates = _input_products(x, weights, has_biases)
    outputs, last = _steps(cell, gates.unbind(0), first, weights, has_biases)
    return torch.stack(outputs), last


def _both_ways(
    cell: Cell, x: torch.Tensor, first: Sequence[State], weights: Sequence[Weights], has_biases: bool
) -> tuple[Any, ...]:
    """A bidirectional layer: T,N,I → T,N,2R, and each direction's last state."""
    gates = _input_products(x, weights[0], has_biases)
    there, end = _steps(cell, gates.unbind(0), first[0], weights[0], has_biases)
    forward = torch.stack(there)
    gates = _input_products(x, weights[1], has_biases)
    back, start = _steps(cell, gates.unbind(0)[::-1], first[1], weights[1], has_biases)
    backward = torch.stack(back[::-1])
    return torch.cat([forward, backward], -1), end, start


def _input_products(x: torch.Tensor, weights: Weights, has_biases: bool) -> torch.Tensor:
    return linear(x, weights[0], weights[2] if has_biases else None)


def _steps(
    cell: Cell, gates: Sequence[torch.Tensor], state: State, weights: Weights, has_biases: bool
) -> tuple[list[torch.Tensor], State]:
    """Return the hidden state after each time step, and the state after the last one."""
    outputs = []
    for gates_in in gates:
        state = _step(cell, gates_in, state, weights, has_biases)
        outputs.append(state[0])
    return outputs, state


def _step(cell: Cell, gates_in: torch.Tensor, state: State, weights: Weights, has_biases: bool) -> State:
    gates = linear(state[0], weights[1], weights[3] if has_biases else None)
    state = cell(gates_in, state, gates)
    if len(weights) % 2:  # the last weight is a projection's; C++ holds the gates until the projection is computed
        state = (torch.matmul(state[0], weights[-1].t()), *state[1:])
    return state


# ---- packed sequences: the rows of all time steps are concatenated; later steps have fewer rows


def packed(
    name: str, x: torch.Tensor, sizes: Sequence[int], states: Sequence[torch.Tensor], weights: Weights,
    has_biases: bool, layers: int, dropout: float, train: bool, bidirectional: bool,
) -> list[torch.Tensor]:  # fmt: skip
    """Return the outputs of all time steps, and the last states of all layers and directions.

    Shapes: x: ΣN,I, with `sizes[t]` rows for time step t; states: as for `recurrent`.
    """
    cell = _CELLS[name]
    first = list(zip(*[state.unbind(0) for state in states], strict=True))
    per_cell = len(weights) // len(first)
    own = [weights[i * per_cell : (i + 1) * per_cell] for i in range(len(first))]
    last: list[State] = []
    for layer in range(layers):
        if bidirectional:
            at = 2 * layer
            there, end = _packed_way(cell, x, sizes, first[at], own[at], has_biases)
            back, start = _packed_way_back(cell, x, sizes, first[at + 1], own[at + 1], has_biases)
            x = torch.cat([there, back], -1)
            last += [end, start]
            del there, back  # C++ does not hold them during the dropout
        else:
            x, end = _packed_way(cell, x, sizes, first[layer], own[layer], has_biases)
            last.append(end)
        if dropout and train and layer < layers - 1:
            x = torch.dropout(x, dropout, True)
    return [x, *[torch.stack(of_all) for of_all in zip(*last, strict=True)]]


def _packed_way(
    cell: Cell, x: torch.Tensor, sizes: Sequence[int], state: State, weights: Weights, has_biases: bool
) -> tuple[torch.Tensor, State]:
    """The forward direction. At each time step, the states of sequences that have ended are split off."""
    gates = _input_products(x, weights, has_biases)
    outputs, ended, offset, before = [], [], 0, sizes[0]
    for size in sizes:
        gates_in = gates.narrow(0, offset, size)
        offset += size
        if size < before:
            ended.append(tuple([s.narrow(0, size, before - size) for s in state]))
            state = tuple([s.narrow(0, 0, size) for s in state])
        before = size
        state = _step(cell, gates_in, state, weights, has_biases)
        outputs.append(state[0])
    ended.append(state)
    return torch.cat(outputs), tuple([torch.cat(of_all) for of_all in zip(*ended[::-1], strict=True)])


def _packed_way_back(
    cell: Cell, x: torch.Tensor, sizes: Sequence[int], first: State, weights: Weights, has_biases: bool
) -> tuple[torch.Tensor, State]:
    """The backward direction. At each time step, the initial states of sequences that begin there are appended."""
    gates = _input_products(x, weights, has_biases)
    outputs, offset, before = [], gates.shape[0], sizes[-1]
    state = tuple([s.narrow(0, 0, before) for s in first])
    for size in reversed(sizes):
        if size > before:
            joining = [s.narrow(0, before, size - before) for s in first]
            state = tuple([torch.cat(both) for both in zip(state, joining, strict=True)])
            del joining  # C++ does not hold them during the step
        offset -= size
        before = size
        state = _step(cell, gates.narrow(0, offset, size), state, weights, has_biases)
        outputs.append(state[0])
    return torch.cat(outputs[::-1]), state
