"""The texts that the tower learns, in groups: names, their spellings, other words, phrases."""

import numpy as np

from bundled_clip.files import MORE_WORDS, SEED, normalise
from bundled_clip.guesses import Guess
from bundled_clip.meanings import imagenet_synsets, main_meanings, meanings_of
from sklearn_cdul.class_names.vocabularies import VOCABULARIES

# Words that users and benchmarks write, and the vocabulary names that stand for them.
ALIASES = {
    "aeroplane": ["airplane"],
    "motorbike": ["motorcycle"],
    "tvmonitor": ["television set", "monitor"],
    "tv monitor": ["television set", "monitor"],
    "people": ["person"],
    "human": ["person"],
    "pedestrian": ["person"],
    "houseplant": ["potted plant"],
}

# What is often said of a thing and hardly changes where it belongs.
MODIFIERS = """
    red blue green yellow orange purple pink brown black white grey golden wooden metal plastic
    glass leather stone small little big large old new young broken dirty wet empty full open closed
    fresh cooked fried sliced wild toy electric outdoor indoor
"""

N_PHRASES = 6000


def plural(name, irregular=()):
    """The English plural of a name's last word."""
    *before, word = name.split(" ")
    if word in irregular:
        return " ".join([*before, irregular[word]])
    if name.endswith(("ife", "lf", "af")):
        return name.rstrip("e")[:-1] + "ves"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh")) else "s")


def spellings(name, irregular=()):
    """Other ways to write a name that mean the same thing."""
    plain = name.split(" (")[0]
    words = plain.replace("-", " ").split()
    found = [plain, plural(plain, irregular), *plain.split("/")]
    if len(words) > 1:
        found += [mark.join(words) for mark in ("", "-", "_", " ")]
    return [text for text in dict.fromkeys(found) if text and text != name]


def other_words(nouns):
    """Words that may have no CLIP embedding here: common nouns, and other ImageNet-21k lemmas."""
    lemmas = {lemma for s in imagenet_synsets("imagenet-22k") for lemma in nouns.lemmas[s]}
    common = {word for word, senses in nouns.senses.items() if sum(senses.values()) > 1}
    for vocabulary in ("coco", "voc", "nus-wide"):
        common.update(VOCABULARIES[vocabulary])
    common.update(MORE_WORDS.read_text().replace("\n", " ").strip().split(", "))
    return sorted(common), sorted(lemmas - common)


def phrases(names):
    """Names of one word, each with a word that describes it; a random choice."""
    random = np.random.default_rng(SEED)
    words = sorted(name for name in names if name.isalpha())
    modifiers = random.choice(MODIFIERS.split(), N_PHRASES)
    pairs = zip(modifiers, random.choice(words, N_PHRASES), strict=True)
    return sorted({f"{modifier} {word}" for modifier, word in pairs})


def training_texts(nouns, names, targets, hidden=frozenset()):
    """Texts and unit targets in six groups.

    These are the names, other spellings of them, common nouns, lemmas, names with a describing
    word, and other spellings of nouns and lemmas.

    Names in ``hidden`` appear in no group, nor do their spellings; see check_held_out().
    """
    irregular = {singular: many for many, singular in nouns.irregular.items()}
    known = {n: t for n, t in zip(names, targets, strict=True) if n not in hidden}
    banned = hidden.union(*(spellings(n, irregular) for n in hidden))
    guess = Guess(nouns, list(known), meanings_of(nouns, known), np.array([*known.values()]))
    groups = [known, {}]
    for words in (*other_words(nouns), phrases(known)):
        new = [w for w in words if w not in known and w not in banned]
        groups.append(
            dict(zip(new, guess(new, [main_meanings(nouns, w) for w in new]), strict=True))
        )
    _, near, common, lemmas, _ = groups
    far = {}
    taken = known.keys() | common.keys() | lemmas.keys() | ALIASES.keys() | banned
    for texts, places in ((near, known), (far, common), (far, lemmas)):
        for name, target in places.items():
            for spelling in spellings(name, irregular):
                if spelling not in taken:
                    texts.setdefault(spelling, target)
        taken |= texts.keys()
    for alias, sources in ALIASES.items():
        if known.keys() >= set(sources) and alias not in known and alias not in banned:
            common.pop(alias, None)
            lemmas.pop(alias, None)
            near[alias] = normalise(np.sum([known[s] for s in sources], axis=0))
    return [(list(d), np.array([*d.values()], np.float32)) for d in (*groups, far)]
