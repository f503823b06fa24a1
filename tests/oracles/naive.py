"""Naive implementations on counting numbers: the plainest loops that return torch's results.

An accumulator starts at zero, so that each product is followed by one addition: a multiply-accumulate is two
operations. The sums of means and pools start at their first summand. Values computed once per group, axis or layer
(positions and weights of an interpolation, the root of a variance) are plain floats and not counted, unless a
function says otherwise.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from tests.oracles.counting import Number, Tally, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints = tuple[int, ...]


def _positions(shape: Sequence[int]) -> list[Ints]:
    return list(product(*map(range, shape)))


def _taken(out: Sequence[int], taps: Sequence[int], stride: Ints, dilation: Ints) -> Ints:
    return tuple(o * s + t * d for o, t, s, d in zip(out, taps, stride, dilation, strict=True))


def _spatial(size: Ints, kernel: Ints, stride: Ints, dilation: Ints) -> Ints:
    return tuple(len(range(0, x - d * (k - 1), s)) for x, k, s, d in zip(size, kernel, stride, dilation, strict=True))


# ---- multiply-accumulates


def convolution(tally, x, w, bias=None, *, stride, padding, dilation, groups):
    """x: N,C,*X; w: K,C/g,*R; padding: (before, after) per axis, with zeros that are multiplied like other values."""
    padded = tally.zeros(*x.shape[:2], *(size + sum(p) for size, p in zip(x.shape[2:], padding, strict=True)))
    inside = tuple(slice(before, before + size) for size, (before, _) in zip(x.shape[2:], padding, strict=True))
    padded[(slice(None), slice(None), *inside)] = x
    out, inner = w.shape[0] // groups, w.shape[1]
    y = tally.zeros(x.shape[0], w.shape[0], *_spatial(padded.shape[2:], w.shape[2:], stride, dilation))
    for n, k, *p in _positions(y.shape):
        total = tally.number(0)
        for c, *r in _positions(w.shape[1:]):
            channel = k // out * inner + c
            total = total + padded[(n, channel, *_taken(p, r, stride, dilation))] * w[(k, c, *r)]
        y[(n, k, *p)] = total if bias is None else total + bias[k]
    return y


def transposed_convolution(tally, x, w, bias=None, *, stride, padding, output_padding, dilation, groups):
    """x: N,C,*X; w: C,K/g,*R: each input position is spread over the output; parts beyond its border are cropped."""
    per_group, inner = w.shape[1], x.shape[1] // groups
    full = tuple(
        (size - 1) * s + d * (r - 1) + 1 + extra
        for size, s, d, r, extra in zip(x.shape[2:], stride, dilation, w.shape[2:], output_padding, strict=True)
    )
    y = tally.zeros(x.shape[0], per_group * groups, *full)
    for n, c, *p in _positions(x.shape):
        for k, *r in _positions(w.shape[1:]):
            place = (n, c // inner * per_group + k, *_taken(p, r, stride, dilation))
            y[place] = y[place] + x[(n, c, *p)] * w[(c, k, *r)]
    kept = tuple(slice(pad, size - pad) for pad, size in zip(padding, full, strict=True))
    y = y[(slice(None), slice(None), *kept)]
    if bias is not None:
        for place in _positions(y.shape):
            y[place] = y[place] + bias[place[1]]
    return y


def _dot(tally: Tally, a: np.ndarray, b: np.ndarray) -> Number:
    total = tally.number(0)
    for left, right in zip(a, b, strict=True):
        total = total + left * right
    return total


def linear(tally, x, w, bias=None):
    """x: *,I; w: O,I."""
    y = tally.zeros(*x.shape[:-1], w.shape[0])
    for place in _positions(y.shape):
        total = _dot(tally, x[place[:-1]], w[place[-1]])
        y[place] = total if bias is None else total + bias[place[-1]]
    return y


def matmul(tally, a, b):
    """NumPy's rules: a vector on the left is a row, on the right a column; batches broadcast."""
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, batch + left.shape[-2:])
    right = np.broadcast_to(right, batch + right.shape[-2:])
    y = tally.zeros(*batch, left.shape[-2], right.shape[-1])
    for *n, i, j in _positions(y.shape):
        y[(*n, i, j)] = _dot(tally, left[(*n, i)], right[(*n, slice(None), j)])
    y = y[..., 0, :] if a.ndim == 1 else y
    return y[..., 0] if b.ndim == 1 else y


