"""Training: what it is (`config`), how it runs (`loop`), how good the result is (`evaluate`)."""

from rsmtl.train.config import TrainConfig, presets, read_config
from rsmtl.train.evaluate import evaluate
from rsmtl.train.loop import train

__all__ = ["TrainConfig", "evaluate", "presets", "read_config", "train"]
