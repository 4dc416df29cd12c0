"""Writer of labels for FiftyOne."""

import os
from collections.abc import Sequence
from typing import Any

from sklearn_cdul.datasets._signatures import PathLike, Paths, documented
from sklearn_cdul.datasets._writing import check_labels, write_json


@documented
def dump_fiftyone(
    data: Paths, target: Any, target_names: Sequence[str], path: PathLike, *, scores: Any = None
) -> None:
    """Write labels as FiftyOne imports them, several classes per photo.

    The file has the form of a `FiftyOneImageClassificationDataset
    <https://docs.voxel51.com/user_guide/import_datasets.html>`_. To look at it::

        import fiftyone as fo

        dataset = fo.Dataset.from_dir(
            dataset_type=fo.types.FiftyOneImageClassificationDataset, labels_path="labels.json"
        )
        fo.launch_app(dataset)

    Parameters
    ----------
    {labels}
    path : str or os.PathLike
        The JSON file to write; one of that name is replaced. The paths in it are absolute:
        FiftyOne shows the photos where they are, and the file is for this machine.
    {scores}
        Those of the classes that a photo shows are written as their `confidence`.

    {writing}

    Examples
    --------
    >>> from sklearn_cdul.datasets import dump_fiftyone
    >>> dump_fiftyone(paths, labels, names, "labels.json")  # doctest: +SKIP
    """
    labels = check_labels(data, target, target_names, path, scores)
    table = {
        os.path.abspath(photo): [{"label": i} | labels.score("confidence", row, i) for i in shown]
        for row, (photo, shown) in enumerate(zip(data, labels.shown, strict=True))
    }
    write_json(path, {"classes": labels.names, "labels": table})
