"""Classes are absent where no photo has a high open label."""

import numpy as np

from sklearn_cdul.labels.absent import find_absent


def test_a_class_is_shown_if_its_highest_labels_are_high_on_average():
    labels = np.full((200, 3), 1e-4)
    labels[:5, 0] = 0.0037  # five photos show it
    labels[:4, 1] = 0.0038  # four, so the mean of five is just high enough
    labels[:1, 2] = 0.0038  # one of two hundred may be an error
    assert find_absent(labels).tolist() == [False, False, True]


def test_of_few_photos_one_is_enough():
    labels = np.full((30, 2), 1e-4)
    labels[3, 0] = 0.0038
    assert find_absent(labels).tolist() == [False, True]
