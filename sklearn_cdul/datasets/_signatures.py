"""Types and texts that the signatures and docstrings of readers and writers share."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sklearn_cdul._utils.docstrings import filled_with

if TYPE_CHECKING:
    from sklearn.utils import Bunch
else:
    Bunch = "sklearn.utils.Bunch"  # to import it takes a second, and writers do without

PathLike = str | os.PathLike[str]
Paths = Sequence[PathLike]
Missing = Literal["raise", "skip"]

documented = filled_with(
    {
        "classes": """\
classes : list of str or None, default=None
    The classes, in the order of the columns of `target`. Any other name in the files is an error.
    None takes those that the files have, in alphabetical order, so that a class that no photo
    shows is missing.""",
        "missing": """\
missing : {"raise", "skip"}, default="raise"
    What to do about a photo that the files name and that is not there: an error, or leave it out
    with one warning that says how many.""",
        "returns": """
Returns
-------
photos : :class:`~sklearn.utils.Bunch`
    data : list of str, length n
        Paths of the photos, each of them once, in the order of the files.
    target : ndarray of shape (n, k), dtype int64
        1 where the photo shows the class, else 0.
    target_names : list of str, length k
        The classes, in the order of the columns of `target`.
    split : ndarray of shape (n,), dtype str
        The part of the data set that each photo is of; "all" where there are no parts.
    attributions : list of dict, length n, or empty
        `filename`, `source_url`, `author` and `licence` of each photo, all str, where the files
        name them.
    DESCR : str
        What was read, how, and whose photos they are.

Raises
------
ValueError
    If a parameter, a file, a name or a value is wrong. The message names the file and the line
    or the entry.
FileNotFoundError
    If a file, a folder or a photo is not there.""",
        "warns": """
Warns
-----
UserWarning
    If photos are left out because they are missing.""",
        "labels": """\
data : sequence of str or os.PathLike, length n
    Paths of the photos, no photo twice.
target : array of shape (n, k), data frame, names of each photo or mapping
    1 where the photo shows the class, else 0, as ``predict`` gives; or names, as
    ``predict_names`` gives; see :func:`~sklearn_cdul.targets.read_targets`. Columns of a data
    frame are matched to the classes by name, rows and names with a path to the photos.
target_names : sequence of str, length k
    The classes, for example ``model.class_names_``.""",
        "scores": """\
scores : array of shape (n, k) or None, default=None
    Scores, as ``predict_proba`` gives.""",
        "writing": """
Raises
------
TypeError
    If an item of `data` is no path.
ValueError
    If lengths, names or values do not fit together.""",
    }
)
