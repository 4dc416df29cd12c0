"""In come views of photos and prompts; out go their vectors in one space, made by a CLIP model."""

from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.loading import unload_encoders

__all__ = ["BaseEncoder", "unload_encoders"]
