"""In come photos as users have them; out go upright RGB pictures, whole or cut into views."""

from sklearn_cdul.images.views import Preprocessing

__all__ = ["Preprocessing"]
