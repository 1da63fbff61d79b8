"""Notebooks, kept as text; `python -m notebooks.render OUT` executes them."""
