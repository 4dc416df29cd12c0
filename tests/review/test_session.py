"""The review without its page: it learns from answers, and judges itself on photos kept apart."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.review.answers import Answers
from sklearn_cdul.review.figures import judge
from sklearn_cdul.review.learner import Learner
from sklearn_cdul.review.session import Conflict, Session

NAMES = ["pizza", "cake", "coffee", "salad"]


@pytest.fixture(scope="module")
def food(food_photos):
    columns = [food_photos.target_names.index(name) for name in NAMES]
    rows = np.flatnonzero(food_photos.target[:, columns].any(axis=1))[:40]
    return [food_photos.data[row] for row in rows], food_photos.target[np.ix_(rows, columns)]


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return tmp_path_factory.mktemp("memory")


def classifier(memory, **settings):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=memory)
    return CDULClassifier(pseudo_labeler=labeler, image_size=64, random_state=0, **settings)


@pytest.fixture
def start(food, memory, tmp_path):
    sessions = []

    def start():
        answers = Answers(tmp_path / "answers.csv", food[0], NAMES)
        sessions.append(Session(Learner(classifier(memory), food[0]), food[0], answers))
        return sessions[-1]

    yield start
    for session in sessions:
        if session._thread.is_alive():
            session.stop()


def say(session, card, target, tab="tab"):
    shown = np.flatnonzero(target[card["photo"]]).tolist()
    session.answer(tab, card["photo"], card["version"], shown)


def test_a_learner_gives_what_fit_gives(food, memory):
    photos, target = food
    observed = np.full(target.shape, np.nan)
    observed[:9] = target[:9]
    learner = Learner(classifier(memory), photos)
    learner.learn(np.full(target.shape, np.nan))
    fitted, probabilities = learner.learn(observed)
    model = classifier(memory).fit(photos, observed=observed)
    assert_allclose(probabilities, model.predict_proba(photos), atol=1e-5)
    assert_allclose(fitted.thresholds_, model.thresholds_, atol=1e-5)
    whole = learner.finish(fitted)
    assert_allclose(whole.predict_proba(photos[:5]), probabilities[:5], atol=1e-5)


def test_a_second_fit_repeats_nothing_that_answers_do_not_change(food, memory, monkeypatch):
    unknown = np.full(food[1].shape, np.nan)
    learner = Learner(classifier(memory), food[0])
    first = learner.learn(unknown)[1]
    with monkeypatch.context() as patch:
        patch.setattr("sklearn_cdul.classifier.find_neighbors", None)
        patch.setattr("sklearn_cdul.training.ridge.LinearProbe", None)
        patch.setattr("sklearn_cdul.training.ridge.read_labels", None)
        assert_allclose(learner.learn(unknown)[1], first)
    learner.change_class("cake", "soup")
    names = ["soup" if name == "cake" else name for name in NAMES]
    other = classifier(memory).set_params(pseudo_labeler__classes=names)
    assert_allclose(learner.learn(unknown)[1], Learner(other, food[0]).learn(unknown)[1], atol=1e-5)


def test_a_fitted_classifier_keeps_its_network(food, memory):
    photos = food[0]
    model = classifier(memory).fit(photos[:30])
    learner = Learner(model, photos)
    whole = learner.finish(learner.learn(np.full((len(photos), 4), np.nan))[0])
    before, after = (dict(m.network_.named_parameters()) for m in (model, whole))
    name = "backbone.conv_stem.weight"
    assert_array_equal(before[name].detach(), after[name].detach())


def test_a_class_that_is_added_learns_without_encoding(food, memory, monkeypatch):
    learner = Learner(classifier(memory), food[0])
    monkeypatch.setattr("sklearn_cdul.labeler.embed_photos", None)
    learner.change_class(None, "egg")
    learner.change_class("cake", "birthday cake")
    names = ["pizza", "birthday cake", "coffee", "salad", "egg"]
    assert learner.class_names == names
    fitted, probabilities = learner.learn(np.full((40, 5), np.nan))
    assert fitted.class_names_ == names and probabilities.shape == (40, 5)
    assert learner.finish(fitted).predict_proba(food[0][:2]).shape == (2, 5)


def test_a_warning_is_given_once_not_with_each_fit(food, memory):
    with pytest.warns(UserWarning, match="6 photos are too few to learn from"):
        learner = Learner(classifier(memory), food[0][:6])
    unknown = np.full((6, 4), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.learn(unknown)


def test_a_class_that_cannot_be_written_is_not_learned(start, monkeypatch):
    session = start()
    with monkeypatch.context() as patch:
        patch.setattr(session.answers, "_write", fail)
        with pytest.raises(OSError, match="full"):
            session.change_class(None, "egg")
    session.change_class(None, "soup")
    session.catch_up()
    assert session.learner.class_names == session.overview()["names"] == [*NAMES, "soup"]
    assert len(session.card(0)["scores"]) == 5


def test_an_answer_says_nothing_of_a_class_that_its_tab_has_not_shown(start):
    session = start()
    card = session.next("tab")
    session.change_class(None, "egg")
    session.answer("tab", card["photo"], card["version"], [1], n_classes=4)
    assert_array_equal(session.answers.labels[card["photo"]], [0, 1, 0, 0, np.nan])


def fail(*_):
    raise OSError("full")


def test_wordings_of_classes_stay_when_one_is_renamed(food, memory):
    labeler = CLIPPseudoLabeler({"hot": ["coffee", "tea"], "cake": "cake"}, grid_size=1)
    model = CDULClassifier(pseudo_labeler=labeler.set_params(memory=memory), image_size=64)
    learner = Learner(model, food[0][:12])
    before = learner._labeler.text_embeddings_
    learner.change_class("cake", "gateau")
    assert_allclose(learner._labeler.text_embeddings_[0], before[0], atol=1e-6)
    assert learner._labeler.classes == {"hot": ["coffee", "tea"], "gateau": "gateau"}


def test_one_photo_of_five_is_kept_apart_and_never_learned_from(start, food):
    session = start()
    seen = []
    for _ in range(20):
        card = session.next("tab")
        seen.append(card)
        say(session, card, food[1])
    fair = [card["photo"] for card in seen if card["fair"]]
    assert len(fair) == 4 and len({card["photo"] for card in seen}) == 20
    session.catch_up()
    overview = session.overview()
    assert (overview["answered"], overview["fair"]) == (20, 4)
    # Another answer on a photo that is kept apart changes nothing that is predicted.
    before = session._scores.copy()
    card = session.card(fair[0])
    session.answer("tab", fair[0], card["version"], [])
    session.catch_up()
    assert_array_equal(session._scores, before)


def test_answers_are_learned_and_a_second_start_goes_on(start, food):
    session = start()
    before = session._scores.copy()
    for _ in range(10):
        say(session, session.next("tab"), food[1])
    session.catch_up()
    assert np.abs(session._scores - before).max() > 0.01
    scores, order = session._scores, list(session.answers.order)
    session.stop()
    again = start()
    assert again.answers.order == order
    assert_allclose(again._scores, scores, atol=1e-6)
    assert again.next("tab")["photo"] not in order
    observed = again.answers.labels
    model, _ = again.finish()
    assert_array_equal(model.initial_pseudo_labels_[order], observed[order])


def test_two_tabs_get_different_photos_and_lose_no_answer(start, food):
    session = start()
    one, two = session.next("one"), session.next("two")
    assert one["photo"] != two["photo"]
    say(session, one, food[1], "one")
    with pytest.raises(Conflict):
        say(session, one, food[1], "two")
    say(session, two, food[1], "two")
    assert session.overview()["answered"] == 2


def test_undo_takes_back_what_the_same_tab_said_last(start, food):
    session = start()
    first = session.next("one")
    say(session, first, food[1], "one")
    say(session, session.next("two"), food[1], "two")
    assert session.undo("one")["photo"] == first["photo"]
    assert session.overview()["answered"] == 1
    assert session.undo("one") is None
    assert not session.card(first["photo"])["answered"]


def test_undo_does_not_take_back_what_another_tab_said(start, food):
    session = start()
    card = session.next("one")
    say(session, card, food[1], "one")
    say(session, session.card(card["photo"]), food[1], "two")
    with pytest.raises(Conflict):
        session.undo("one")


def test_classes_of_a_card_are_those_predicted_and_then_the_likely_ones(start):
    session = start()
    card = session.next("tab")
    marked = len(card["shown"])
    assert set(card["order"][:marked]) == set(card["shown"])
    for part in (card["order"][:marked], card["order"][marked:]):
        scores = [card["scores"][j] for j in part]
        assert scores == sorted(scores, reverse=True)
    session._changed.acquire()  # nothing is learned meanwhile
    session.change_class(None, "spoon")
    card = session.card(card["photo"])
    session._changed.release()
    new = session.answers.names.index("spoon")
    assert card["scores"][new] is None and card["order"][-1] == new


def test_the_curve_goes_on_in_order_after_answers_were_taken_back(start):
    session = start()
    for row in np.flatnonzero(session._is_apart):
        session.answer("fair", int(row), 0, [0])
    session.catch_up()
    said = session.grid(max(range(len(NAMES)), key=lambda j: len(session.grid(j)["photos"])))
    session.answer_grid("tab", 0, [[one["photo"], one["version"], 1] for one in said["photos"]])
    session.catch_up()
    most = session.curve[-1]["answers"]
    session.undo("tab")
    session.catch_up()
    counts = [point["answers"] for point in session.curve]
    assert counts == sorted(counts) and counts[-1] == len(session.answers.order) < most


def test_none_of_these_is_an_answer(start):
    session = start()
    card = session.next("tab")
    session.answer("tab", card["photo"], card["version"], [])
    assert session.answers.labels[card["photo"]].tolist() == [0, 0, 0, 0]
    assert session.card(card["photo"])["shown"] == []


def test_a_grid_asks_for_one_class_of_photos_that_are_not_kept_apart(start):
    session = start()
    photos = session.grid(0)["photos"]
    assert photos and not any(session._is_apart[one["photo"]] for one in photos)
    said = [[one["photo"], one["version"], int(i > 0)] for i, one in enumerate(photos)]
    session.answer_grid("tab", 0, said)
    assert session.overview()["no"][0] == 1
    assert session.grid(0)["photos"] == []
    session.undo("tab")
    assert len(session.grid(0)["photos"]) == len(photos)


def test_classes_are_added_and_renamed_on_the_way(start, food):
    session = start()
    say(session, session.next("tab"), food[1])
    session.change_class(None, "  egg ")
    session.change_class(1, "birthday cake")
    session.catch_up()
    card = session.next("tab")
    assert session.overview()["names"] == ["pizza", "birthday cake", "coffee", "salad", "egg"]
    assert len(card["scores"]) == 5 and max(card["scores"]) > 0
    for old, new in [(None, "pizza"), (None, ""), (None, "a\nb\x00"), (None, "x" * 300)]:
        with pytest.raises(ValueError):
            session.change_class(old, new)
    session.stop()
    assert start().overview()["names"][-1] == "egg"


def test_numbers_that_are_no_photo_or_class_are_refused(start):
    session = start()
    for call in (lambda: session.card(99), lambda: session.card(-1), lambda: session.grid(4)):
        with pytest.raises(IndexError):
            call()
    card = session.next("tab")
    with pytest.raises(IndexError):
        session.answer("tab", card["photo"], card["version"], [7])
    assert session.overview()["answered"] == 0


def test_when_all_is_answered_there_is_no_next(start, food):
    session = start()
    while (card := session.next("tab")) is not None:
        say(session, card, food[1])
    assert session.overview()["answered"] == 40
    assert session.overview()["figures"] is None or session.overview()["figures"]["n"] >= 5


def test_a_fit_that_fails_is_told_and_answers_go_on(start, food, monkeypatch):
    session = start()

    def fail(_):
        raise FloatingPointError("no numbers")

    with monkeypatch.context() as patch:
        patch.setattr(session.learner, "learn", fail)
        say(session, session.next("tab"), food[1])
        session.catch_up()
        assert "no numbers" in session.overview()["trouble"]
    say(session, session.next("tab"), food[1])
    session.catch_up()
    assert session.overview()["trouble"] == ""


def test_figures_are_those_of_the_sample_with_intervals_that_shrink():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 6)) < 0.3).astype(float)
    predicted = np.where(rng.random(labels.shape) < 0.1, 1 - labels, labels) == 1
    from sklearn.metrics import f1_score

    few, many = judge(predicted[:20], labels[:20]), judge(predicted, labels)
    assert_allclose(many["f1"], f1_score(labels, predicted, average="micro"))
    assert_allclose(many["right"], (predicted == labels).all(axis=1).mean())
    for figures in (few, many):
        for name in ("f1", "right"):
            low, high = figures[f"{name}_interval"]
            assert 0 <= low <= figures[name] <= high <= 1
    assert np.ptp(many["f1_interval"]) < np.ptp(few["f1_interval"])
    assert judge(predicted[:4], labels[:4]) is None
    labels[:, 0] = np.nan  # unknown labels are neither right nor wrong
    assert judge(predicted, labels)["right"] >= many["right"]


def test_the_learner_refuses_what_it_cannot_learn(food, memory):
    with pytest.raises(TypeError, match="CDULClassifier"):
        Learner(CLIPPseudoLabeler(NAMES), food[0])
    with pytest.raises(ValueError, match="fitted first"):
        Learner(classifier(memory, training="gradients"), food[0])
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    with pytest.raises(ValueError, match="needs photos"):
        Learner(CDULClassifier(pseudo_labeler=labeler), food[0])


def test_photos_that_cannot_be_read_are_left_out(food, memory, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    photos = [str(bad), *food[0][:15]]
    with pytest.warns(UserWarning, match="1 of 16"):
        learner = Learner(classifier(memory), photos)
    session = Session(learner, photos, Answers(tmp_path / "answers.csv", photos, NAMES))
    assert session.overview()["photos"] == 15
    seen = set()
    while (card := session.next("tab")) is not None:
        seen.add(card["photo"])
        session.answer("tab", card["photo"], card["version"], [])
    assert seen == set(range(1, 16))
    session.stop()


def test_a_class_that_comes_while_the_model_learns_does_no_harm(start, food, monkeypatch):
    session = start()
    learn = session.learner.learn

    def learn_late(observed):
        monkeypatch.setattr(session.learner, "learn", learn)
        session.learner.change_class(None, "egg")
        return learn(observed)

    monkeypatch.setattr(session.learner, "learn", learn_late)
    say(session, session.next("tab"), food[1])
    session.catch_up()
    assert session.overview()["trouble"] == ""


def test_a_photo_of_a_tab_that_was_closed_comes_again(start, food):
    session = start()
    closed = session.next("closed")
    seen = set()
    for _ in range(40):
        card = session.next("tab")
        seen.add(card["photo"])
        say(session, card, food[1])
    assert closed["photo"] in seen and session.next("tab") is None


def test_what_was_answered_stays_apart_or_not_when_photos_are_added(food, memory, tmp_path):
    for count in (20, 40):
        photos = food[0][:count]
        answers = Answers(tmp_path / "answers.csv", photos, NAMES)
        session = Session(Learner(classifier(memory), photos), photos, answers)
        assert_array_equal(session._is_apart[answers.order], answers.is_fair[answers.order])
        for _ in range(10):
            say(session, session.next("tab"), food[1])
        assert answers.is_fair.sum() == count // 10
        session.stop()
