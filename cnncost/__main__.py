"""`python -m cnncost`."""

import os
import sys
from contextlib import suppress

with suppress(FileNotFoundError):  # the working folder was deleted: `main` reports it
    if sys.path[:1] == [os.getcwd()]:  # noqa: PTH109  # a str, as in sys.path
        del sys.path[0]  # `python -m` puts it there: a torch.py in it would be taken for torch

from cnncost.cli import main

if __name__ == "__main__":
    main()
