"""Marks that several files give; all are described in pyproject.toml."""

import pytest

SHARED = (pytest.mark.cluster, pytest.mark.xdist_group("workers"))
"""Of tests that share the two workers of the fixture `workers`: one process of pytest-xdist runs them all."""
