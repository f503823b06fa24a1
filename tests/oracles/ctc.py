"""Connectionist temporal classification in loops, on counting numbers: Graves et al. 2006, in log space."""

from __future__ import annotations

from math import inf

import numpy as np
import torch

from tests.oracles.counting import Number, Tally, floats


def _joined(terms: list[Number]) -> Number:
    """log Σ exp of some numbers, after subtracting their maximum."""
    top = terms[0]
    for term in terms[1:]:
        top = top.max(term)
    if top.value == -inf:
        top = Number(0.0, top.tally)
    parts = [(term - top).function("exp") for term in terms]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return _log(total) + top


def _log(x: Number) -> Number:
    return x.function("log") if x.value else x._done("log", -inf)


def _paths(p: np.ndarray, states: list[int], tally: Tally) -> np.ndarray:
    """log α of each step and state; applied to reversed inputs, the reversed log β."""
    nothing = Number(-inf, tally)
    found = np.full((len(p), len(states)), nothing, dtype=object)
    found[0][:2] = [p[0][k] for k in states[:2]]
    for t in range(1, len(p)):
        for s, k in enumerate(states):
            skips = s > 1 and states[s - 2] != k
            before = [found[t - 1][s], found[t - 1][s - 1] if s else nothing, found[t - 1][s - 2] if skips else nothing]
            found[t][s] = _joined(before) + p[t][k]
    return found


def ctc(
    log_probs: torch.Tensor, targets: list[list[int]], steps: list[int], backward: bool
) -> tuple[torch.Tensor, int]:
    """Losses of N sequences, or their gradient for log_probs (T,N,C), and the tally of operations; blank is 0."""
    tally = Tally()
    losses, gradient, taken = [], torch.zeros_like(log_probs), 0
    for n, (labels, length) in enumerate(zip(targets, steps, strict=True)):
        p = tally.numbers(log_probs[:length, n])
        states = [0, *(k for label in labels for k in (label, 0))]
        alpha = _paths(p, states, tally)
        loss = -_joined([alpha[-1][-1], alpha[-1][-2]])
        losses.append(float(loss))
        if backward:
            tally.clear()  # forward's results are available in backward
            gradient[:length, n] = _gradient(p, states, alpha, loss, tally)
            taken += tally.flops
    return (gradient, taken) if backward else (torch.tensor(losses), tally.flops)


def _gradient(p: np.ndarray, states: list[int], alpha: np.ndarray, loss: Number, tally: Tally) -> torch.Tensor:
    beta = _paths(p[::-1], states[::-1], tally)[::-1, ::-1]
    g = Number(1.0, tally)
    rows = []
    for t in range(len(p)):
        sums = {k: Number(-inf, tally) for k in range(p.shape[1])}
        last = t == len(p) - 1
        for s, k in enumerate(states):
            if last and s < len(states) - 2:
                continue
            both = alpha[t][s] + beta[t][s]
            sums[k] = both if last else _joined([sums[k], both])
        rows.append([(p[t][k].function("exp") - (sums[k] + loss - p[t][k]).function("exp")) * g for k in sums])
    return floats(np.array(rows, dtype=object))
