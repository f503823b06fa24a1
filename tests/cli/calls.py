"""The command line, run in the tests' process."""

import pytest

from cnncost.cli import main


def exit_code(*arguments):
    """Exit code of `cnncost ARGUMENTS`; what it prints is left to who captures."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code


def ran(capture, *arguments):
    """Exit code, stdout and stderr of `cnncost ARGUMENTS`, by `capsys` or `capfd`."""
    code = exit_code(*arguments)
    out, err = capture.readouterr()
    return code, out, err
