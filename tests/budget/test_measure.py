"""Analyses in several processes: when they part ways, and what is said when one dies."""

import pytest

from cnncost.budget import measure as module
from cnncost.budget.file import read
from cnncost.errors import CnncostError

NETWORKS = ("lenet1", "lenet5", "fc10", "conv6")


@pytest.fixture
def budgets(project):
    text = "".join(f'[[budget]]\nmodel = "{name}"\nmacs = "1G"\n' for name in NETWORKS)
    (project / "cnncost.toml").write_text(text)
    return read(project / "cnncost.toml").budgets


@pytest.mark.parametrize("patience", [0, 1000], ids=["others after the first", "one alone"])
def test_the_order_is_that_of_the_budgets(budgets, project, monkeypatch, patience):
    monkeypatch.setattr(module, "_WORTH_FORKING", patience)
    monkeypatch.setattr(module, "_cores", lambda: 2)

    assert [each.name for each in module.measure_all(budgets, project)] == list(NETWORKS)


def test_a_process_that_dies_is_told_of(budgets, project):
    (project / "dies.py").write_text("import os\n\n\ndef build():\n    os._exit(9)\n")
    (project / "cnncost.toml").write_text(
        '[[budget]]\nmodel = "dies.py:build"\ninput = "1x3"\nmacs = 1\n[[budget]]\nmodel = "lenet1"\nmacs = 1\n'
    )
    with pytest.raises(CnncostError, match=r"died.*--jobs 1"):
        module.measure_all(read(project / "cnncost.toml").budgets, project, jobs=2)
