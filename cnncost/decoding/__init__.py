"""The cost of generating token by token: prefill, decode, and the cache between them."""

from cnncost.decoding.figures import Cache, Course, Serving
from cnncost.decoding.run import serving

__all__ = ["Cache", "Course", "Serving", "serving"]
