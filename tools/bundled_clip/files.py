"""What the build reads and writes: vocabulary, map, names, weights and configuration."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = ROOT / "tools" / "data" / "clip_vocabulary.npz"
SHARED_MAP = ROOT / "tools" / "data" / "clip_to_shared.npz"  # written by the build
DIRECTIONS = ROOT / "tools" / "data" / "directions.npz"  # by learn_directions.py
MORE_WORDS = ROOT / "tools" / "data" / "more_words.txt"
BUNDLED = ROOT / "sklearn_cdul" / "encoders" / "bundled"
WEIGHTS = "open_clip_model.safetensors"
CONFIG = json.loads((BUNDLED / "open_clip_config.json").read_text())
SEED = 0
WIDTH = CONFIG["model_cfg"]["embed_dim"]  # of the shared space


def normalise(x):
    """Scale the last axis to unit length."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def read_vocabulary():
    """Names (list), their unit CLIP embeddings (n, 512) and those of the ImageNet classes."""
    with np.load(VOCABULARY) as stored:
        imagenet = normalise(normalise(stored["imagenet_embeddings"].astype(float)).mean(axis=0))
        return stored["names"].tolist(), normalise(stored["embeddings"].astype(float)), imagenet


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


def rewrite_logit_scale(folder, logit_scale):
    """Change only the stored scale."""
    tensors = load_file(folder / WEIGHTS)
    tensors["logit_scale"].fill_(math.log(logit_scale))
    write_weights(tensors, folder)
