"""Documents of checks, differences and comparisons: for the terminal, for pull requests, for other programs."""
