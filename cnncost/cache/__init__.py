"""Recordings on disk, from which a command can answer without importing torch if nothing has changed.

A recording is stored with everything that it depended on (`dependencies`), as observed while it was made (`watch`). It
is reused only if none of these dependencies has changed. A recording is never stored if it depended on something that
can't be checked, such as the network, a clock or random numbers.
"""
