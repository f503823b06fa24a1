"""Sizes at which forward, or its memory, is a special case: a law is right there, or it says that it ends before."""

import pytest
from torch import nn

import cnncost
from cnncost.errors import InputError


class Remainder(nn.Module):
    """A second layer at one length in so many, as models have that treat a rest apart."""

    def __init__(self, modulus, rest):
        super().__init__()
        self.linear, self.modulus, self.rest = nn.Linear(4, 4), modulus, rest

    def forward(self, x):
        x = self.linear(x)
        return self.linear(x) if x.shape[1] % self.modulus == self.rest else x


@pytest.mark.parametrize(("modulus", "rest"), [(m, r) for m in (3, 5, 7, 9, 11, 13, 16, 17) for r in (0, 2)])
def test_one_size_in_so_many(modulus, rest):
    """By hand: 16 products a vector, twice at each size with that remainder. A law is right or says that it ends."""
    law = cnncost.formula(Remainder(modulus, rest), "1x64x4", "sequence", training=False)["macs"]
    held = 0
    for length in range(1, 400):
        try:
            found = law(sequence=length)
        except InputError:
            continue
        held += 1
        assert found == 16 * length * (2 if length % modulus == rest else 1), length
    assert held


class Conditional(nn.Module):
    """A second layer on images for which a condition of height and width holds."""

    def __init__(self, condition):
        super().__init__()
        self.condition, self.linear = condition, nn.Linear(4, 4)

    def forward(self, x):
        x = self.linear(x)
        return self.linear(x) if self.condition(*x.shape[1:3]) else x


CONDITIONS = {
    # the condition, and the images at which the law is to be tried
    "squares": (lambda h, w: h == w, [(n, n) for n in range(1, 60)]),
    "wider than high": (lambda h, w: h < w, [(h, w) for h in range(34, 44) for w in range(34, 44)]),
    "higher than wide": (lambda h, w: h > w, [(h, w) for h in range(34, 44) for w in range(34, 44)]),
    "many positions": (lambda h, w: h * w > 2000, [(h, w) for h in (1, 30, 45, 60, 300) for w in (3, 33, 45, 47, 900)]),
    "a low strip": (lambda h, w: h < 4 and w > 100, [(h, w) for h in (1, 3, 4, 40) for w in (36, 100, 101, 800)]),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_two_sizes_that_forward_compares(name):
    """By hand: 16 products a position, twice where the condition holds. A law is right or says that it ends."""
    condition, images = CONDITIONS[name]
    law = cnncost.formula(Conditional(condition), "1x40x36x4", "0.1,0.2", training=False)["macs"]
    held = 0
    for height, width in [*images, (40, 36)]:
        try:
            found = law(**{"0.1": height, "0.2": width})
        except InputError:
            continue
        held += 1
        assert found == 16 * height * width * (2 if condition(height, width) else 1), (height, width)
    assert held


PEAKS = {
    # a network, its input, and sizes at which forward or memory is a special case
    "one length in seven": (Remainder(7, 0), (2, 40, 4), [(2, n) for n in range(1, 60)]),
    "one token, of which a transpose is no copy": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1), (2, 24, 16),
        [(b, n) for b in (2, 3, 10, 100) for n in (1, 2, 3, 30)],
    ),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", PEAKS)
def test_peaks_where_forward_is_a_special_case(name):
    network, shape, sizes = PEAKS[name]
    laws = cnncost.formula(network, shape, "batch,sequence")
    held = 0
    for batch, length in sizes:
        figures = cnncost.analyze(network, (batch, length, shape[2]), training=True).memory.figures
        for quantity in ("inference_peak", "training_peak", "activations"):
            law = laws[quantity]
            if law.known and law.domain[0].has(batch) and law.domain[1].has(length):
                held += 1
                assert law(batch=batch, sequence=length) == getattr(figures, quantity), (quantity, batch, length)
    assert held
