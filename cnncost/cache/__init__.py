"""Recordings on disk: what a command line analyzed before and finds unchanged, it answers without importing torch.

A recording is kept with all that it depended on (`dependencies`), as observed while it was made (`watch`). It is used
again only if each of these is as it was; whatever can't be checked (the network, a clock, chance) is never kept.
"""
