"""What is said of checks, differences and comparisons: for the terminal, for pull requests, for machines."""
