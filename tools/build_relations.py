"""Write which of the bundled encoder's names are kinds of a noun, or it of them, from WordNet.

The package takes these names for other things that photos may show, except those that are a kind of
a class or that it is a kind of: a photo of a beagle shows a dog. For each noun of WordNet that is
above or below one of the names, ``encoders/bundled/relations.npz`` lists the names.

    python tools/build_relations.py --wordnet DIR      # a folder of WordNet 3.0, half a minute
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from bundled_clip.files import BUNDLED
from bundled_clip.meanings import main_meanings, meanings_of
from bundled_clip.wordnet_nouns import Nouns

# A noun that is above half of the names ("thing") would leave nothing to compete with.
MOST = 1200


class Relations:
    """Finds the names that are above or below a noun."""

    def __init__(self, names, nouns):
        self.nouns = nouns
        self.meanings = dict(zip(names, meanings_of(nouns, names), strict=True))
        self.meant, self.below = defaultdict(set), defaultdict(set)
        for row, meaning in enumerate(self.meanings.values()):
            for synset in meaning:
                self.meant[synset].add(row)
                for kind in nouns.kinds(synset):
                    self.below[kind].add(row)

    def of(self, word):
        """Sorted rows of the names that are the word, a kind of it, or what it is a kind of."""
        rows = set()
        for synset in self.meanings.get(word) or main_meanings(self.nouns, word):
            above = [self.meant[kind] for kind in self.nouns.kinds(synset)]
            rows.update(self.below[synset], *above)
        return sorted(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--wordnet", type=Path, metavar="DIR", required=True)
    nouns = Nouns(parser.parse_args().wordnet)
    with np.load(BUNDLED / "names.npz") as stored:
        names = str(stored["names"]).split("\n")
    relations = Relations(names, nouns)
    found = {word: relations.of(word) for word in sorted({*names, *nouns.senses})}
    found = {word: rows for word, rows in found.items() if 0 < len(rows) < MOST}
    np.savez_compressed(
        BUNDLED / "relations.npz",
        words=np.array("\n".join(found)),
        counts=np.array([len(rows) for rows in found.values()], np.uint16),
        rows=np.concatenate([*found.values()]).astype(np.uint16),
    )
    print(f"{len(found)} words, {sum(map(len, found.values()))} relations")


if __name__ == "__main__":
    main()
