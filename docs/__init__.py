"""The documentation: `python -m docs.build OUT` makes the site of it."""
