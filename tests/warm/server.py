"""A Python that has torch and cnncost imported, and forks a process for each request of `client.py`.

    python server.py SOCKET FOLDER

SOCKET is the number of a listening one, FOLDER the one that has the package cnncost. Ends when standard input does.

The fork has the arguments, environment, files and folder of its client. It ends as an interpreter does, but for the
objects that are left, which nobody destroys. Of an interpreter's options it knows `-B`, `-P`, `-c` and `-m`.
"""

import atexit
import ctypes
import fcntl
import gc
import io
import itertools
import marshal
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
import weakref
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

PACKAGES = ("cli", "frontends.torch", "ops", "passes", "render", "report", "sources", "zoo")
"""Of cnncost: what most commands import, and nothing that another package has to be installed for."""
MOST = 64
"""More files than a client has open."""


def prepare():
    """Import what takes most of a process's time, so that forks neither copy nor collect it, nor undo it at their end.

    What torch registers for the end took half of a fork's time: it unloads operators, and reports what it has compiled.
    """
    register = atexit.register
    atexit.register = lambda function, *args, **options: (
        function if str(function.__module__).startswith("torch.") else register(function, *args, **options)
    )
    for name in PACKAGES:
        package = import_module(f"cnncost.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    atexit.register = register
    for finalizer in list(weakref.finalize._registry):
        finalizer.atexit = False
    gc.collect()
    gc.freeze()


def received(connection):
    """What a client has sent: its words, environment and numbers of files, and these files."""
    text, files, *_ = socket.recv_fds(connection, 1 << 16, MOST)
    size = int.from_bytes(text[:8], "little")
    while len(text) < 8 + size:
        text += connection.recv(1 << 16)
    return marshal.loads(text[8:]), files  # noqa: S302  # our own client's


def request(listening):
    """The first request, in a process of its own; then the next ones. The client gets the status of `os.wait`.

    The process of a client that is killed is killed, too.
    """
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ)
    waiting.register(listening, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj == 0:
                os._exit(0)
            if key.fileobj is listening:
                connection, _ = listening.accept()
                asked, files = received(connection)
                pid = os.fork()
                if pid == 0:  # whose descriptors are its own from here on: none may be closed by what is destroyed
                    others = [each.fileobj for each in waiting.get_map().values() if isinstance(each.data, int)]
                    for each in (waiting, listening, connection, *others):
                        each.close()
                    return asked, files
                for each in files:
                    os.close(each)
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                waiting.register(connection, selectors.EVENT_READ, pid)
            elif isinstance(key.data, int):  # a client has gone that waits for its process, or just got its status
                if key.fileobj.fileno() >= 0:
                    waiting.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)
            else:
                pid, connection = key.data
                waiting.unregister(key.fileobj)
                os.close(key.fileobj)
                status = os.waitpid(pid, 0)[1]
                with suppress(KeyError):
                    waiting.unregister(connection)
                with connection, suppress(ConnectionError):
                    connection.sendall(status.to_bytes(4, "little"))


def take(numbers, files):
    """Have the client's files, under its numbers, and its folder, which is the first; no other."""
    os.fchdir(files[0])
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, MOST) for each in files]
    os.closerange(0, MOST)
    for number, each in zip(numbers, high[1:], strict=True):
        os.dup2(each, number)
    os.closerange(MOST, max(high) + 1)


def stream(number, mode, errors=None):
    """Standard input, output or error, as an interpreter opens them."""
    try:
        os.fstat(number)
    except OSError:
        return None
    buffering = 0 if mode == "wb" and os.environ.get("PYTHONUNBUFFERED") else -1
    file = open(number, mode, buffering, closefd=False)  # noqa: SIM115  # as long as the process lives
    encoding, _, given = os.environ.get("PYTHONIOENCODING", "").partition(":")
    return io.TextIOWrapper(
        file, encoding or None, errors or given or None, line_buffering=number == 2, write_through=not buffering
    )


def run(words):
    """Run them as an interpreter's arguments."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    flags = list(itertools.takewhile(("-B", "-P").__contains__, words))
    option, what, *sys.argv[1:] = words[len(flags) :]
    sys.argv[0] = "-c" if option == "-c" else what
    sys.dont_write_bytecode = "-B" in flags or bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if option == "-c":
        if "-P" not in flags:
            sys.path.insert(0, "")
        exec(compile(what, "<string>", "exec"), main.__dict__)  # noqa: S102  # a test's
    elif option == "-m" and "-P" not in flags:
        with suppress(FileNotFoundError):  # the folder is gone
            sys.path.insert(0, str(Path.cwd()))
        runpy._run_module_as_main(what)
    else:
        raise ValueError(f"{words}: expected [-B] [-P] -c, or [-B] -m")


def code_of(words):
    """Run them; the exit code."""
    try:
        run(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001  # as an interpreter does
        traceback.print_exc()
    else:
        return 0
    return 1


def end(code):
    """End the process as an interpreter does: other threads, what is registered for it, what is not written yet."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for each in {sys.stdout, sys.__stdout__} - {None}:
        try:
            each.flush()
        except (OSError, ValueError):
            code = 120
    ctypes.CDLL(None).fflush(None)
    os._exit(code)


if __name__ == "__main__":
    sys.path[0] = sys.argv[2]
    prepare()
    del sys.path[0]
    (words, around, numbers, parent), files = request(socket.socket(fileno=int(sys.argv[1])))
    take(numbers, files)
    os.getppid = lambda: parent if Path(f"/proc/{parent}").exists() else 1
    os.environ.clear()
    os.environ.update(around)
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.stdin, sys.stdout, sys.stderr = stream(0, "rb"), stream(1, "wb"), stream(2, "wb", "backslashreplace")
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    end(code_of(words))
