"""Complexity budgets, their baseline, and differences between two models.

    file.py         reads budget files                   limits.py     parses "<= 4.1G" and "+1%"
    quantities.py   quantities that can be limited       globs.py      which modules a limit applies to
    measure.py      analyzes the models, in parallel     lock.py       the baseline file
    snapshot.py     a model's figures by module          settings.py   kernel, stride, … of a module's main op
    check.py        compares figures with limits         render/       reports of check, diff and compare, by format

    align.py        pairs the modules of two models      in_order.py   aligns two sequences of siblings
    moved.py        finds modules that were moved        trees.py      the similarity of two subtrees
    diff.py         a model's changes, by module         united.py     the modules of both models as one tree
    diffs.py        differences of several models        revisions.py  models as they were at a git revision
    compare.py      models side by side, Pareto front    join.py       joins a user's table to the comparison

    pytest_plugin.py, testing.py                         the pytest fixture `complexity`

Nothing here computes with torch: figures come from Reports. Only `measure.py` loads the front end, to analyze models.
"""
