"""Blocks downloads of weights and configurations, because costs don't depend on weights."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from cnncost.errors import SourceError

_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables that keep Hugging Face's libraries from using the network."""


class NetworkAccessError(SourceError):
    """A library tried to use the network while building a model."""


@contextmanager
def offline(spec: str) -> Iterator[None]:
    """Context manager that blocks this thread's network access.

    Raises:
        NetworkAccessError: code in this thread tried to use the network.
    """
    thread, methods = get_ident(), ("connect", "connect_ex")
    getaddrinfo, variables = socket.getaddrinfo, {name: os.environ.get(name) for name in _OFFLINE_VARIABLES}

    def blocked(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if get_ident() == thread:
                raise NetworkAccessError(
                    f"{spec}: building it tried to use the network, but nothing is downloaded: a cost needs no "
                    "weights; leave out the argument that loads them, or give a local file"
                )
            return original(*args, **kwargs)

        return call

    os.environ.update(dict.fromkeys(_OFFLINE_VARIABLES, "1"))
    socket.getaddrinfo = blocked(getaddrinfo)
    for name in methods:  # inherited from a C base class: overridden here, and the override deleted afterwards
        setattr(socket.socket, name, blocked(getattr(socket.socket, name)))
    try:
        yield
    finally:
        for name in methods:
            delattr(socket.socket, name)
        socket.getaddrinfo = getaddrinfo
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
