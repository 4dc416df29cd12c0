"""Unlabelled photos and class names in, a fast multi-label classifier out."""

from sklearn_cdul.classifier import CDULClassifier
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.labeler import CLIPPseudoLabeler

__all__ = ["BaseEncoder", "CDULClassifier", "CLIPPseudoLabeler"]
__version__ = "0.1.0"
