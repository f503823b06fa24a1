"""All models of a budget file at two git revisions."""

from __future__ import annotations

from typing import NamedTuple

from cnncost.budget.diff import Diff
from cnncost.budget.file import BudgetFile
from cnncost.budget.installed_copies import notes_on_copies
from cnncost.budget.measure import figures
from cnncost.budget.repository import Repository, note_on_missing_changes
from cnncost.budget.revisions import budgets_at, notes_on


class Diffs(NamedTuple):
    """Differences by budget.

    Attributes:
        diffs: the differences by the budget's name, in the order of the file.
        missing: the reason why a budget's model has no figures at one of the revisions, by the budget's name.
        broken: whether a model can't be analyzed at the new revision.
        names: displayed names of the old and the new revision.
        notes: notes for the user.
    """

    diffs: dict[str, Diff]
    missing: dict[str, str]
    broken: bool
    names: tuple[str, str]
    notes: tuple[str, ...]


def between(file: BudgetFile, rev: str) -> Diffs:
    """Compare the models of a budget file at two revisions: each revision's code, with the file's current inputs.

    Args:
        file: the budgets.
        rev: `A..B`, `A...B` or `A`, as for `Repository.range`.

    Raises:
        RevisionError: there is no repository or no such revision; the revision lacks the budget file's folder; the
            process that analyzes it failed; or a module or file of the working tree was used instead of the revision's.
    """
    repository = Repository(file.path.resolve().parent)
    revisions = repository.range(rev)
    commits = (revisions.old,) if revisions.new is None else (revisions.old, revisions.new)
    at_commits = budgets_at(repository, commits, file, (), (revisions.old_name, revisions.new_name)[: len(commits)])
    old = at_commits[0]
    new = figures(file.budgets, str(file.path.parent)) if revisions.new is None else at_commits[1]
    diffs, missing, broken = {}, {}, False
    for name in [budget.name for budget in file.budgets]:
        if name in new.errors:
            missing[name], broken = f"can't be analyzed at {revisions.new_name}: {new.errors[name]}", True
        elif name in old.errors:
            missing[name] = f"has no figures at {revisions.old_name}: {old.errors[name]}"
        else:
            diffs[name] = Diff(old.lock.models[name].snapshot, new.lock.models[name].snapshot)
    dirty = revisions.new is not None and repository.dirty() and revisions.new == repository.commit("HEAD")
    stale = notes_on_copies(repository.top, repository.folder) if revisions.new is None else ()
    notes = (*((note_on_missing_changes(revisions),) if dirty else ()), *notes_on(at_commits), *stale)
    return Diffs(diffs, missing, broken, (revisions.old_name, revisions.new_name), notes)