def bilinear(tally, a, b, w, bias=None):
    """a: *,I; b: *,J; w: O,I,J: aᵀW first, the result times b."""
    y = tally.zeros(*a.shape[:-1], w.shape[0])
    for place in _positions(y.shape):
        *row, o = place
        first = [_dot(tally, a[tuple(row)], w[o, :, j]) for j in range(w.shape[2])]
        total = _dot(tally, first, b[tuple(row)])
        y[place] = total if bias is None else total + bias[o]
    return y


def attention(tally, q, k, v, mask=None):
    """q: *,L,E; k: *,S,E; v: *,S,V. Queries and keys are each scaled by the root of 1/√E, as in torch's math kernel.

    Heads of k and v are repeated where q has more of them.
    """
    root = q.shape[-1] ** -0.25
    if k.shape[:-2] != q.shape[:-2]:
        times = q.shape[-3] // k.shape[-3]
        k, v = np.repeat(k, times, axis=-3), np.repeat(v, times, axis=-3)
    y = tally.zeros(*q.shape[:-1], v.shape[-1])
    for lead in _positions(q.shape[:-2]):
        queries, keys = q[lead] * root, k[lead] * root
        scores = matmul(tally, queries, keys.T)
        if mask is not None:
            scores = scores + np.broadcast_to(mask, (*q.shape[:-1], k.shape[-2]))[lead]
        y[lead] = matmul(tally, softmax(tally, scores), v[lead])
    return y


# ---- recurrent cells


def sigmoid(x: Number) -> Number:
    return 1 / (1 + (-x).function("exp"))


def _gates(tally, x, h, wx, wh, bx, bh):
    """The two products of a cell with their biases: G·H numbers each."""
    return linear(tally, x, wx, bx), linear(tally, h, wh, bh)


def _lstm_step(tally, x, state, wx, wh, bx=None, bh=None, project=None):
    h, c = state
    fresh, old = _gates(tally, x, h, wx, wh, bx, bh)
    both = fresh + old
    units = len(c)
    i, f, g, o = (both[n * units : (n + 1) * units] for n in range(4))
    cells, hidden = [], []
    for n in range(units):
        cells.append(sigmoid(f[n]) * c[n] + sigmoid(i[n]) * g[n].function("tanh"))
        hidden.append(sigmoid(o[n]) * cells[n].function("tanh"))
    h = np.array(hidden, dtype=object)
    return (linear(tally, h, project) if project is not None else h), np.array(cells, dtype=object)


def _gru_step(tally, x, state, wx, wh, bx=None, bh=None):
    (h,) = state
    fresh, old = _gates(tally, x, h, wx, wh, bx, bh)
    units, out = len(h), []
    for n in range(units):
        r = sigmoid(fresh[n] + old[n])
        z = sigmoid(fresh[units + n] + old[units + n])
        new = (fresh[2 * units + n] + r * old[2 * units + n]).function("tanh")
        out.append((h[n] - new) * z + new)
    return (np.array(out, dtype=object),)


def _rnn_step(tally, x, state, wx, wh, bx=None, bh=None):
    fresh, old = _gates(tally, x, state[0], wx, wh, bx, bh)
    return (np.array([n.function("tanh") for n in fresh + old], dtype=object),)


STEPS = {"lstm": _lstm_step, "gru": _gru_step, "rnn": _rnn_step}


def recurrent(tally, x, *weights, cell, layers, bidirectional, bias, projected=False):
    """x: T,N,I. `weights` in torch's order: by layer, then by direction."""
    each = 2 + 2 * bias + projected
    step, states = STEPS[cell], 2 if cell == "lstm" else 1
    hidden = weights[1].shape[0] // {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    left = list(weights)
    for _ in range(layers):
        sides = []
        for backward in range(1 + bidirectional):
            mine, left = left[:each], left[each:]
            wx, wh, *rest = mine
            project = {"project": rest.pop()} if projected else {}
            sides.append(_run(tally, x[::-1] if backward else x, step, states, hidden, (wx, wh, *rest), project))
            if backward:
                sides[-1] = sides[-1][::-1]
        x = np.concatenate(sides, axis=-1)
    return x


