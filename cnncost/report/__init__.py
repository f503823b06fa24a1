"""The Report: its rows and their schema, its data, and the documents that show it."""
