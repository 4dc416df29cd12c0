"""A review without its page: takes answers, learns from them, and says what to look at next."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_cdul.labels import apply_thresholds
from sklearn_cdul.predictions import log_odds
from sklearn_cdul.review.answers import Answers
from sklearn_cdul.review.curve import Curve, hint
from sklearn_cdul.review.learner import Learner
from sklearn_cdul.review.suggestions import rank_by_worth

# One of so many photos is drawn at random and kept apart, to judge the model with.
FAIR = 5
# The model learns again after so many answers, or after a pause of so many seconds.
_ANSWERS, _PAUSE = 3, 1.5
_QUEUE = 40
_GRID = 30
_MOST_TABS, _MOST_UNDONE = 100, 200
_MOST_NAME = 200
_QUICK = 2  # seconds of a fit


class Conflict(Exception):
    """Another tab has answered meanwhile."""


class Session:
    """What a review knows. Threads share it; each method holds the lock for a moment only."""

    def __init__(self, learner: Learner, photos: Sequence[Any], answers: Answers):
        self.learner, self.photos, self.answers = learner, photos, answers
        for old, new in answers.changes:
            learner.change_class(old, new)
        # A draw that a second start repeats: by the names of the photos. Some photos may have come
        # since, so those that were answered stay what they were.
        names = [str(key).encode("utf-8", "surrogatepass") for key in answers.keys]
        drawn = [hashlib.blake2b(name, digest_size=8).digest() for name in names]
        self._drawn = np.array(sorted(range(len(drawn)), key=drawn.__getitem__))
        self._is_apart = np.zeros(len(photos), dtype=bool)
        self._is_apart[self._drawn[: -(-len(photos) // FAIR)]] = True
        self._is_apart[answers.order] = answers.is_fair[answers.order]
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._changing = threading.Lock()  # one change of classes at a time
        self._tabs: OrderedDict[str, int] = OrderedDict()  # the photo that each one shows
        self._undo: list[tuple[str, dict[int, np.ndarray], dict[int, bool], dict[int, int]]] = []
        self._skipped: set[int] = set()
        self._queue: list[int] = []
        self._waiting, self._last, self._has_stopped = 0, 0.0, False
        self.trouble = ""  # why the last fit failed
        self.seconds = 0.0  # that the last fit took
        self.curve: list[dict[str, Any]] = []
        self._models = Curve()
        n = len(answers.order)
        self._fit(0)
        for part in (n // 2, n) if self.seconds < _QUICK else (n,):
            if n:  # a review that goes on has a curve, too
                self._fit(part)
        self._thread = threading.Thread(target=self._learn_on, name="review", daemon=True)
        self._thread.start()

    @property
    def figures(self) -> dict[str, Any] | None:
        """How good the model is by now, or None before that can be said."""
        return self.curve[-1] if self.curve else None

    # ---------------------------------------------------------------- what is shown

    def overview(self) -> dict[str, Any]:
        """Classes, counts and figures."""
        with self._lock:
            labels, predicted = self.answers.labels, self._predicted.sum(axis=0).tolist()
            names = self.answers.names
            return {
                "names": list(names),
                "yes": (labels == 1).sum(axis=0).tolist(),
                "no": (labels == 0).sum(axis=0).tolist(),
                "predicted": predicted + [0] * (len(names) - len(predicted)),
                "photos": int(self._is_readable.sum()),
                "answered": len(self.answers.order),
                "fair": int(self.answers.is_fair.sum()),
                "figures": self.figures,
                "curve": self.curve,
                "hint": hint(self.curve),
                "learning": self._waiting > 0,
                "trouble": self.trouble,
            }

    def card(self, row: int) -> dict[str, Any]:
        """What is shown of one photo."""
        with self._lock:
            self._check_row(row)
            k = len(self.answers.names)
            # Of a class that has just come nothing is known.
            scores, predicted = np.full(k, np.nan), np.zeros(k, dtype=bool)
            known = slice(self._scores.shape[1])
            scores[known], predicted[known] = self._scores[row], self._predicted[row]
            labels = self.answers.labels[row]
            shown = np.where(np.isnan(labels), predicted, labels == 1)
            return {
                "photo": row,
                "name": str(self.answers.keys[row]),
                "version": int(self.answers.versions[row]),
                "scores": [None if s != s else round(s, 4) for s in scores.tolist()],
                "order": np.lexsort((-scores, ~predicted)).tolist(),
                "shown": np.flatnonzero(shown).tolist(),
                "answered": bool(~np.isnan(labels).all()),
                "fair": bool(self._is_apart[row]),
            }

    def next(self, tab: str, *, skip: int | None = None) -> dict[str, Any] | None:
        """The next photo for a tab, or None if all are answered."""
        with self._lock:
            if skip is not None:
                self._check_row(skip)
                self._skipped.add(skip)
            self._tabs.pop(tab, None)
            row = self._choose_next()
            if row is None:  # those that were skipped, or that a closed tab has shown
                self._skipped.clear()
                self._tabs.clear()
                row = self._choose_next()
            if row is None:
                return None
            self._tabs[tab] = row
            if len(self._tabs) > _MOST_TABS:
                self._tabs.popitem(last=False)
            # The page reads the photo after this one meanwhile.
            return self.card(row) | {"ahead": self._choose_next()}

    def grid(self, column: int) -> dict[str, Any]:
        """Photos that are predicted to show a class, the doubtful ones first."""
        with self._lock:
            self._check_column(column)
            rows: list[int] = []
            if column < self._scores.shape[1]:
                margins = self._margins[:, column]
                asked = (margins >= 0) & np.isnan(self.answers.labels[:, column]) & ~self._is_apart
                best = np.flatnonzero(asked)
                rows = best[np.argsort(margins[best], kind="stable")][:_GRID].tolist()
            return {
                "class": column,
                "photos": [
                    {
                        "photo": row,
                        "name": str(self.answers.keys[row]),
                        "score": round(float(self._scores[row, column]), 4),
                        "version": int(self.answers.versions[row]),
                    }
                    for row in rows
                ],
            }

    # ---------------------------------------------------------------- what people say

    def answer(
        self, tab: str, row: int, version: int, shown: Sequence[int], n_classes: int | None = None
    ) -> None:
        """The classes of a photo: those that it shows, none of the others.

        A tab that has seen only the first classes, since another has added some, says how many.
        """
        with self._lock:
            self._check_row(row)
            values = np.full(len(self.answers.names), np.nan)
            values[: len(values) if n_classes is None else n_classes] = 0
            for column in shown:
                self._check_column(column)
                values[column] = 1
            self._set(tab, {row: values}, {row: version})

    def answer_grid(self, tab: str, column: int, photos: Sequence[Sequence[int]]) -> None:
        """One class of several photos, each with its version and 1 or 0."""
        with self._lock:
            self._check_column(column)
            rows, versions = {}, {}
            for row, version, value in photos:
                self._check_row(row)
                if value not in (0, 1):
                    raise ValueError("An answer is 1 or 0.")
                rows[row] = self.answers.labels[row].copy()
                rows[row][column], versions[row] = value, version
            if rows:
                self._set(tab, rows, versions)

    def undo(self, tab: str) -> dict[str, Any] | None:
        """Take the last answer of a tab back, and show that photo once more."""
        with self._lock:
            for index in range(len(self._undo) - 1, -1, -1):
                if self._undo[index][0] == tab:
                    _, before, fair, after = self._undo.pop(index)
                    self._check_versions(after)
                    for is_fair in set(fair.values()):
                        rows = {r: v for r, v in before.items() if fair[r] == is_fair}
                        self.answers.set_labels(rows, fair=is_fair)
                    self._tell()
                    row = next(iter(before))
                    self._tabs[tab] = row
                    return self.card(row) if len(before) == 1 else None
            return None

    def change_class(self, old: int | None, new: str) -> None:
        """Rename a class or add one; photos are not encoded again."""
        new = " ".join(new.split())
        if not new or len(new) > _MOST_NAME or not new.isprintable():
            raise ValueError(f"A class needs a name of 1 to {_MOST_NAME} printable signs.")
        with self._changing:
            with self._lock:
                if old is not None:
                    self._check_column(old)
                if new in self.answers.names:
                    raise ValueError(f"There is a class {new!r} already.")
                name = None if old is None else self.answers.names[old]
            changed = self.learner.with_class(name, new)
            with self._lock:  # the answers have the columns of the learner, whatever fails
                self.answers.change_class(name, new)
                self.learner.take(changed)
                self._tell(_ANSWERS)

    def _set(self, tab: str, rows: dict[int, np.ndarray], versions: dict[int, int]) -> None:
        answers = self.answers
        self._check_versions(versions)
        before = {row: answers.labels[row].copy() for row in rows}
        fair = {row: bool(answers.is_fair[row]) for row in rows}
        is_apart = len(rows) == 1 and bool(self._is_apart[next(iter(rows))])
        answers.set_labels(rows, fair=is_apart)
        after = {row: int(answers.versions[row]) for row in rows}
        self._undo = [*self._undo[-_MOST_UNDONE:], (tab, before, fair, after)]
        self._skipped -= rows.keys()
        self._tell()

    def _check_versions(self, versions: dict[int, int]) -> None:
        for row, version in versions.items():
            if self.answers.versions[row] != version:
                raise Conflict(row)

    def _tell(self, count: int = 1) -> None:
        self._waiting += count
        self._last = time.monotonic()
        self._changed.notify_all()

    def _check_row(self, row: int) -> None:
        if not 0 <= row < len(self.photos):
            raise IndexError(f"There is no photo {row}.")

    def _check_column(self, column: int) -> None:
        if not 0 <= column < len(self.answers.names):
            raise IndexError(f"There is no class {column}.")

    # ---------------------------------------------------------------- what is learned

    def catch_up(self) -> None:
        """Wait until the model has learned from all answers."""
        with self._changed:
            self._last = -_PAUSE
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting == 0 or self._has_stopped)

    def stop(self) -> None:
        """End the thread that learns, and write the CSV file."""
        with self._changed:
            self._has_stopped = True
            self._changed.notify_all()
        self._thread.join()
        self.answers.close()

    def finish(self) -> tuple[Any, np.ndarray]:
        """A classifier that learned from all answers, those kept apart too, and probabilities."""
        with self._lock:
            labels = self.answers.labels.copy()
        fitted, scores = self.learner.learn(labels)
        return self.learner.finish(fitted), scores

    def _learn_on(self) -> None:
        while True:
            with self._changed:
                while not self._has_stopped and not self._is_due():
                    self._changed.wait(0.3 if self._waiting else None)
                if self._has_stopped:
                    return
                waiting = self._waiting
            try:
                self._fit()
            except Exception as error:  # whatever it is, answers go on
                with self._changed:
                    self.trouble = f"{type(error).__name__}: {error}"
                    self._waiting -= waiting
                    self._changed.notify_all()

    def _is_due(self) -> bool:
        pause = time.monotonic() - self._last
        return self._waiting >= _ANSWERS or (self._waiting > 0 and pause >= _PAUSE)

    def _fit(self, n_answered: int | None = None) -> None:
        """Learn from the first answers, or all, but not on photos kept apart; choose the next."""
        with self._lock:
            waiting, learned = self._waiting, self.answers.order[:n_answered]
            labels, fair = self.answers.labels.copy(), self.answers.is_fair.copy()
        start, n_answered = time.perf_counter(), len(learned)
        known = np.full_like(labels, np.nan)
        known[learned] = labels[learned]
        known[self._is_apart] = np.nan
        fitted, scores = self.learner.learn(known)
        margins = log_odds(scores) - log_odds(fitted.thresholds_)
        predicted = apply_thresholds(scores, fitted.thresholds_).astype(bool)
        readable = ~np.isnan(scores).any(axis=1)
        asked = readable & ~self._is_apart
        queue = rank_by_worth(margins[asked], _QUEUE, _is_done(labels[asked]))
        queue = np.flatnonzero(asked)[queue]
        apart = np.where(fair[:, np.newaxis], labels, np.nan)[self._is_apart]
        curve = self._models.add(n_answered, predicted[self._is_apart], apart)
        with self._changed:
            self._scores, self._margins, self._predicted = scores, margins, predicted
            self._is_readable, self._queue = readable, queue.tolist()
            self.curve, self.trouble = curve, ""
            self._waiting = max(self._waiting - waiting, 0)
            self.seconds = time.perf_counter() - start
            names, labels = list(self.answers.names), self.answers.labels.copy()
            self._changed.notify_all()
        self.answers.write_csv(names, labels)

    def _choose_next(self) -> int | None:
        """The next photo that nobody has answered, skipped, or on the screen."""
        labels = self.answers.labels
        taken = self._skipped.union(self._tabs.values())

        def is_free(row: int) -> bool:
            return row not in taken and bool(self._is_readable[row]) and not _is_done(labels[row])

        apart = (row for row in self._drawn.tolist() if self._is_apart[row] and is_free(row))
        given = len(self.answers.order) + len(self._tabs) + 1
        n_fair = int(self.answers.is_fair.sum())
        n_fair += sum(bool(self._is_apart[row]) for row in self._tabs.values())
        if (n_fair + 1) * FAIR <= given and (row := next(apart, None)) is not None:
            return row
        asked = (row for row in self._queue if is_free(row))
        if (row := next(asked, None)) is not None:
            return row
        others = (row for row in self._drawn.tolist() if not self._is_apart[row] and is_free(row))
        return next(others, next(apart, None))


def _is_done(labels: np.ndarray) -> np.ndarray:
    """Whether photos were answered as a whole: classes that were added later need no answer."""
    return np.isnan(labels).mean(axis=-1) < 0.5
