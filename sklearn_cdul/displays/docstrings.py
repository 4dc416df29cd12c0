"""Texts that the docstrings of several displays share, each written once."""

import inspect
from typing import Any

from sklearn_cdul._utils.docstrings import Documented, filled_with
from sklearn_cdul.predictions import TEXTS

_TEXTS = {
    **TEXTS,
    "made": """\
Make one with :meth:`from_estimator` or :meth:`from_predictions`, which draw it too. The
parameters become attributes of the same names.""",
    "found": """\
thresholds : ndarray of shape (k,)
    Scores from which a class counts as found.""",
    "targets": """\
targets : ndarray of shape (n, k) or None, default=None
    True labels: 1, 0, or NaN where a label is not known.""",
    "axes": """
Attributes
----------
axes_ : ndarray of shape (n_panels,), dtype object
    The matplotlib Axes, row by row.
figure_ : matplotlib Figure
    Of the axes.""",
    "photos": """\
photos : sequence of images
    n photos, see :class:`~sklearn_cdul.CLIPPseudoLabeler`.""",
    "moved": """\
initial_labels, labels : array-likes of shape (n, k)
    Before and after training, in [0, 1]. Rows with NaN are ignored.""",
    "views": """\
photo : image
    Path, PIL image or array, see :class:`~sklearn_cdul.CLIPPseudoLabeler`.
view_labels : array-like of shape (views, k)
    Soft label of each view in [0, 1], that of the whole photo first, then those of its snippets
    row by row, windows or proposals; see :func:`~sklearn_cdul.labels.softmax_similarities`.
class_names : sequence of str, length k
    The classes.
views : {"grid", "dense", "grid+dense", "proposals"}, default="grid"
    What the parts are. "grid+dense" has panels for snippets and others for windows.
boxes : array-like of shape (views, 4) or None, default=None
    What each view shows, as left, upper, right and lower edge in [0, 1], see
    :meth:`CLIPPseudoLabeler.view_boxes <sklearn_cdul.CLIPPseudoLabeler.view_boxes>`. None takes
    snippets and windows that divide the photo evenly; proposals may be anywhere and need it.""",
    "n_photos": """\
n_photos : int, default=4
    Photos of each kind, at most.""",
    "panels": """\
n_columns : int, default=4
    Panels per row.
ax : matplotlib Axes, sequence of them or None, default=None
    Where to draw. None makes a figure. One Axes is divided into panels.""",
    "options": """\
**options : %(options)s
    See :meth:`plot`.""",
    "result": """
Returns
-------
display : %(name)s
    Drawn.

Raises
------
ImportError
    If matplotlib is not installed.
ImageError
    If a photo can't be read.
TypeError, ValueError
    If the estimator has no classes, or arguments do not fit each other.""",
}


def fill(display: Documented) -> Documented:
    """Put the texts into the docstrings of a display and of its public methods."""
    own: Any = display
    options = ", ".join(list(inspect.signature(own.plot).parameters)[1:])
    texts = dict(_TEXTS)
    for key in ("options", "result"):
        texts[key] %= {"name": own.__name__, "options": options}
    for documented in (own, own.plot, own.from_estimator.__func__, own.from_predictions.__func__):
        filled_with(texts)(documented)
    return display
