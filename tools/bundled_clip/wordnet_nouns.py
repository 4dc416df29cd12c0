"""Read the nouns of WordNet 3.0 from its own files: meanings, glosses, kinds and counts.

The files are Princeton's; Debian has them as the package ``wordnet-base``.
"""

from collections import defaultdict
from functools import cached_property
from pathlib import Path

PHYSICAL = "00001930"  # the synset "physical entity"


class Nouns:
    """All nouns of WordNet.

    Parameters
    ----------
    folder : path
        Holds ``data.noun``, ``index.noun``, ``noun.exc`` and ``cntlist.rev``.

    Attributes
    ----------
    glosses : dict of str to str
        Definition of each synset. A synset is named by its offset, as in ImageNet without the "n".
    lemmas : dict of str to list of str
        Its words, in lower case.
    senses : dict of str to dict of str to int
        For each word its synsets, the most common first, and how often each occurs in the texts
        that WordNet counted.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        counts = self._counts()
        self.glosses, self.lemmas, self._parents = {}, {}, {}
        count_of = defaultdict(int)
        for line in self._lines("data.noun"):
            record, _, gloss = line.partition("|")
            parts = record.split()
            offset, n_words = parts[0], int(parts[3], 16)
            pairs = zip(parts[4 : 4 + 2 * n_words : 2], parts[5 : 5 + 2 * n_words : 2], strict=True)
            self.lemmas[offset] = []
            for word, number in pairs:
                lemma = word.lower().replace("_", " ")
                self.lemmas[offset].append(lemma)
                count_of[lemma, offset] += counts.get((word.lower(), parts[1], number), 0)
            pointers = parts[5 + 2 * n_words :]  # after their number, four fields each
            self._parents[offset] = [
                pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] == "@"
            ]
            self.glosses[offset] = gloss.split('; "')[0].strip()
        self.senses = {}
        for line in self._lines("index.noun"):
            parts = line.split()
            lemma, n_synsets = parts[0].replace("_", " "), int(parts[2])
            self.senses[lemma] = {o: count_of[lemma, o] for o in parts[-n_synsets:]}

    def _lines(self, name):
        with open(self.folder / name, encoding="latin1") as file:
            return [line for line in file if not line.startswith(" ")]  # the licence is indented

    def _counts(self):
        counts = {}
        for line in self._lines("cntlist.rev"):
            key, _, count = line.split()
            word, _, rest = key.partition("%")
            kind, file, number = rest.split(":")[:3]
            if kind == "1":  # noun
                counts[word, file, f"{int(number):x}"] = int(count)
        return counts

    @cached_property
    def irregular(self):
        """Irregular plurals and the words they stand for."""
        pairs = (line.replace("_", " ").split()[:2] for line in self._lines("noun.exc"))
        return dict(pair for pair in pairs if len(pair) == 2)

    def kinds(self, synset):
        """Return the synset and all that it is a kind of."""
        found, new = {synset}, [synset]
        while new:
            new = [o for s in new for o in self._parents[s] if o not in found]
            found.update(new)
        return found

    def singular(self, word):
        """Return the word as WordNet lists it, or None if it has no such noun."""
        if word in self.senses:
            return word
        if self.irregular.get(word) in self.senses:
            return self.irregular[word]
        for end, instead in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
            if word.endswith(end) and word.removesuffix(end) + instead in self.senses:
                return word.removesuffix(end) + instead
        return None

    def _visible(self, synset):
        kinds = self.kinds(synset)
        return 1 if PHYSICAL in kinds else 0.2 if len(kinds) > 1 else 0.01

    def weights(self, word):
        """Return how much each synset of a word counts in a photo: a dict that sums to 1.

        Common meanings count more, things more than ideas, and names of one person or place, which
        are no kind of anything here, hardly.
        """
        raw = {
            synset: (count + 0.5) * self._visible(synset)
            for synset, count in self.senses[word].items()
        }
        total = sum(raw.values())
        return {synset: value / total for synset, value in raw.items()}
