"""Models with `step(inputs, cache) -> outputs, cache`, each with a cache of another kind."""

from __future__ import annotations

import torch
from torch import nn


class Decoder(nn.Module):
    """Attention layers over all that went before, with fewer heads of keys and values than of queries."""

    def __init__(self, width=32, heads=4, shared=2, layers=2, vocabulary=61):
        super().__init__()
        self.size, self.heads, self.shared = width // heads, heads, shared
        self.embed = nn.Embedding(vocabulary, width)
        self.project = nn.ModuleList(
            nn.Linear(width, (heads + 2 * shared) * self.size, bias=False) for _ in range(layers)
        )
        self.out = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary, bias=False)

    def step(self, tokens, cache):
        batch, length = tokens.shape
        x, grown = self.embed(tokens), []
        for i, (project, out) in enumerate(zip(self.project, self.out, strict=True)):
            parts = project(x).view(batch, length, -1, self.size).transpose(1, 2)
            q, k, v = parts.split([self.heads, self.shared, self.shared], 1)
            if cache is not None:
                k, v = (torch.cat([old, new], 2) for old, new in zip(cache[i], (k, v), strict=True))
            else:
                k, v = k.contiguous(), v.contiguous()
            grown.append((k, v))
            keys, values = (t.repeat_interleave(self.heads // self.shared, 1) for t in (k, v))
            weights = (q @ keys.transpose(-1, -2) / self.size**0.5).softmax(-1)
            x = x + out((weights @ values).transpose(1, 2).reshape(batch, length, -1))
        return self.head(x), grown


class Latent(nn.Module):
    """Attention that keeps a latent and a rotated part of each token: 512 + 64 numbers."""

    def __init__(self, width=64, latent=512, rotated=64):
        super().__init__()
        self.down, self.up, self.query = (
            nn.Linear(width, latent + rotated),
            nn.Linear(latent, width),
            nn.Linear(width, width),
        )
        self.latent = latent

    def step(self, x, cache):
        kept = self.down(x)
        if cache is not None:
            kept = torch.cat([cache["latent"], kept], 1)
        keys = self.up(kept[..., : self.latent])
        return (self.query(x) @ keys.transpose(1, 2)).softmax(-1) @ keys, {"latent": kept}


class Window(nn.Module):
    """Keeps the last 8 tokens of its input."""

    def __init__(self, width=16):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def step(self, x, cache):
        seen = x if cache is None else torch.cat([cache, x], 1)
        return self.mix(seen.mean(1, keepdim=True)), seen[:, -8:].clone()


class Recurrent(nn.Module):
    """Keeps a state, however long the context."""

    def __init__(self, width=16):
        super().__init__()
        self.cell = nn.GRU(width, 24, batch_first=True)

    def step(self, x, state):
        return self.cell(x, state)


class Static(nn.Module):
    """Writes into a cache that is as large as the longest context from the first call on."""

    def __init__(self, width=16, most=32):
        super().__init__()
        self.width, self.most = width, most
        self.mix = nn.Linear(width, width)

    def step(self, x, cache):
        if cache is None:
            cache = {"kept": x.new_zeros(x.shape[0], self.most, self.width), "length": 0}
        begin, end = cache["length"], cache["length"] + x.shape[1]
        cache["kept"][:, begin:end] = self.mix(x)
        cache["length"] = end
        return cache["kept"][:, :end].sum(1), cache


class Counted(nn.Module):
    """Reads from a tensor how many of its rows are taken."""

    def __init__(self, width=16, most=32):
        super().__init__()
        self.width, self.most = width, most
        self.mix = nn.Linear(width, width)

    def step(self, x, cache):
        if cache is None:
            cache = x.new_zeros(x.shape[0], self.most, self.width), torch.zeros((), dtype=torch.int64)
        rows, taken = cache
        begin, taken = int(taken), taken + x.shape[1]
        rows[:, begin : int(taken)] = self.mix(x)
        seen = rows[:, : int(taken)]
        return (seen @ seen.transpose(1, 2)).sum(1), (rows, taken)


class Rows:
    """A cache of an own class, with a tensor for each call."""

    def __init__(self):
        self.rows = []


class Listed(nn.Module):
    """Adds to a list in its cache."""

    def __init__(self, width=16):
        super().__init__()
        self.mix = nn.Linear(width, width)

    def step(self, x, cache):
        cache = Rows() if cache is None else cache
        cache.rows.append(self.mix(x))
        seen = torch.cat(cache.rows, 1)
        return (seen @ seen.transpose(1, 2)).sum(1), cache
