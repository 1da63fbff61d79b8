"""Keeps what libraries say to themselves off the user's terminal."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and logs while the block lasts; what matters of them reaches the user as an error's sentence.

    `python -W` and `PYTHONWARNINGS` bring the warnings back.
    """
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
