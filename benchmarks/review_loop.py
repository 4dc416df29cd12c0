"""What a review gains with the number of answers, and how long a person waits for it.

An oracle answers the photos that the review chooses, one by one and with all classes, and the model
learns again after every third. After 10, 25, 50 and 100 answers the model that the page would save
(it has learned from all answers) is scored on the test photos, as in few_labels.py. The review's
own F1, on the photos that it kept apart, is shown beside it. Each seed keeps others apart.

With --timed 1000x20 nothing is trained for its accuracy: random features of as many photos, and as
many classes, stand in for photos and network, and the real server answers on this machine. "answer"
is the time from an answer to the next photo's classes, "photo" until its picture is there, too.
"cpu" is processor time, which other programs lengthen less. The peak of memory is that of the
process so far, so name the smaller sizes first.
"""

import resource
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import common
import numpy as np
import torch
from scipy.special import expit

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.review.answers import Answers
from sklearn_cdul.review.learner import Learner
from sklearn_cdul.review.live import Review, _listen
from sklearn_cdul.review.session import Session
from sklearn_cdul.training import RidgeTraining
from sklearn_cdul.training.batches import FeatureSource
from sklearn_cdul.training.network import HeadNetwork

COUNTS = (0, 10, 25, 50, 100)


def gain(options):
    if options.data:
        train, test, names = common.load(options)
    else:
        train, test = (load_food_photos(subset=name) for name in ("train", "test"))
        names = train.target_names
    labeler = CLIPPseudoLabeler(names, memory=options.memory)
    model = CDULClassifier(pseudo_labeler=labeler, random_state=0)
    tester = Learner(model, [*train.data, *test.data])  # reads the features of the test photos
    n_train, n_all = len(train.data), len(train.data) + len(test.data)
    features = tester._features.select(range(n_train, n_all))
    learner = Learner(model, train.data)
    columns = dict.fromkeys(("mAP", "F1", "own F1", "all right"), ".1f") | {"fit, s": ".2f"}
    table = common.Table("answers", columns, width=10)
    rows = {count: [] for count in COUNTS}
    enough = test.target.sum(axis=0) >= options.min_positives
    for seed in range(options.seeds):
        for count, session in answered(learner, train, seed):
            fitted, _ = learner.learn(session.answers.labels)
            scores = predict(fitted, features)
            predicted = scores >= fitted.thresholds_
            own = session.figures or {"f1": np.nan, "right": np.nan}
            rows[count].append(
                (
                    common.percent_map(test.target, scores, options.min_positives),
                    100 * common.f1_of_shown(test.target[:, enough], predicted[:, enough]),
                    100 * own["f1"],
                    100 * own["right"],
                    session.seconds,
                )
            )
    for count, figures in rows.items():
        table.row(str(count), *np.transpose(figures).tolist())


def answered(learner, train, seed):
    """A review after each of COUNTS answers of an oracle."""
    with tempfile.TemporaryDirectory() as folder:
        answers = Answers(Path(folder) / "answers.csv", train.data, learner.class_names)
        # By the names of the photos it is drawn which are kept apart.
        answers.keys = [f"{seed} {row}" for row in range(len(train.data))]
        session = Session(learner, train.data, answers)
        for count in range(max(COUNTS) + 1):
            if count in COUNTS or count % 3 == 0:
                session.catch_up()
            if count in COUNTS:
                yield count, session
            card = session.next("oracle")
            shown = np.flatnonzero(train.target[card["photo"]]).tolist()
            session.answer("oracle", card["photo"], card["version"], shown)
        session.stop()


def predict(fitted, features):
    return expit(fitted._logits(features))


