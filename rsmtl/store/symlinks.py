"""No write of a product goes through a symbolic link, out of the output folder to who knows where."""

import os
from collections.abc import Iterator
from pathlib import Path

from rsmtl.errors import ResumeError
from rsmtl.store.place import Place, is_object


def refuse_symlinks(folder: Place) -> None:
    """Refuse a product's folder that is a symbolic link, or has one in the place of a folder.

    Links in the place of files are replaced, never followed: files come to be by renaming.

    Raises
    ------
    ResumeError
        Naming the link and where it leads.
    """
    if is_object(folder):
        return
    for link in _links(folder):
        raise ResumeError(
            f"{link} is a symbolic link to {link.readlink()}, and nothing is written or removed through links: "
            "remove it, or give the folder itself as another output folder"
        )


def _links(folder: Path) -> Iterator[Path]:
    if folder.is_symlink():
        yield folder
        return
    for root, folders, _ in os.walk(folder):
        yield from (path for name in folders if (path := Path(root, name)).is_symlink())