def _run(tally, x, step, states, hidden, weights, project):
    back = weights[1].shape[1]
    rows = []
    for n in range(x.shape[1]):
        state = (tally.zeros(back), tally.zeros(hidden))[:states]
        steps = []
        for t in range(x.shape[0]):
            state = step(tally, x[t, n], state, *weights, **project)
            steps.append(state[0])
        rows.append(steps)
    return np.array(rows, dtype=object).swapaxes(0, 1)


# ---- pooling, interpolation


def _first_then(values: list[Number], function: str) -> Number:
    """A fold that starts at the first value: one operation fewer than there are values."""
    result = values[0]
    for value in values[1:]:
        result = result + value if function == "sum" else result.max(value)
    return result


def pool(tally, x, *, kernel, stride, fn):
    """x: N,C,*X; windows without padding."""
    ones = (1,) * len(kernel)
    y = tally.zeros(*x.shape[:2], *_spatial(x.shape[2:], kernel, stride, ones))
    for place in _positions(y.shape):
        n, c, *p = place
        window = [x[(n, c, *_taken(p, r, stride, ones))] for r in _positions(kernel)]
        y[place] = _first_then(window, "max") if fn == "max" else _first_then(window, "sum") / len(window)
    return y


def adaptive_pool(tally, x, *, out, fn):
    """x: N,C,*X. Output i covers the inputs that overlap the i-th part of the axis."""
    y = tally.zeros(*x.shape[:2], *out)
    for place in _positions(y.shape):
        n, c, *p = place
        ranges = [
            [j for j in range(size) if (j + 1) * parts > i * size and j * parts < (i + 1) * size]
            for i, size, parts in zip(p, x.shape[2:], out, strict=True)
        ]
        window = [x[(n, c, *at)] for at in product(*ranges)]
        y[place] = _first_then(window, "max") if fn == "max" else _first_then(window, "sum") / len(window)
    return y


def _linear_taps(position: float) -> list[tuple[int, float]]:
    base = math.floor(position)
    return [(base, 1 - (position - base)), (base + 1, position - base)]


def _cubic_taps(position: float) -> list[tuple[int, float]]:
    """Keys 1981 with a = −3/4."""
    base, a, taps = math.floor(position), -0.75, []
    for tap in range(base - 1, base + 3):
        d = abs(position - tap)
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        taps.append((tap, near if d <= 1 else far))
    return taps


def interpolation(tally, x, *, out, cubic=False, align=False):
    """x: N,C,*X, linear or cubic on each axis; taps beyond the border read the border, and are weighted as usual."""
    y = tally.zeros(*x.shape[:2], *out)
    taps_at = _cubic_taps if cubic else _linear_taps
    for place in _positions(y.shape):
        n, c, *p = place
        axes = []
        for i, size, parts in zip(p, x.shape[2:], out, strict=True):
            at = i * (size - 1) / max(parts - 1, 1) if align else (i + 0.5) * size / parts - 0.5
            at = at if cubic else max(at, 0.0)
            axes.append([(min(max(tap, 0), size - 1), weight) for tap, weight in taps_at(at)])
        terms = [
            x[(n, c, *(tap for tap, _ in corner))] * math.prod(weight for _, weight in corner)
            for corner in product(*axes)
        ]
        y[place] = _first_then(terms, "sum")
    return y


# ---- softmax, normalisation


def softmax(tally, x, *, log=False):
    """Along the last axis."""
    y = tally.zeros(*x.shape)
    for lead in _positions(x.shape[:-1]):
        greatest, total = tally.number(-math.inf), tally.number(0)
        for value in x[lead]:
            greatest = greatest.max(value)
        shifted = x[lead] - greatest
        raised = [value.function("exp") for value in shifted]
        for value in raised:
            total = total + value
        y[lead] = [v - math.log(float(total)) for v in shifted] if log else [v / total for v in raised]
    return y


def normalisation(tally, x, weight=None, bias=None, *, eps=1e-5):
    """Normalise rows of x by their own mean and variance; weight and bias have a row's shape."""
    y = tally.zeros(*x.shape)
    for row in _positions(x.shape[:-1]):
        total, squares = tally.number(0), tally.number(0)
        for value in x[row]:
            total = total + value
        mean = float(total) / x.shape[-1]
        for value in x[row]:
            deviation = value - mean
            squares = squares + deviation * deviation
        scale = 1 / math.sqrt(float(squares) / x.shape[-1] + eps)
        for i, value in enumerate(x[row]):
            result = (value - mean) * scale
            y[(*row, i)] = result if weight is None else result * weight[i] + bias[i]
    return y


