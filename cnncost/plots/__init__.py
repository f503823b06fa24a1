"""Pictures. The only package that knows matplotlib, which is an extra: `pip install 'cnncost[plots]'`."""
