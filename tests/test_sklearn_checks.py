"""scikit-learn's own checks, all of them, on both estimators with embeddings as input."""

import zlib

import numpy as np
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_cdul import BaseEncoder, CDULClassifier, CLIPPseudoLabeler


class RandomEncoder(BaseEncoder):
    """Fixed random text embeddings of a given length."""

    temperature = 0.1

    def __init__(self, embedding_dim=4):
        self.embedding_dim = embedding_dim

    def __repr__(self):
        return "RandomEncoder()"  # no address: names of tests must be the same in each process

    def encode_text(self, prompts):
        seeds = [zlib.crc32(prompt.encode()) for prompt in prompts]
        return np.stack(
            [np.random.default_rng(seed).normal(size=self.embedding_dim) for seed in seeds]
        )


class AnyLengthLabeler(CLIPPseudoLabeler):
    """Has an encoder of the length that the checks' data happen to have."""

    def _fit(self, X, checked, encoder):
        return super()._fit(X, checked, RandomEncoder(checked.shape[2]))


LABELER = AnyLengthLabeler(
    ["cat", "dog", "tree", "car", "sea"], model_name=RandomEncoder(), input="embeddings"
)
CLASSIFIER = CDULClassifier(pseudo_labeler=LABELER, random_state=0)

# Of the classifier only; nothing of the transformer fails.
EXPECTED_FAILURES = {
    "check_classifiers_one_label": "expects predictions of shape (n,), the one class in y",
    "check_classifiers_classes": "expects predictions to be the values in y",
    "check_classifiers_train": "expects predictions of shape (n,) that were learned from y",
    "check_classifier_multioutput": "expects as many columns as y has, and a threshold of 1/2",
    "check_classifiers_regression_target": "expects fit to look at the values in y",
    "check_decision_proba_consistency": "compares one class's probability with all the logits",
    "check_fit_score_takes_y": "gives score one column for several classes",
    "check_pipeline_consistency": "gives score one column for several classes",
    "check_supervised_y_no_nan": "expects fit to look at the values in y",
    "check_classifier_not_supporting_multiclass": "expects fit to look at the values in y",
}


@parametrize_with_checks(
    [LABELER, CLASSIFIER],
    expected_failed_checks=lambda estimator: (
        EXPECTED_FAILURES if isinstance(estimator, CDULClassifier) else {}
    ),
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
