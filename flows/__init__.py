"""Prefect flows: whole catalogues, trainings, and the demo. Nothing in `rsmtl` knows them."""

import os

# Prefect reports its first import on a terminal to its makers, so this must stand before that import.
os.environ.setdefault("DO_NOT_TRACK", "1")
