"""Costs as exact functions of batch, sizes and widths.

The package is not named `formula`, because importing it would then replace the function `cnncost.formula`.
"""

from __future__ import annotations

from cnncost.laws.derive import formula
from cnncost.laws.law import Law, Term
from cnncost.laws.laws import Laws

__all__ = ["Law", "Laws", "Term", "formula"]
