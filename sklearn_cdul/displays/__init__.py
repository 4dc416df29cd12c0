"""Pictures of photos and of what a model predicts for them, drawn by matplotlib."""

from sklearn_cdul.displays.histograms import ScoreHistogramDisplay
from sklearn_cdul.displays.movement import LabelMovementDisplay
from sklearn_cdul.displays.photos import PhotosDisplay
from sklearn_cdul.displays.precision import AveragePrecisionDisplay
from sklearn_cdul.displays.similarity import SimilarityDisplay

__all__ = [
    "AveragePrecisionDisplay",
    "LabelMovementDisplay",
    "PhotosDisplay",
    "ScoreHistogramDisplay",
    "SimilarityDisplay",
]
