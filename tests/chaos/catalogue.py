"""What is processed: generated scenes, a model with random weights, and settings that make chunks of some weight."""

from dataclasses import dataclass
from pathlib import Path

from rsmtl.synthetic.catalogue import write_catalogue
from tests import fakes

ASSET = "hrms"
SIZE_PX = 736
"""Edge of a scene: sixteen chunks, of which the last row and column are no whole ones."""
SETTINGS = ("--window", "128", "--overlap", "32", "--chunk", "2", "--tta", "rotations")


@dataclass(frozen=True)
class Catalogue:
    """What a flow is given."""

    path: Path
    model: Path
    scenes: tuple[str, ...]

    def image(self, scene: str) -> Path:
        """The link to the file that a scene's pixels are read from: a disk may go and come back, the file untouched."""
        return self.path.parent / scene / f"{ASSET}.tif"


def make_catalogue(folder: Path, n_scenes: int, seed: int) -> Catalogue:
    """Write scenes with a slanted collar, and a model."""
    path = write_catalogue(folder / "catalogue", n_scenes, SIZE_PX, seed, collar=True)
    model = fakes.random_checkpoint(folder / "random.safetensors")
    catalogue = Catalogue(path, model, tuple(f"landscape-{number:04d}" for number in range(1, n_scenes + 1)))
    for scene in catalogue.scenes:
        image, pixels = catalogue.image(scene), folder / "pixels" / f"{scene}.tif"
        pixels.parent.mkdir(exist_ok=True)
        image.rename(pixels)
        image.symlink_to(pixels)
    return catalogue
