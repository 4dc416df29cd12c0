"""Step 4: words move toward the directions that photos have taught."""

import numpy as np

from bundled_clip.files import DIRECTIONS, SEED, normalise
from bundled_clip.meanings import main_meanings
from bundled_clip.places import store_taught, stored_targets
from bundled_clip.texts import ALIASES, other_words, spellings
from bundled_clip.tower import embed_texts, train_text_tower

SHARE = 0.5  # how far a word moves toward its direction
SHARES = {"person": 0.7} | dict.fromkeys(["cow", "car", "bottle", "cup", "fork", "spoon"], 0.3)
STEPS = 450
LEARNING_RATE = 5e-4
# Of a batch: known names, their spellings, words taught, other people, words that stay.
GROUPS = 0.33, 0.1, 0.12, 0.1, 0.35
# Of words that are held where they are. Without strings of letters, that is of words it has never
# read, the tower would take these for people.
N_NOUNS, N_STRINGS = 9000, 3000
# What WordNet calls people, or an organism: a person, and people as a group.
PERSON = {"00007846", "07942152"}
SURE = 0.8  # which part of a word's meaning must be a person
# Names that mean people, or parts of them, though their first meaning in WordNet is another.
PEOPLE = """
    man, woman, boy, girl, chap, groom, ballplayer, scuba diver, human face, human head, human hair,
    human eye, human ear, human nose, human mouth, human beard, human arm, human hand, human leg,
    human foot, face, hand, hair, beard, crowd, audience, family, couple, team, elderly person,
    group of people, construction worker
"""


def moved(place, direction, share=SHARE):
    """Places (n, WIDTH) on the way to a direction (WIDTH,)."""
    return normalise((1 - share) * place + share * direction)


def taught_places(model, known, directions):
    """Places of the names that photos have taught, by themselves or as people: a dict."""
    goals = {name.strip(): directions["person"] for name in PEOPLE.split(",")} | directions
    places = current_places(model, goals) | known
    return {n: moved(places[n], goal, SHARES.get(n, SHARE)) for n, goal in goals.items()}


def current_places(model, words):
    """Places of words by the text tower as it is: a dict."""
    words = list(words)
    return dict(zip(words, embed_texts(model, [f"a photo of a {w}" for w in words]), strict=True))


def is_person(nouns, word):
    """Whether WordNet has the word, and most of what it means there is a person."""
    meaning = main_meanings(nouns, word) if nouns.singular(word) else {}
    return sum(weight for s, weight in meaning.items() if PERSON & nouns.kinds(s)) >= SURE


def strings(random):
    """Strings of letters, and of syllables."""
    consonants, vowels = list("bcdfghjklmnprstvwxz"), list("aeiou")
    for _ in range(N_STRINGS // 2):
        n = random.integers(2, 5)
        yield "".join(random.choice(consonants + vowels, 2 * n))
        pairs = zip(random.choice(consonants, n), random.choice(vowels, n), strict=True)
        yield "".join(letter for pair in pairs for letter in pair)


def teach(model, nouns):
    """Move words toward what photos have taught, and train the text tower to follow.

    The other known names keep their places, and other words and strings those that they have.
    """
    known = stored_targets(taught=False)
    with np.load(DIRECTIONS) as stored:
        directions = dict(zip(stored["names"].tolist(), stored["directions"], strict=True))
    person = directions["person"]
    taught = taught_places(model, known, directions)
    # The places of other names are guesses.
    store_taught({n: place for n, place in taught.items() if n in known or n in directions})
    known |= taught
    irregular = {singular: many for many, singular in nouns.irregular.items()}

    def spelled(places, but):
        pairs = ((text, p) for n, p in places.items() for text in spellings(n, irregular))
        return {text: place for text, place in pairs if text not in but}

    taught |= spelled(taught, known)
    taught |= {alias: known["person"] for alias, of in ALIASES.items() if of == ["person"]}
    common, lemmas = other_words(nouns)
    words = {*common, *lemmas, *nouns.senses} - known.keys() - taught.keys()
    people = [word for word in common if word in words and is_person(nouns, word)]
    people = {w: moved(p, person) for w, p in current_places(model, people).items()}
    people |= spelled(people, words | known.keys() | taught.keys())
    near = spelled(known, words | known.keys() | taught.keys())
    near |= {
        alias: normalise(np.sum([known[s] for s in of], axis=0))
        for alias, of in ALIASES.items()
        if alias not in taught
    }
    random = np.random.default_rng(SEED)
    stay = sorted(word for word in words - people.keys() if not is_person(nouns, word))
    stay = [*random.choice(stay, N_NOUNS, replace=False).tolist(), *strings(random)]
    parts = known, near, taught, people, current_places(model, stay)
    groups = [(list(d), np.array([*d.values()], np.float32)) for d in parts]
    print("known, spellings, taught, people, others:", *(len(texts) for texts, _ in groups))
    train_text_tower(model, groups, STEPS, GROUPS, LEARNING_RATE)
