"""The commands: each is a few calls of the public API, and its docstring is its help.

Packages that take seconds to import are imported when a command runs.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul._utils.origin import encoder_name, origin_of
from sklearn_cdul.cli.inputs import (
    labelled_photos,
    load_model,
    make_labeler,
    read_classes,
    read_photos,
    set_parameters,
)
from sklearn_cdul.cli.output import (
    check_labels_fit,
    check_out,
    finish,
    make_writer,
    say,
    show,
    write_table,
)
from sklearn_cdul.cli.plan import show_plan

_MODEL = 2**26  # bytes that a classifier may take


def label(options: argparse.Namespace) -> int:
    """Label photos with CLIP, without training."""
    write = make_writer(options)
    check_out(options.report, "--report")
    photos, labeler = read_photos(options), set_parameters(_labeler(options), options)
    from sklearn_cdul.class_names.prompts import resolve_classes
    from sklearn_cdul.labels import find_thresholds

    names = resolve_classes(labeler.classes)[0]
    check_labels_fit(photos, names, options.out, options.format)
    if options.dry_run:
        work = labeler.set_params(memory=None).fit().transform
        return show_plan(options, photos, names, labeler, work)
    scores = labeler.fit_transform(photos)
    thresholds = find_thresholds(scores)
    code = write(photos, scores, thresholds, names)
    if options.report is not None:
        from sklearn_cdul.review import LabelReport

        given: dict[str, Any] = {"class_names": names, "thresholds": thresholds}
        page = LabelReport.from_predictions(photos, scores, **given)
        page.made_by = f"encoder {encoder_name(labeler)}"
        _save_report(page, options.report)
    return code


def train(options: argparse.Namespace) -> int:
    """Train a classifier on unlabelled photos."""
    check_out(options.out, room=_MODEL)
    check_out(options.report, "--report")
    photos, labeler = read_photos(options), _labeler(options)
    from sklearn_cdul import CDULClassifier

    model = CDULClassifier(
        pseudo_labeler=labeler,
        device=options.device,
        random_state=options.random_state,
        verbose=not options.quiet,
    )
    set_parameters(model, options)
    if options.dry_run:
        return _plan_training(options, photos, model)
    model.fit(photos, observed=options.observed)
    _save_model(model, options.out)
    code = finish(options.out, f"a classifier of {len(model.class_names_)} classes")
    if options.report is not None:
        _report_on(model, photos, options.observed, options.report)
    return code


def _plan_training(options: argparse.Namespace, photos: list[str], model: Any) -> int:
    from sklearn.base import clone

    from sklearn_cdul.class_names.prompts import resolve_classes
    from sklearn_cdul.targets import read_targets

    names = resolve_classes(model.pseudo_labeler.classes)[0]
    if options.observed is not None:
        read_targets(options.observed, names, photos, name="observed")
    trial = clone(model).set_params(pseudo_labeler__memory=None, memory=None)
    return show_plan(options, photos, names, model.pseudo_labeler, trial.fit)


def predict(options: argparse.Namespace) -> int:
    """Label photos with a trained classifier."""
    write = make_writer(options)
    photos, model = read_photos(options), load_model(options)
    check_labels_fit(photos, model.class_names_, options.out, options.format)
    if options.dry_run:
        return show_plan(options, photos, model.class_names_, None, model.predict_proba)
    return write(photos, model.predict_proba(photos), model.thresholds_, model.class_names_)


def report(options: argparse.Namespace) -> int:
    """Write a page to review and correct the predictions of a trained classifier."""
    check_out(options.out)
    photos, model = read_photos(options), load_model(options)
    _report_on(model, photos, options.labels, options.out)
    return 0


def suggest(options: argparse.Namespace) -> int:
    """List the photos whose labels would help a classifier most."""
    check_out(options.out)
    photos, model = read_photos(options), load_model(options)
    from sklearn_cdul.review import suggest_photos
    from sklearn_cdul.targets.csv_files import PATHS

    names, out = model.class_names_, options.out
    if out is not None:
        written = check_labels_fit(photos, names, out, "csv")
    rows = suggest_photos(model, photos, options.n, observed=options.observed)
    if out is None:
        show(photos[row] for row in rows)
    else:
        first = next(name for name in PATHS if name not in names)
        empty = [""] * len(names)
        write_table(out, [[first, *names], *([written[row], *empty] for row in rows)])
    return finish(out, f"{len(rows)} photos to label first")


def fit_thresholds(options: argparse.Namespace) -> int:
    """Tune the thresholds of a classifier on some labelled photos, without training."""
    from scipy.special import expit, logit

    from sklearn_cdul.labels.calibration import calibrate

    check_out(options.out, room=_MODEL)
    model = load_model(options)
    if not hasattr(model, "fit_thresholds"):
        raise ValueError(f"the thresholds in {options.model} can't be changed: give a joblib file")
    if not options.photos:
        options.photos = labelled_photos(options.labels, model.class_names_)
    start, before = model.calibration_, logit(model.thresholds_)
    model.fit_thresholds(read_photos(options), options.labels)
    _save_model(model, options.out)
    # Probabilities have changed, too: the old thresholds, as what they are now.
    before = expit(calibrate((before - start[:, 1]) / start[:, 0], model.calibration_))
    pairs = zip(model.class_names_, before, model.thresholds_, strict=True)
    show(f"{old:.3f} -> {new:.3f}  {name}{_if_never(new)}" for name, old, new in pairs)
    return finish(options.out, "the classifier with new thresholds")


def info(options: argparse.Namespace) -> int:
    """Show what is known of a trained classifier."""
    from datetime import datetime

    model, file = load_model(options, of_photos=False), options.model.stat()
    written = datetime.fromtimestamp(file.st_mtime).strftime("%Y-%m-%d %H:%M")
    show([f"{options.model}: {file.st_size / 1e6:.1f} MB, written {written}"])
    show(f"{what}: {value}" for what, value in origin_of(model).items())
    show([f"{len(model.class_names_)} classes, each with its threshold:"])
    pairs = zip(model.class_names_, model.thresholds_, strict=True)
    show(f"  {threshold:.3f}  {name}{_if_never(threshold)}" for name, threshold in pairs)
    return 0


def _if_never(threshold: float) -> str:
    return ", predicted for no photo" if threshold >= 1 else ""


def search(options: argparse.Namespace) -> int:
    """Find the photos that fit some words best."""
    from sklearn_cdul.review import search_photos

    labeler, photos = _start_search(options)
    rows, similarities = search_photos(labeler, photos, options.words, options.n)
    found = zip(rows, similarities, strict=True)
    write_table(
        options.out,
        [["path", "similarity"], *([photos[row], f"{value:.3f}"] for row, value in found)],
    )
    return finish(options.out, f"{len(rows)} photos")


def duplicates(options: argparse.Namespace) -> int:
    """List photos that are nearly the same, in groups."""
    from sklearn_cdul.review import find_duplicates

    labeler, photos = _start_search(options)
    groups = find_duplicates(labeler, photos, options.similarity)
    table = [(str(n), photos[row]) for n, rows in enumerate(groups, start=1) for row in rows]
    write_table(options.out, [["group", "path"], *table])
    n_more = len(table) - len(groups)
    found = f"{len(groups)} groups of duplicates, {n_more} photos more than needed"
    return finish(options.out, found if len(groups) else "no duplicates")


def _start_search(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """The labeler whose embeddings are compared, and the photos."""
    check_out(options.out)
    photos = read_photos(options)
    return set_parameters(make_labeler(options, None), options), photos


def _labeler(options: argparse.Namespace) -> Any:
    return make_labeler(options, read_classes(options.classes))


def _save_model(model: Any, out: str) -> None:
    import joblib

    with atomic_write(out) as part:
        joblib.dump(model, part)


def _report_on(model: Any, photos: list[str], labels: Path | None, out: str) -> None:
    from sklearn_cdul.review import LabelReport

    page = LabelReport.from_estimator(model, photos, labels)
    _save_report(page, out)


def _save_report(page: Any, out: str) -> None:
    page.save(out)
    say(f"{out}: a report of {(~np.isnan(page.scores).any(axis=1)).sum()} photos")
