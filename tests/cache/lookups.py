"""Ways to look at a path, each with an int as its result; copied where a library's and where a user's code is."""

# ruff: noqa: PTH109, PTH110, PTH112, PTH116, PTH123, PTH204, PTH207, PTH208  # functions of os are to be tested, too

import glob
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path


def stat(path):
    return os.stat(path).st_mtime_ns // 10**9


def getmtime(path):
    return int(os.path.getmtime(path))


def pathlib_stat(path):
    return int(Path(path).stat().st_mtime)


def open_file_stat(path):
    with open(path) as file:
        return int(os.stat(file.fileno()).st_mtime)


def relative_stat(path):
    folder = os.open(path, os.O_RDONLY)
    try:
        options = {"dir_fd": folder}  # not as a keyword, by which the source alone would be suspicious
        return int(os.stat("a", **options).st_mtime)
    finally:
        os.close(folder)


def lstat(path):
    return int(os.lstat(path).st_mtime)


def exists(path):
    return int(os.path.exists(path))


def isdir(path):
    return int(os.path.isdir(path))


def access(path):
    return int(os.access(path, os.X_OK))


def listdir(path):
    return len(os.listdir(path))


def listdir_in_thread(path):
    with ThreadPoolExecutor() as pool:
        return len(next(pool.map(os.listdir, [path])))


def scandir(path):
    return len(list(os.scandir(path)))


def entry_times(path):
    return sum(int(entry.stat().st_mtime) for entry in os.scandir(path))


def entry_times_in_thread(path):
    with ThreadPoolExecutor() as pool:
        return sum(int(entry.stat().st_mtime) for entry in next(pool.map(os.scandir, [path])))


def matches(path):
    return len(glob.glob(f"{path}/*"))


def read(path):
    with open(path) as file:
        return len(file.read())


def stat_and_read(path):
    return stat(path) + read(path)


def in_folder(path):
    """Whether the file of this name exists in the folder `parts` as the working folder, and where it is now."""
    before = exists(path)
    own = os.getcwd()
    os.chdir("parts")
    try:
        return 2 * exists(path) + before
    finally:
        os.chdir(own)


def look(path):
    """Look at the path in many ways, and use nothing of it: a later look must not be missed."""
    for function in (exists, stat, access, isdir, listdir, scandir, matches, read):
        with suppress(OSError):
            function(path)
