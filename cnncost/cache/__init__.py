"""Recordings on disk, from which a command answers without importing torch if nothing has changed.

A recording is kept with all that it depended on (`dependencies`), as observed while it was made (`watch`). It is used
again only if each of these is as it was; whatever can't be checked (the network, a clock, chance) is never kept.
"""
