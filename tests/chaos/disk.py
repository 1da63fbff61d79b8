"""A disk that can be filled: a small file system of its own, where this process may mount one."""

import subprocess
from contextlib import suppress
from pathlib import Path


class SmallDisk:
    """A file system in memory."""

    def __init__(self, folder: Path, n_bytes: int) -> None:
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
        subprocess.run(words, check=True)
        self.folder = folder
        self._ballast = folder / ".ballast"

    def fill(self) -> None:
        """Take all that is free."""
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(2**20)):
                pass

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    def remove(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", str(self.folder)], check=True)
