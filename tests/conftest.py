"""What tests share: modules here and beside the peers can be imported from all of them."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "peers")]
