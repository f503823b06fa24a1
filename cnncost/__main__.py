"""`python -m cnncost`."""

import os
import sys
from contextlib import suppress

with suppress(FileNotFoundError):  # the folder is gone: the command says so
    if sys.path[:1] == [os.getcwd()]:  # noqa: PTH109  # a path as Python writes it
        del sys.path[0]  # `python -m` puts it there: a torch.py in it would be taken for torch

from cnncost.cli import main

if __name__ == "__main__":
    main()
