"""Nothing is downloaded: while a library builds a model, its thread reaches no network."""

import contextlib
import os
import socket
import threading

import pytest

from cnncost.errors import SourceError
from cnncost.sources.offline import NetworkAccessError, offline

HERE = ("127.0.0.1", 9)


def _with_a_socket(ask):
    with socket.socket() as made:
        return ask(made)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: socket.create_connection(HERE, timeout=1), id="a connection"),
        pytest.param(lambda: socket.getaddrinfo("localhost", 80), id="an address"),
        pytest.param(lambda: _with_a_socket(lambda s: s.connect(HERE)), id="a socket's own connect"),
        pytest.param(lambda: _with_a_socket(lambda s: s.connect_ex(HERE)), id="a connect that returns its error"),
    ],
)
def test_the_network_is_refused(ask):
    with offline("timm:x"), pytest.raises(NetworkAccessError, match=r"timm:x.*nothing is downloaded"):
        ask()


def test_all_is_as_before_afterwards():
    before = (socket.getaddrinfo, socket.socket.connect, os.environ.get("HF_HUB_OFFLINE"))
    with contextlib.suppress(KeyError), offline("m"):
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        raise KeyError
    assert (socket.getaddrinfo, socket.socket.connect, os.environ.get("HF_HUB_OFFLINE")) == before
    assert "connect" not in vars(socket.socket)


def test_other_threads_pass():
    with socket.create_server(("127.0.0.1", 0)) as server, offline("m"):
        found = []

        def connect():
            with socket.create_connection(server.getsockname(), timeout=5) as made:
                found.append(made.getpeername())

        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        assert found == [server.getsockname()]


def test_it_is_an_error_of_the_source():
    assert issubclass(NetworkAccessError, SourceError)
