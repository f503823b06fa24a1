"""Narrower versions of wide networks, for tests and experiments on small machines."""


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, rounded to an even number of at least 2.

    Even numbers keep the two groups of AlexNet's split layers equal. All the papers' numbers of channels are
    even, so a `width` of 1 changes none.
    """
    if width <= 0:
        raise ValueError(f"width: expected a factor above 0, got {width}")
    return max(2, 2 * round(channels * width / 2))
