"""The small networks beside these tests can be imported from all of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
