"""Training: what it is (`config`), how it runs (`loop`), how good the result is (`evaluate`)."""

from rsmtl.training.config import TrainConfig, presets, read_config
from rsmtl.training.evaluate import evaluate
from rsmtl.training.loop import train

__all__ = ["TrainConfig", "evaluate", "presets", "read_config", "train"]