def root_mean_square(tally, x, weight=None, *, eps):
    """Normalise rows of x by the root of their mean square; operations once per row count too."""
    y = tally.zeros(*x.shape)
    for row in _positions(x.shape[:-1]):
        mean = _first_then([value * value for value in x[row]], "sum") / x.shape[-1]
        scale = 1 / (mean + eps).function("sqrt")
        for i, value in enumerate(x[row]):
            y[(*row, i)] = value * scale if weight is None else value * scale * weight[i]
    return y


def folded_batch_norm(tally, x, mean, variance, weight, bias, *, eps=1e-5):
    """x: N,C,*: the statistics folded into one scale and one shift per channel."""
    y = tally.zeros(*x.shape)
    for place in _positions(x.shape):
        c = place[1]
        scale = float(weight[c]) / math.sqrt(float(variance[c]) + eps)
        y[place] = x[place] * scale + (float(bias[c]) - float(mean[c]) * scale)
    return y


def local_response_norm(tally, x, *, size, alpha, beta, k):
    """x: N,C,*X: across channels; at the borders the window includes zeros."""
    y = tally.zeros(*x.shape)
    squares = x * x
    for place in _positions(x.shape):
        n, c, *p = place
        channels = range(c - size // 2, c - size // 2 + size)
        window = [squares[(n, i, *p)] if 0 <= i < x.shape[1] else tally.number(0) for i in channels]
        mean = _first_then(window, "sum") / size
        y[place] = x[place] / ((mean * alpha + k) ** beta)
    return y


# ---- elementwise functions, by their definitions


def softplus(x: Number) -> Number:
    return (1 + x.function("exp")).function("log")


def softshrink(x: Number) -> Number:
    if x > 0.5:
        return x - 0.5
    return x + 0.5 if x < -0.5 else x.tally.number(0)


def gelu_by_tanh(x: Number) -> Number:
    cubed = x * x * x
    return x * 0.5 * (1 + ((x + cubed * 0.044715) * math.sqrt(2 / math.pi)).function("tanh"))


ELEMENTWISE = {
    "relu": lambda x: x.max(0),
    "relu6": lambda x: x.max(0).min(6),
    "hardtanh": lambda x: x.max(-1).min(1),
    "leaky_relu": lambda x: pick(x > 0, x, x * 0.01),
    "elu": lambda x: pick(x > 0, x, (x.function("exp") - 1) * 1.0),
    "celu": lambda x: pick(x > 0, x, ((x / 1.0).function("exp") - 1) * 1.0),
    "selu": lambda x: pick(x > 0, x, (x.function("exp") - 1) * 1.6732632423543772) * 1.0507009873554805,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "softplus": softplus,
    "mish": lambda x: x * softplus(x).function("tanh"),
    "logsigmoid": lambda x: -softplus(-x),
    "softsign": lambda x: x / (1 + abs(x)),
    "hardsigmoid": lambda x: (x + 3).max(0).min(6) / 6,
    "hardswish": lambda x: x * ((x + 3).max(0).min(6) / 6),
    "hardshrink": lambda x: pick((x > 0.5) | (x < -0.5), x, x.tally.number(0)),
    "softshrink": softshrink,
    "tanhshrink": lambda x: x - x.function("tanh"),
    "gelu": lambda x: x * 0.5 * (1 + (x / math.sqrt(2)).function("erf")),
    "gelu_tanh": gelu_by_tanh,
    "tanh": lambda x: x.function("tanh"),
    "logit": lambda x: (x / (1 - x)).function("log"),
    "rsqrt": lambda x: 1 / x.function("sqrt"),
    "frac": lambda x: x - x.function("floor"),
}
"""Functions of one number, each in the form that the documented count refers to."""


def each(tally, x, *, name):
    """Apply a function of one number to every element."""
    y = tally.zeros(*x.shape)
    for place in _positions(x.shape):
        y[place] = ELEMENTWISE[name](x[place])
    return y
