"""The command that starts a review."""

import argparse
import os

from sklearn_cdul.cli.inputs import (
    load_model,
    make_labeler,
    read_classes,
    read_photos,
    set_parameters,
)
from sklearn_cdul.cli.output import say


def review(options: argparse.Namespace) -> int:
    """Label photos on a page in the browser, while the classifier learns from the answers."""
    if (options.classes is None) == (options.model is None):
        raise ValueError("give --classes for a new classifier, or --model for one from `train`")
    if options.model is not None and options.model.suffix.lower() == ".onnx":
        raise ValueError(f"{options.model} can't learn; give the joblib file that `train` wrote")
    photos = read_photos(options)
    from sklearn_cdul import CDULClassifier
    from sklearn_cdul import review as reviews

    if options.model is not None:
        model = load_model(options)
    else:
        model = CDULClassifier(
            pseudo_labeler=make_labeler(options, read_classes(options.classes)),
            device=options.device,
            random_state=0,
            verbose=not options.quiet,
        )
    set_parameters(model, options)
    if options.memory is not None:
        model.set_params(memory=options.memory)
    page = reviews.review(
        model,
        photos,
        answers=options.out,
        host=options.host,
        port=options.port,
        open_browser=not options.no_browser,
    )
    say(f"open {page.url} in a browser; Ctrl-C ends the review")
    page.wait()
    if os.path.exists(options.out):
        say(f"the answers are in {options.out}; the same command goes on")
    return 0
