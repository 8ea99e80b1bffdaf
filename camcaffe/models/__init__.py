"""The networks: described in code, known by name, their class lists, and how their weights are had."""

from camcaffe.models.classes import class_labels
from camcaffe.models.registry import MODELS, Model, Published, find_model
from camcaffe.models.store import ModelFiles, deploy_prototxt, home, model_files

__all__ = [
    "MODELS",
    "Model",
    "ModelFiles",
    "Published",
    "class_labels",
    "deploy_prototxt",
    "find_model",
    "home",
    "model_files",
]
