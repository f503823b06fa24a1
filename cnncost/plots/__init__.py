"""Pictures, by matplotlib: of a roofline, and of what was predicted beside what was measured."""
