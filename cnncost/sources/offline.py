"""Nothing is ever downloaded: neither weights nor configurations. A cost depends on no weights."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from cnncost.errors import SourceError

_SAID = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Read by the libraries when they are imported, and later by some."""


class NetworkWantedError(SourceError):
    """A library asked for the network while a model was being built."""


@contextmanager
def offline(spec: str) -> Iterator[None]:
    """While it lasts, this thread reaches no network.

    Raises:
        NetworkWantedError: something tried to.
    """
    thread, methods = get_ident(), ("connect", "connect_ex")
    lookup, before = socket.getaddrinfo, {name: os.environ.get(name) for name in _SAID}

    def refused(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if get_ident() == thread:
                raise NetworkWantedError(
                    f"{spec}: building it asked for the network, and nothing is downloaded; "
                    "a cost needs no weights: leave out what asks for them, or give a local file"
                )
            return original(*args, **kwargs)

        return call

    os.environ.update(dict.fromkeys(_SAID, "1"))
    socket.getaddrinfo = refused(lookup)
    for name in methods:  # inherited from C code: put in front of, and taken away again
        setattr(socket.socket, name, refused(getattr(socket.socket, name)))
    try:
        yield
    finally:
        for name in methods:
            delattr(socket.socket, name)
        socket.getaddrinfo = lookup
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
