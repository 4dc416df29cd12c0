"""Unlabelled photos and class names in, a fast multi-label classifier out."""

from sklearn_cdul._show_versions import show_versions
from sklearn_cdul.classifier import CDULClassifier
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.labeler import CLIPPseudoLabeler

__all__ = ["BaseEncoder", "CDULClassifier", "CLIPPseudoLabeler", "show_versions"]
__version__ = "0.1.0"
