"""Documents and their renderers, one file each: a command says what it has found once, every format shows it."""
