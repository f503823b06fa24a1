"""Documents, and a renderer for each format: a command makes a Document, and every format can show it."""
