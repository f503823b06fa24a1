"""The Report and its renderers, one file each."""
