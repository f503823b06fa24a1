"""A program: runs commands with a line more in each table of devices, and prints the exit code and output of each."""

import contextlib
import io
import json
import sys

from cnncost.devices import model


def main():
    """Read `{"commands": [[word, …], …]}` from standard input; write a list of [exit code, stdout, stderr]."""
    model.CLASSES["abacus"] = model.DeviceClass(2e-6, overlaps=True)
    model.FORMATS["int5"] = model.NumberFormat(5)
    model.FORMATS["float12"] = model.NumberFormat(12)
    model.LINKS["thread"] = model.Link("node", "between the devices of a pod")
    model.LINKS["pigeon"] = model.Link("network", "an adapter of another kind")
    from cnncost.cli import main as cnncost  # only now: options list what the tables have

    found = []
    for words in json.load(sys.stdin)["commands"]:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cnncost(words)
            except SystemExit as stopped:
                code = stopped.code
            except Exception as error:  # noqa: BLE001  # a command may not fail with one of Python's
                code = repr(error)
        found.append([code, *(stream.buffer.getvalue().decode() for stream in (out, err))])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
