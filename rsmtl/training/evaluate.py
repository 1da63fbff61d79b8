"""How good a trained checkpoint is on the data set that its own configuration names."""

from pathlib import Path

from pydantic import ValidationError

from rsmtl.errors import InputError, explain
from rsmtl.models import load_model, read_card
from rsmtl.training.config import TrainConfig
from rsmtl.training.group import Device, device_for, group_of_one
from rsmtl.training.train import open_data, validation_of
from rsmtl.training.validate import Scores, channels_last


def evaluate_checkpoint(
    checkpoint: str | Path, data_root: str | Path, device: Device = "auto"
) -> dict[str, Scores]:
    """Score a checkpoint on the validation and test split of its data set, as its training did.

    Returns
    -------
    dict
        By split and head, ready for JSON; a split without scenes is left out.

    Raises
    ------
    ModelError
        If the checkpoint cannot be loaded.
    InputError
        If it does not say how it was trained, or the data are missing.
    """
    card = read_card(checkpoint)
    try:
        config = TrainConfig.model_validate(card.training.get("config"))
    except ValidationError as error:
        raise InputError(
            f"{checkpoint} does not say how it was trained in a way that this rsmtl knows: {explain(error)}"
        ) from error
    splits = open_data(config, Path(data_root))
    group = group_of_one(device_for(device))
    module = channels_last(load_model(checkpoint).module.to(group.device))
    validation = validation_of(config, card.spec, splits)
    scenes = {"validation": splits.validation, "test": splits.test}
    return {split: validation.scores(module, members, group) for split, members in scenes.items() if members}
