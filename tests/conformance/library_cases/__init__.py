"""Models of other people's libraries, small and with random weights, each with inputs that its forward takes.

A module a library: `PACKAGES` is what pip installs for it (a leading `!`: without what it depends on), `cases()` yields
names and functions that build a `Case`. Nothing here is downloaded: no weights, no data.
"""
