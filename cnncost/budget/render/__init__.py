"""Documents that report checks, differences and comparisons: in a terminal, on pull requests, to other programs."""
