"""ONNX's ops computed plainly, in loops over what they put out: their values, and the multiplications done on the way.

`Products.dot` is the only place that multiplies what counts as a MAC; values are held against onnx's own evaluator or
ONNX Runtime, so that a product that is left out, or done twice, shows in both. Padded positions are multiplied, and
attention computes whole score matrices, as everywhere in this project.
"""

from itertools import product

import numpy as np


class Products:
    """Scalar products, and how many multiplications they took."""

    def __init__(self):
        self.count = 0

    def dot(self, a, b):
        assert a.shape == b.shape
        self.count += a.size
        return (a * b).sum()


def pads_of(size, kernel, strides, dilations, pads, auto):
    """Zeros before and after each axis."""
    found = []
    for i, (n, k, s, d) in enumerate(zip(size, kernel, strides, dilations, strict=True)):
        if auto in {"SAME_UPPER", "SAME_LOWER"}:
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            few, many = total // 2, total - total // 2
            found.append((few, many) if auto == "SAME_UPPER" else (many, few))
        else:
            found.append((0, 0) if auto == "VALID" else (pads[i], pads[len(size) + i]))
    return found


def convolution(dots, x, w, *, group=1, strides, dilations, pads, auto_pad="NOTSET"):
    """x: N,C,*; w: K,C/g,*."""
    kernel, per_group = w.shape[2:], w.shape[1]
    around = pads_of(x.shape[2:], kernel, strides, dilations, pads, auto_pad)
    x = np.pad(x, [(0, 0), (0, 0), *around])
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    space = [(n - span) // s + 1 for n, span, s in zip(x.shape[2:], spans, strides, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *space), np.result_type(x, w))
    for n, k, *at in product(*map(range, y.shape)):
        first = k // (w.shape[0] // group) * per_group
        window = [slice(p * s, p * s + span, d) for p, s, span, d in zip(at, strides, spans, dilations, strict=True)]
        y[n, k, *at] = dots.dot(x[n, first : first + per_group, *window], w[k])
    return y


def transposed_convolution(dots, x, w, *, group, strides, dilations, pads, output_padding):
    """x: N,C,*; w: C,K/g,*: each input element times each weight of its channel, added where it falls."""
    axes, kernel, outer = x.ndim - 2, w.shape[2:], w.shape[1]
    full = [
        s * (n - 1) + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(x.shape[2:], kernel, strides, dilations, output_padding, strict=True)
    ]
    y = np.zeros((x.shape[0], outer * group, *full), x.dtype)
    for n, c, k, *at in product(*map(range, (x.shape[0], x.shape[1], outer, *x.shape[2:]))):
        to = c // (x.shape[1] // group) * outer + k
        for tap in product(*map(range, kernel)):
            place = [p * s + t * d for p, t, s, d in zip(at, tap, strides, dilations, strict=True)]
            y[n, to, *place] += dots.dot(x[n, c, *at], w[c, k, *tap])
    return y[:, :, *(slice(pads[i], full[i] - pads[axes + i]) for i in range(axes))]


def deformed_convolution(dots, x, w, offset, mask, *, group, offset_group, strides, dilations, pads):
    """x: N,C,H,W; w: K,C/g,R,S; offset: N,o·R·S·2,P,Q; mask: N,o·R·S,P,Q. Between pixels the value is bilinear."""
    (k_size, per_group, r, s), (p_size, q_size) = w.shape, offset.shape[2:]
    y = np.zeros((x.shape[0], k_size, p_size, q_size), x.dtype)
    for n, k, p, q in product(*map(range, y.shape)):
        first = k // (k_size // group) * per_group
        patch = np.zeros(w.shape[1:], x.dtype)
        for c, i, j in product(*map(range, patch.shape)):
            own = (first + c) // (x.shape[1] // offset_group)
            tap = (own * r + i) * s + j
            top = p * strides[0] - pads[0] + i * dilations[0] + offset[n, 2 * tap, p, q]
            left = q * strides[1] - pads[1] + j * dilations[1] + offset[n, 2 * tap + 1, p, q]
            patch[c, i, j] = _between(x[n, first + c], top, left) * (1 if mask is None else mask[n, tap, p, q])
        y[n, k, p, q] = dots.dot(patch, w[k])
    return y


def _between(plane, top, left):
    """The bilinear value at a place; zero outside."""
    value = 0.0
    for i, j in product((0, 1), repeat=2):
        row, column = int(np.floor(top)) + i, int(np.floor(left)) + j
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            value += plane[row, column] * (1 - abs(top - row)) * (1 - abs(left - column))
    return value


def attention(dots, q, k, v, mask=None, *, causal=False, scale=None, softcap=0.0, past=0):
    """q: N,H,L,E; k: N,G,S,E; v: N,G,S,V, with the past ones. Heads of q share groups of keys and values."""
    n, heads, length, width = q.shape
    each = heads // k.shape[1]
    scale = width**-0.5 if scale is None else scale
    y = np.zeros((n, heads, length, v.shape[-1]))
    for b, h, i in product(range(n), range(heads), range(length)):
        keys, values = k[b, h // each], v[b, h // each]
        scores = np.array([dots.dot(q[b, h, i], key) for key in keys]) * scale
        scores = softcap * np.tanh(scores / softcap) if softcap else scores
        if mask is not None:
            row = np.broadcast_to(mask, (n, heads, length, len(keys)))[b, h, i]
            scores = np.where(row, scores, -np.inf) if row.dtype == bool else scores + row
        if causal:
            scores[i + past + 1 :] = -np.inf
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        y[b, h, i] = [dots.dot(weights, values[:, j]) for j in range(v.shape[-1])]
    return y


def by_letters(dots, equation, *inputs):
    """Einsum of two tensors, without an ellipsis: each output element is a sum over the letters that it lacks."""
    left, out = equation.split("->")
    terms = left.split(",")
    sizes = {c: n for term, x in zip(terms, inputs, strict=True) for c, n in zip(term, x.shape, strict=True)}
    inner = [c for c in sizes if c not in out]
    y = np.zeros([sizes[c] for c in out])
    for at in product(*(range(sizes[c]) for c in out)):
        where = dict(zip(out, at, strict=True))
        picked = []
        for term, x in zip(terms, inputs, strict=True):
            part = x[tuple(where.get(c, slice(None)) for c in term)]
            own = [c for c in term if c not in where]
            order = sorted(range(len(own)), key=lambda i, own=own: inner.index(own[i]))
            shape = [sizes[c] if c in own else 1 for c in inner]
            picked.append(np.broadcast_to(part.transpose(order).reshape(shape), [sizes[c] for c in inner]))
        y[at] = dots.dot(*picked)
    return y


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrent(dots, cell, x, w, r, b, backwards=False, before_reset=False):
    """One direction: x: T,N,I; w: G·H,I; r: G·H,H; b: 2·G·H. Gates as ONNX orders them; initial states are zeros."""
    steps, batch, hidden = x.shape[0], x.shape[1], r.shape[1]
    y = np.zeros((steps, batch, hidden))
    bw, br = np.split(b, 2)

    def times(matrix, vector, rows=slice(None)):
        return np.array([dots.dot(row, vector) for row in matrix[rows]])

    for n in range(batch):
        h, c = np.zeros(hidden), np.zeros(hidden)
        for t in range(steps)[::-1] if backwards else range(steps):
            gates = times(w, x[t, n]) + bw
            if cell == "GRU":
                first, last = slice(0, 2 * hidden), slice(2 * hidden, None)
                z, reset = np.split(sigmoid(gates[first] + times(r, h, first) + br[first]), 2)
                inner = reset * (times(r, h, last) + br[last]) if before_reset else times(r, reset * h, last) + br[last]
                h = (1 - z) * np.tanh(gates[last] + inner) + z * h
            else:
                gates = gates + times(r, h) + br
                if cell == "LSTM":
                    i, o, f, new = np.split(gates, 4)
                    c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
                    h = sigmoid(o) * np.tanh(c)
                else:
                    h = np.tanh(gates)
            y[t, n] = h
    return y
