"""Small git repositories, and what cnncost checks out of them."""

import os
import subprocess

from cnncost.budget.repository import Repository

WHO = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main")


def git(folder, *arguments):
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *WHO, *arguments], cwd=folder, capture_output=True, text=True, check=True, env=env)  # noqa: S607
    return done.stdout.strip()


def commit(folder, **files):
    """Commit files, whose names have `__` for a slash and no ending."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A"), git(folder, "commit", "-qm", "x")
    return git(folder, "rev-parse", "HEAD")


def made(folder):
    """Files `net` and `sub/net`: first 1 and 10 (tag `old`), then 2 and 20 on main, then 3 and 30 on side."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    commit(folder, net="1", sub__net="10"), git(folder, "tag", "old")
    commit(folder, net="2", sub__net="20"), git(folder, "checkout", "-qb", "side")
    commit(folder, net="3", sub__net="30")
    return folder


def at(folder, revision):
    """What the `net` of this folder holds at a revision."""
    repository = Repository(folder)
    with repository.files(repository.commit(revision)) as tree:
        return (tree / repository.prefix / "net").read_text()
