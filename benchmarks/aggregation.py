"""mAP of aggregated pseudo labels from stored CLIP similarities, without running CLIP.

The file is an .npz with ``y`` (n, k) and the public reproduction's vectors ``global_``, ``alpha``
and ``beta`` (n, k): softmax over the classes at T = 4.605170, the logarithm of CLIP's scale.
Multiplied by T, their logarithms are cosines up to a constant a view, so a softmax at any other
temperature can be had from them: exactly for ``global_``, approximately for ``alpha`` and ``beta``,
whose classes come from different snippets.

Scripts that take --similarities FILE read the same file; if they look photos up in it, it also
has ``names`` (n,), their file names.
"""

from pathlib import Path

import common
import numpy as np

from sklearn_cdul.labels import aggregate_snippets, combine_labels, softmax_similarities

TEMPERATURES = (0.01, 0.02, 0.03, 0.05)
THRESHOLDS = (0.0, 0.1, 0.2, 0.4)


def main():
    parser = common.parser(__doc__)
    parser.add_argument("file", type=Path, help="the .npz file")
    stored = np.load(common.parse(parser).file)
    cosines = common.stored_cosines(stored, "global_", "alpha", "beta")
    print(f"mAP of {len(stored['y'])} images, {stored['y'].shape[1]} classes")
    heads = ["global", *(f"final, zeta {zeta}" for zeta in THRESHOLDS)]
    table = common.Table("tau", dict.fromkeys(heads, ".2f"), width=5)
    for temperature in TEMPERATURES:
        whole, alpha, beta = (softmax_similarities(c, temperature) for c in cosines)
        ends = np.stack([alpha, beta], axis=1)
        final = [combine_labels(whole, aggregate_snippets(ends, zeta)) for zeta in THRESHOLDS]
        figures = [common.percent_map(stored["y"], scores) for scores in (whole, *final)]
        table.row(temperature, *figures)


if __name__ == "__main__":
    main()
