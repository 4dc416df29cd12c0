"""Unlabelled photos and class names in, a fast multi-label classifier out."""

from .classifier import CDULClassifier
from .labeler import CLIPPseudoLabeler

__all__ = ["CDULClassifier", "CLIPPseudoLabeler"]
__version__ = "0.1.0"
