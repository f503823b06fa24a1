"""The same model counted by others, and every difference from cnncost's count explained.

    model ──▶ Graph ──rules of a peer──▶ what the peer must have counted ─┐
      └─────▶ the peer itself ─────────▶ what it did count ───────────────┴─▶ explained, or not

The peers are fvcore's `FlopCountAnalysis` and torch's `FlopCounterMode`. What a peer counts for an op
is predicted from cnncost's own Graph, by rules read from the peer's source. A difference is explained
only if the prediction is the peer's number, to the last digit, in each of the peer's ops; the rest
is reported as unexplained, with its op and amount.
"""

from cnncost.verify.result import Explanation, PeerCount, Unexplained, Verification
from cnncost.verify.run import verify

__all__ = ["Explanation", "PeerCount", "Unexplained", "Verification", "verify"]
