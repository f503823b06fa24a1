"""Which signs numbers in tables have, and which sentences explain: both read from what is rendered."""

import re

from tests.render.read_back import READERS


def shown(text, form):
    """Signs at the beginning of a table's cells; a space follows that of a limit, `≤ 1.00 M`."""
    cells = [cell.strip() for place, cell in READERS[form](text) if place == "cell"]
    return {cell[0] for cell in cells if re.match(r"[≥≤~?](?! )", cell)}


def explained(text, form):
    """Signs that a sentence explains: `sums marked ≥`, `≥ marks …`, `~: …`."""
    texts = [each for place, each in READERS[form](text) if place != "cell"]
    return {sign for each in texts for sign in re.findall(r"(?<=marked )[≥≤~?]|[≥≤~?](?=: | marks )", each)}
