"""From what a user gives as classes to names and the prompts that stand for them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any

from sklearn_cdul.class_names.vocabularies import VOCABULARIES


def resolve_classes(
    classes: str | Iterable[str] | Mapping[str, str | Sequence[str]],
    prompt_template: str | Sequence[str] = "a photo of a {}",
    *,
    parameter: str = "classes",
) -> tuple[list[str], list[list[str]]]:
    """Return the class names and, for each, the prompts whose embeddings are averaged."""
    if isinstance(classes, Mapping):
        wordings = _read_mapping(classes, parameter)
    else:
        wordings = _read_names(classes, parameter)
    if not wordings:
        raise ValueError(f"{parameter} is empty. Give at least one class name.")
    names = [name for name, _ in wordings]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"Class names must differ from each other, but these repeat: {repeated}.")
    templates = _read_templates(prompt_template)
    return names, [[t.format(word) for word in words for t in templates] for _, words in wordings]


def resolve_background(
    background_classes: str | Iterable[str] | Mapping[str, str | Sequence[str]] | None,
    names: Sequence[str],
    prompt_template: str | Sequence[str],
) -> tuple[list[str], list[list[str]]]:
    """Return the names and prompts of background classes, without those that are classes."""
    if background_classes is None:
        return [], []
    known = {name.casefold() for name in names}
    resolved = resolve_classes(background_classes, prompt_template, parameter="background_classes")
    pairs = zip(*resolved, strict=True)
    kept = [(name, prompts) for name, prompts in pairs if name.casefold() not in known]
    return [name for name, _ in kept], [prompts for _, prompts in kept]


def _read_names(classes: Any, parameter: str) -> list[tuple[str, list[str]]]:
    if isinstance(classes, str):
        if classes not in VOCABULARIES:
            known = ", ".join(f'"{name}"' for name in VOCABULARIES)
            names = [name.strip() for name in re.split("[,;\n]", classes) if name.strip()]
            what = "these classes" if len(names) > 1 else "a single class"
            raise ValueError(
                f"{parameter}={classes!r} is not a known vocabulary ({known}). "
                f"For {what} write {parameter}={names or [classes]!r}."
            )
        classes = VOCABULARIES[classes]
    # A set changes its order from run to run, a generator is empty the second time it is read, and
    # a data frame would give the names of its columns.
    elif not hasattr(classes, "__getitem__") or getattr(classes, "ndim", 1) != 1:
        raise TypeError(
            f"{parameter} must be a list of names, a mapping of names to prompts, or the name of a "
            f"vocabulary, got {type(classes).__name__}."
        )
    names = [_read_text(name, f"{parameter}[{i}]") for i, name in enumerate(classes)]
    # Underscores are spaces in names that are written as identifiers.
    return [(name, [" ".join(name.replace("_", " ").split()) or name]) for name in names]


def _read_mapping(classes: Mapping[Any, Any], parameter: str) -> list[tuple[str, list[str]]]:
    wordings = []
    for key, value in classes.items():
        name = _read_text(key, f"A key of {parameter}")
        where = f"{parameter}[{name!r}]"
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, Iterable) or isinstance(words, (bytes, Mapping)):
            raise TypeError(f"{where} must be a string or a list of strings, got {value!r}.")
        texts = [_read_text(word, f"{where}[{i}]") for i, word in enumerate(words)]
        if not texts:
            raise ValueError(f"{where} is empty. Give at least one wording.")
        wordings.append((name, texts))
    return wordings


def _read_text(text: Any, where: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{where} must be a string, got {text!r} ({type(text).__name__}).")
    if not text.strip():
        raise ValueError(f"{where} is an empty string.")
    if any("\ud800" <= sign <= "\udfff" for sign in text):  # of a folder's name, for instance
        raise ValueError(f"{where} is {text!r}, which is not text in Unicode. Write it anew.")
    return str(text).strip()  # str() turns numpy.str_ into a plain string


def _read_templates(prompt_template: Any) -> list[str]:
    templates = [prompt_template] if isinstance(prompt_template, str) else prompt_template
    if not isinstance(templates, Iterable) or not all(isinstance(t, str) for t in templates):
        raise TypeError(
            f"prompt_template must be a string or a list of strings, got {prompt_template!r}."
        )
    templates = list(templates)
    if not templates:
        raise ValueError('prompt_template is empty. Give at least one template, such as "{}".')
    for template in templates:
        try:
            fields = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
        except ValueError:  # a brace without its partner
            fields = []
        if fields != [("", "", None)]:
            raise ValueError(f"A prompt template must hold exactly one {{}}, got {template!r}.")
    return templates
