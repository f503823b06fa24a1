"""Optimizer steps on counting numbers: the operations per element in the papers' algorithms.

Values shared by all elements (bias corrections, a decaying learning rate) are plain floats.
"""

import math


def _gradient(p, g, *, maximize, decay, unscale=None):
    g = g / unscale if unscale is not None else g
    g = -g if maximize else g
    return g + p * decay if decay else g


def adam(p, g, m, v, top=None, *, t, lr, betas, eps, decay=0.0, decoupled=False, maximize=False, unscale=None):
    """Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; `top`: AMSGrad's largest v."""
    g = _gradient(p, g, maximize=maximize, decay=0.0 if decoupled else decay, unscale=unscale)
    p = p * (1 - lr * decay) if decoupled and decay else p
    m = m + (g - m) * (1 - betas[0])
    v = v * betas[1] + g * g * (1 - betas[1])
    top = v if top is None else top.max(v)
    root = top.function("sqrt") / math.sqrt(1 - betas[1] ** t) + eps
    return p - m * (lr / (1 - betas[0] ** t)) / root


def sgd(p, g, b, *, lr, momentum=0.0, dampening=0.0, decay=0.0, nesterov=False, maximize=False, first=False):
    """Sutskever et al. 2013, section 2, in torch's form."""
    g = _gradient(p, g, maximize=maximize, decay=decay)
    if momentum:
        averaged = g if first else b * momentum + (g * (1 - dampening) if dampening else g)
        g = g + averaged * momentum if nesterov else averaged
    return p - g * lr


def adagrad(p, g, s, *, lr, eps, decay=0.0, maximize=False):
    """Duchi et al. 2011, with a constant learning rate."""
    g = _gradient(p, g, maximize=maximize, decay=decay)
    return p - g * lr / ((s + g * g).function("sqrt") + eps)
