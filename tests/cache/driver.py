"""Runs command lines in forked processes that have torch imported, under the cache's observation; for the tests.

Each line of standard input is a JSON object: `argv`, `folder`, `env` (added to the environment; null removes), `cache`
(whether to use it), `now` (by the clock, of which this file knows nothing: it would count as one of the model's). The
answer is a line of JSON: exit code, stdout, stderr, and what the cache tells.
"""

import contextlib
import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path

from cnncost.cache import recordings
from cnncost.cli import main

USED = (
    "analysis", "cli.summarize", "files", "frontends.torch.building", "frontends.torch.initial",
    "frontends.torch.meta_cache", "frontends.torch.unbatched", "passes.compute", "passes.memory.fused",
    "passes.workspaces", "render.json", "report.build", "report.json_format", "report.memory", "report.model",
    "sources.json_inputs", "sources.not_models", "sources.offline", "sources.resolve", "sources.saved", "sources.zoo",
)  # fmt: skip
"""Modules that most requests use, by their names in cnncost."""


def answer(request, cache):
    os.chdir(request["folder"])
    for name, value in request["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    cache._watch._environment.before = dict(os.environ)
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    cache._watch._begun = request["now"]  # as in a process that begins now, and has read nothing of the project
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if not request["cache"]:
                recordings._ACTIVE.clear()
            sys.argv[1:] = request["argv"]
            main(request["argv"])
        except SystemExit as end:
            code = end.code
    return {"code": code, "out": out.buffer.getvalue().decode(), "err": err.getvalue(), "told": cache.messages}


def serve():
    with recordings.caching() as cache:
        with cache.observed():
            for module in USED:
                import_module(f"cnncost.{module}")
        for line in open(0, encoding="utf-8"):  # noqa: SIM115  # it is open while this process lives
            reading, writing = os.pipe()
            if os.fork() == 0:
                try:
                    said = json.dumps(answer(json.loads(line), cache))
                except BaseException as error:  # noqa: BLE001  # the test shows it
                    said = json.dumps({"code": -1, "out": "", "err": repr(error), "told": []})
                with os.fdopen(writing, "w") as file:
                    file.write(said)
                os._exit(0)
            os.close(writing)
            with os.fdopen(reading) as file:
                said = file.read()
            os.wait()
            sys.stdout.write(said + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if Path(path) != Path(__file__).parent]
    serve()