class StandIn(Learner):
    """A learner of photos that nobody encoded."""

    def __init__(self, n_photos, n_classes):
        rng = np.random.default_rng(0)
        names = [f"thing {i}" for i in range(n_classes)]
        labeler = CLIPPseudoLabeler(names)
        self._tower = labeler._encoder()
        labeler._fit(None, None, self._tower)
        width = labeler.text_embeddings_.shape[1]
        vectors = rng.standard_normal((n_photos, 26, width), dtype=np.float32)
        vectors += 4 * labeler.text_embeddings_[rng.integers(n_classes, size=(n_photos, 1))]
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        features = rng.standard_normal((n_photos, 5, 1280), dtype=np.float32)
        features[:, :, :width] += vectors[:, :1]
        self._classifier = CDULClassifier(pseudo_labeler=labeler, random_state=0)
        self._training, self._size, self._digest = RidgeTraining(), 320, None
        self._said = set()
        self._network = HeadNetwork(5, 1280, 1)
        self._embeddings = vectors
        self._state = labeler, self._label(labeler)
        self._neighbors = self._classifier._neighbors(labeler, vectors[:, 0], 0)
        self._features = FeatureSource(features, device=torch.device("cpu"))


def timing(options):
    photos = load_food_photos().data
    columns = {
        "answer": ".3f",
        "answer, 99 %": ".3f",
        "photo": ".3f",
        "photo, 99 %": ".3f",
        "first fit": ".1f",
        "next fits": ".1f",
        "first, cpu": ".1f",
        "next, cpu": ".1f",
        "peak, GB": ".1f",
    }
    table = common.Table("photos x classes, seconds", columns, width=26)
    for size in options.timed:
        n_photos, n_classes = map(int, size.split("x"))
        learner = StandIn(n_photos, n_classes)
        many = [photos[row % len(photos)] for row in range(n_photos)]
        with tempfile.TemporaryDirectory() as folder:
            answers = Answers(Path(folder) / "answers.csv", many, learner.class_names)
            answers.keys = [f"{row}.jpg" for row in range(n_photos)]
            start = time.process_time()
            session = Session(learner, many, answers)
            first, first_cpu, fits = session.seconds, time.process_time() - start, []
            review = Review(session, _listen("127.0.0.1", 0), "127.0.0.1")
            waited = click(review, session, options, fits)
            review.stop()
            start = time.process_time()
            learner.learn(answers.labels)
            next_cpu = time.process_time() - start
        answer, photo = np.transpose(waited)
        table.row(
            f"{n_photos} x {n_classes}",
            median(answer),
            np.quantile(answer, 0.99),
            median(photo),
            np.quantile(photo, 0.99),
            first,
            median(fits) if fits else np.nan,
            first_cpu,
            next_cpu,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        )


def click(review, session, options, fits):
    """Seconds from answers to the next classes, and to the next picture."""
    import json

    def ask(path, data):
        body = json.dumps({"tab": "oracle", **data}).encode()
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(review.url + path, body, kind)
        return json.load(urllib.request.urlopen(request))

    waited, card = [], ask("next", {})["card"]
    for _ in range(options.answers):
        seconds = session.seconds
        time.sleep(options.pause)
        said = {"photo": card["photo"], "version": card["version"], "shown": card["shown"][:5]}
        result, until_card = common.timed(ask, "answer", said)
        card = result["card"]
        url = f"{review.url}photo/{card['photo']}/large"
        _, until_photo = common.timed(lambda url=url: urllib.request.urlopen(url).read())
        waited.append((until_card, until_card + until_photo))
        if session.seconds != seconds:
            fits.append(session.seconds)
    return waited


def main():
    names = ("dataset", "photo-set", "max-photos", "min-positives", "memory", "seeds")
    parser = common.parser(__doc__, *names)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of --dataset")
    parser.add_argument(
        "--timed", nargs="+", metavar="PHOTOSxCLASSES", help="measure times, not the gain"
    )
    parser.add_argument("--answers", type=int, default=200, help="with --timed")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds before an answer")
    options: SimpleNamespace = common.parse(parser)
    (timing if options.timed else gain)(options)


if __name__ == "__main__":
    main()
