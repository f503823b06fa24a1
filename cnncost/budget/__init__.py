"""Complexity budgets, their baseline, and differences between two models.

    file.py        reads budget files               limits.py     "<= 4.1G" and "+1%"
    quantities.py  what can be limited              measure.py    the figures of the models, in parallel
    snapshot.py    a model's figures, kept          lock.py       the baseline file
    align.py       which module is which            diff.py       what changed, and which layers did it
    check.py       limit against figure             render/       what is said of it

Nothing here imports torch: figures come from Reports.
"""
