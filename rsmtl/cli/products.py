"""Which products a folder holds: what `verify` and `evaluate` have in common."""

from typing import TYPE_CHECKING

from rsmtl.errors import InputError

if TYPE_CHECKING:
    from rsmtl.store.place import Place


def products_in(out: str) -> list["Place"]:
    """Return the folder itself, a path or a URL, if it is a product's, else those in it that are.

    Raises
    ------
    InputError
        If there is none.
    RunError
        If the store does not answer.
    """
    from rsmtl.store.folder import ITEM_NAME
    from rsmtl.store.place import place, store_errors

    found = place(out)
    with store_errors(found):
        if (found / ITEM_NAME).exists():
            return [found]
        products = sorted(item.parent for item in found.glob(f"*/{ITEM_NAME}"))
    if not products:
        raise InputError(f"{found} holds no finished product: give a folder that `rsmtl predict` wrote to")
    return products
