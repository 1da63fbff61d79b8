"""Training: what it is (`config`), how it begins and ends (`train`), how it runs (`loop`), how well (`validate`)."""

from rsmtl.training.config import TrainConfig, presets, read_config
from rsmtl.training.evaluate import evaluate_checkpoint
from rsmtl.training.train import train

__all__ = ["TrainConfig", "evaluate_checkpoint", "presets", "read_config", "train"]
