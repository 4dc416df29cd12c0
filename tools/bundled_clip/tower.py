"""The text tower: its training batches, its training, and its answers."""

import itertools
import time

import numpy as np
import open_clip
import torch

from bundled_clip.files import CONFIG, SEED
from bundled_clip.guesses import sentence_vectors

TEXT_WIDTH = CONFIG["model_cfg"]["text_cfg"]["width"]
BATCH = 192
LEARNING_RATE = 2e-3
SHARES = 0.42, 0.2, 0.12, 0.14, 0.05, 0.07  # of the groups of training_texts() in a batch

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


def train_text_tower(model, groups, steps, shares=SHARES, learning_rate=LEARNING_RATE):
    """Train the text tower on groups of texts: 1 - cosine, AdamW, one cycle.

    A batch has of each group its share.
    """
    batches = Batches(groups, shares, model.context_length, seed=SEED)
    table = torch.nn.Parameter(model.token_embedding.weight.data[batches.used].clone())
    matrices = [p for p in model.transformer.parameters() if p.ndim == 2] + [model.text_projection]
    others = [p for p in model.transformer.parameters() if p.ndim < 2]
    others += [table, model.positional_embedding, *model.ln_final.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
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
