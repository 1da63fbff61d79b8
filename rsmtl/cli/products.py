"""Which products a folder holds: what `verify` and `evaluate` have in common."""

from pathlib import Path

from rsmtl.errors import InputError
from rsmtl.store.folder import ITEM_NAME


def products_in(out: Path) -> list[Path]:
    """Return the folder itself if it is a product's, else those in it that are.

    Raises
    ------
    InputError
        If there is none.
    """
    if (out / ITEM_NAME).exists():
        return [out]
    found = sorted(item.parent for item in out.glob(f"*/{ITEM_NAME}"))
    if not found:
        raise InputError(f"{out} holds no finished product: give a folder that `rsmtl predict` wrote to")
    return found
