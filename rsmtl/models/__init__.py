"""Models: what they declare, how they are built, kept and found."""

from rsmtl.models.checkpoint import Card, load_model, read_card, save_checkpoint, shipped_models
from rsmtl.models.detaching import detach
from rsmtl.models.exported import save_exported
from rsmtl.models.model import Model
from rsmtl.models.registry import SYSTEMS, System, find_system, system_config
from rsmtl.models.spec import ClassSpec, HeadSpec, InputSpec, ModelSpec, ValueSpec

__all__ = [
    "SYSTEMS",
    "Card",
    "ClassSpec",
    "HeadSpec",
    "InputSpec",
    "Model",
    "ModelSpec",
    "System",
    "ValueSpec",
    "detach",
    "find_system",
    "load_model",
    "read_card",
    "save_checkpoint",
    "save_exported",
    "shipped_models",
    "system_config",
]
