"""Unlabelled photos and class names in, a fast multi-label classifier out."""

__version__ = "0.1.0"
