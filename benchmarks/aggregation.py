"""mAP of aggregated pseudo labels from stored CLIP similarities, without running CLIP.

The file is an .npz with ``y`` (n, k) and the public reproduction's vectors ``global_``, ``alpha``
and ``beta`` (n, k): softmax over the classes at T = 4.605170, the logarithm of CLIP's scale.
Multiplied by T, their logarithms are cosines up to a constant a view, so a softmax at any other
temperature can be had from them: exactly for ``global_``, approximately for ``alpha`` and ``beta``,
whose classes come from different snippets.
"""

import argparse

import numpy as np
import photo_data

from sklearn_cdul.labels import combine_labels, select_extreme, softmax_similarities
from sklearn_cdul.metrics import mean_average_precision

TEMPERATURES = (0.01, 0.02, 0.03, 0.05)
THRESHOLDS = (0.0, 0.1, 0.2, 0.4)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="the .npz file")
    stored = np.load(parser.parse_args().file)
    cosines = photo_data.stored_cosines(stored, "global_", "alpha", "beta")
    heads = "  ".join(f"final, zeta {zeta}" for zeta in THRESHOLDS)
    print(f"mAP of {len(stored['y'])} images, {stored['y'].shape[1]} classes")
    print(f"{'tau':>5}  {'global':>7}  {heads}")
    for temperature in TEMPERATURES:
        whole, alpha, beta = (softmax_similarities(c, temperature) for c in cosines)
        scores = [whole] + [
            combine_labels(whole, select_extreme(alpha, beta, zeta)) for zeta in THRESHOLDS
        ]
        figures = [100 * mean_average_precision(stored["y"], score) for score in scores]
        print(
            f"{temperature:>5}  {figures[0]:>7.2f}  "
            + "  ".join(f"{f:>15.2f}" for f in figures[1:])
        )


if __name__ == "__main__":
    main()
