"""Whether a model was trained at about the GSD of a scene."""

from rsmtl.errors import PlanError
from rsmtl.models.spec import ModelSpec
from rsmtl.scene.ground import ground_gsd_m
from rsmtl.scene.scene import Scene

FACTOR = 1.5
"""How many times finer or coarser than in its training a model may see a scene."""


def check_gsd(spec: ModelSpec, aligned: Scene) -> None:
    """Refuse a scene of a GSD that a model has not learned; one whose GSD is not known is taken.

    Raises
    ------
    PlanError
        With both GSDs.
    """
    found = ground_gsd_m(aligned.inputs[spec.reference].geobox)
    if spec.gsd_m is None or found is None or 1 / FACTOR <= found / spec.gsd_m <= FACTOR:
        return
    how = "finer" if found < spec.gsd_m else "coarser"
    times = max(found / spec.gsd_m, spec.gsd_m / found)
    raise PlanError(
        f"scene {aligned.id!r} has a GSD of {found:.3g} m, {times:.3g} times {how} than the {spec.gsd_m:.3g} m that "
        "the model was trained at, and what it says of such a scene means little: resample the scene, take another "
        "model, or run it all the same with `--any-gsd` (in Python any_gsd=True)"
    )
