"""A process that is forked from a warm Python is as one of `sys.executable`, but for what is imported in it."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux's")
CODES = {
    "nothing": "",
    "arguments": "import sys; print(sys.argv, __name__)",
    "an exit code": "raise SystemExit(7)",
    "an exit code that is a text": "raise SystemExit('a text')",
    "a thread that ends later": "import threading\nthreading.Timer(0.1, print, ['late']).start()",
    "what is registered for the end": "import atexit; atexit.register(print, 'at the end')",
    "a signal": "import os; os.kill(os.getpid(), 15)",
    "Ctrl-C's exit code": "import os, sys; sys.stdout.write('buffered'); sys.stdout.flush(); os._exit(130)",
    "input": "import sys; print(sys.stdin.read())",
    "an error stream": "import sys; sys.stderr.write('ä\\u2028\\ud800\\n')",
    "encodings": "import sys; print([s.encoding.lower() for s in (sys.stdin, sys.stdout, sys.stderr)])",
    "the folder": "import os, sys; print(os.getcwd(), sys.path[0])",
    "the environment": "import os; print(dict(os.environ))",
    "path": "import sys; print(sys.path[1:3])",
    "descriptors": "import os; print([n for n in range(9) if os.path.exists(f'/proc/self/fd/{n}')])",
    "a module beside it": "import beside",
}


def ended(command, cwd, **around):
    done = subprocess.run(command, capture_output=True, text=True, check=False, input="given\n", cwd=cwd, env=around)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path):
    (tmp_path / "beside.py").write_text("print('beside')")
    return tmp_path


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
@pytest.mark.parametrize("around", [{}, {"PYTHONIOENCODING": "ascii:replace", "PYTHONPATH": "/a:/b"}], ids=["", "set"])
def test_it_ends_as_another(python, here, code, around):
    around = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **around}
    expected = ended([sys.executable, "-c", code, "an", "argument"], here, **around)
    assert ended([*python, "-c", code, "an", "argument"], here, **around) == expected


@pytest.mark.parametrize("flags", [("-B",), ("-P",), ("-B", "-P")], ids=" ".join)
def test_it_takes_flags(python, here, flags):
    code = "import os, sys; print(sys.dont_write_bytecode, sys.path[:2], os.getppid(), sys.argv)"
    around = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": "/a:/b"}
    expected = ended([sys.executable, *flags, "-c", code, "-B"], here, **around)
    assert ended([*python, *flags, "-c", code, "-B"], here, **around) == expected


def test_what_a_killed_client_started_is_killed(python, here):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with subprocess.Popen([*python, "-c", code], stdout=subprocess.PIPE, text=True, cwd=here) as client:
        process = os.pidfd_open(int(client.stdout.readline()))
        client.kill()
    assert select.select([process], [], [], 60)[0] == [process]
    os.close(process)
    assert ended([*python, "-c", "print(1)"], here) == (0, "1\n", "")


def test_an_error_has_its_traceback(python, here):
    code, out, err = ended([*python, "-c", "1 / 0"], here)
    assert (code, out, err.splitlines()[-1]) == (1, "", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("buffered", [True, False])
def test_what_cannot_be_written_at_the_end_gives_code_120(python, here, buffered):
    around = {} if buffered else {"PYTHONUNBUFFERED": "1"}
    with Path("/dev/full").open("w") as full:
        code = "import sys\ntry: sys.stdout.write('x')\nexcept OSError: sys.exit(3)"
        for start in ([sys.executable], python):
            done = subprocess.run([*start, "-c", code], stdout=full, stderr=subprocess.PIPE, check=False, env=around)
            assert done.returncode == (120 if buffered else 3)


def test_each_has_a_process_of_its_own(python, here):
    code = "import json, os, sys; json.left = os.environ['LEFT'] = 'x'; print(os.getpid(), 'torch' in sys.modules)"
    first, second = (ended([*python, "-c", code], here)[1].split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] == second[1] == "True"
    left = "import json, os; print(hasattr(json, 'left'), 'LEFT' in os.environ)"
    assert ended([*python, "-c", left], here)[1] == "False False\n"
