"""From CLIP embeddings to soft pseudo labels: one NumPy function for each equation.

Notation of section 3.1 of the CDUL paper (Abdelfattah et al., ICCV 2023, arXiv 2307.16634):
``n`` images, ``s`` snippets per image, ``k`` classes, ``d`` embedding dimensions.
"""

from itertools import pairwise

import numpy as np

from sklearn_cdul._utils.vectors import unit_vectors

# Similarities that are worked on at a time; about five arrays of them, of float32, are needed.
_BLOCK_VALUES = 2**24


def cosine_similarities(image_embeddings, text_embeddings):
    """Cosine of each image embedding with each class embedding, ``p_i = <f, w_i>``.

    From the CDUL paper, arXiv 2307.16634, section 3.1.

    Parameters
    ----------
    image_embeddings : array of shape (..., d)
        Embeddings of whole images or snippets, of any length above zero.
    text_embeddings : array of shape (k, d)
        One embedding per class, of any length above zero.

    Returns
    -------
    similarities : float array of shape (..., k)
        Cosines in [-1, 1]. A zero vector has no direction; its cosines are 0.

    Raises
    ------
    ValueError
        If the embeddings of images and classes differ in length d.
    """
    return unit_vectors(image_embeddings) @ unit_vectors(text_embeddings).T


def softmax_similarities(similarities, temperature):
    """Soft labels of one view, ``s_i = exp(p_i / tau) / sum_j exp(p_j / tau)``.

    From the CDUL paper, arXiv 2307.16634, section 3.1: for whole images and for snippets.

    Parameters
    ----------
    similarities : array of shape (..., k)
        Cosines of a view with the k classes.
    temperature : float
        tau > 0. CLIP's own value is ``1 / exp(logit_scale)``, 0.01 for OpenAI's models. Smaller
        values give sharper labels.

    Returns
    -------
    soft_labels : float array of shape (..., k)
        Values in [0, 1] that sum to 1 over the last axis.

    Raises
    ------
    ValueError
        If `temperature` is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature!r}.")
    logits = np.asarray(similarities) / temperature
    # The largest logit of a view is moved to 0, so that exp never overflows.
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def aggregate_snippets(local_labels, local_threshold=0.0):
    """Strongest or weakest snippet of each class: ``alpha`` where ``alpha >= zeta``, else ``beta``.

    From the CDUL paper, arXiv 2307.16634, section 3.1; ``alpha`` and ``beta`` are the largest and
    the smallest soft label over an image's snippets.

    Parameters
    ----------
    local_labels : array of shape (n, s, k)
        Soft labels of the snippets, in [0, 1].
    local_threshold : float, default=0.0
        zeta in [0, 1]. With 0 the maximum is always chosen.

    Returns
    -------
    aggregated : float array of shape (n, k)
        Values in [0, 1]; they need not sum to 1.
    """
    maximum = np.max(local_labels, axis=1)
    return np.where(maximum >= local_threshold, maximum, np.min(local_labels, axis=1))


def combine_labels(global_labels, aggregated_labels, global_weight=0.5):
    """Final pseudo label, ``s = lambda * s_global + (1 - lambda) * s_aggregated``.

    From the CDUL paper, arXiv 2307.16634, section 3.1.

    Parameters
    ----------
    global_labels, aggregated_labels : arrays of shape (n, k)
        Soft labels of the whole images and of their snippets.
    global_weight : float, default=0.5
        lambda in [0, 1]. The paper uses 1/2.

    Returns
    -------
    soft_labels : float array of shape (n, k)
        Values in [0, 1].
    """
    return global_weight * np.asarray(global_labels) + (1 - global_weight) * np.asarray(
        aggregated_labels
    )


def check_dimensions(image_embeddings, text_embeddings):
    """Refuse embeddings of another length than the class names have."""
    if np.ndim(image_embeddings) != 3:
        raise ValueError(
            "Embeddings of views must have shape (n, views, d), the whole image first; got "
            f"{np.shape(image_embeddings)}."
        )
    found, expected = np.shape(image_embeddings)[2], np.shape(text_embeddings)[1]
    if found != expected:
        raise ValueError(
            f"X has {found} features, but the encoder embeds class names in {expected} dimensions. "
            "Make the embeddings with the same encoder."
        )


def soft_labels(
    image_embeddings,
    text_embeddings,
    background_embeddings=None,
    *,
    temperature,
    local_threshold=0.0,
    global_weight=0.5,
    groups=None,
    gains=None,
):
    """Pseudo labels from the embeddings of whole images and snippets: all equations in turn.

    This is the first stage of the paper [1]_.

    Parameters
    ----------
    image_embeddings : array of shape (n, v, d)
        For each image the whole image first, then its snippets. With v = 1 there are no snippets
        and the label is the global one.
    text_embeddings : array of shape (k, d)
        One embedding per class.
    background_embeddings : array of shape (m, d) or None, default=None
        Embeddings of other names, which compete in the softmax and get no label. Not in the paper.
    temperature : float
        tau > 0 of the softmax.
    local_threshold : float, default=0.0
        zeta in [0, 1] of the aggregator.
    global_weight : float, default=0.5
        lambda in [0, 1], the weight of the whole image.
    groups : sequence of int or None, default=None
        Sizes of groups of snippets, in order, v - 1 in all. Each group is aggregated on its own,
        and their labels are averaged. None is one group, as in the paper.
    gains : array of shape (k,) or None, default=None
        Positive factors of a class's similarity in its own label, not in those of the others. None
        is 1 for all. Not in the paper.

    Returns
    -------
    soft_labels : float array of shape (n, k)
        Values in [0, 1]. A row whose embeddings hold NaN is NaN.

    Raises
    ------
    ValueError
        If `temperature` is not above 0, `groups` do not add up to v - 1, `gains` are not k values,
        or embeddings differ in length d.

    Notes
    -----
    Images are processed in blocks, which take about 500 MB at most, or what one image needs.

    References
    ----------
    .. [1] R. Abdelfattah et al., "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image
       Classification", ICCV 2023, arXiv 2307.16634, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_cdul.labels import soft_labels
    >>> views = np.array([[[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]])
    >>> soft_labels(views, np.eye(2), temperature=0.1).round(2)
    array([[0.75, 0.75]])
    """
    from scipy.special import expit, logit

    check_dimensions(image_embeddings, text_embeddings)
    images, texts = np.asarray(image_embeddings), unit_vectors(text_embeddings)
    k = len(texts)
    ends = np.cumsum([1, *(groups or [images.shape[1] - 1])])
    if ends[-1] != images.shape[1]:
        raise ValueError(
            f"groups must add up to {images.shape[1] - 1}, the views besides the whole image; got "
            f"{list(groups)}."
        )
    if background_embeddings is not None:
        texts = np.concatenate([texts, unit_vectors(background_embeddings)])

    factors = np.ones(k, texts.dtype) if gains is None else np.asarray(gains, texts.dtype)
    if factors.shape != (k,):
        raise ValueError(f"gains must have one value for each of the {k} classes; got {gains!r}.")
    some = np.flatnonzero(factors != 1)

    def label(block):
        cosines = unit_vectors(block) @ texts.T
        labels = softmax_similarities(cosines, temperature)[..., :k]
        if len(some):
            more = (factors[some] - 1) / temperature
            labels[..., some] = expit(logit(labels[..., some]) + more * cosines[..., some])
        if labels.shape[1] == 1:
            return labels[:, 0]
        aggregated = [
            aggregate_snippets(labels[:, start:end], local_threshold)
            for start, end in pairwise(ends)
        ]
        return combine_labels(labels[:, 0], sum(aggregated) / len(aggregated), global_weight)

    size = max(_BLOCK_VALUES // (images.shape[1] * len(texts)), 1)
    return np.concatenate(
        [label(images[i : i + size]) for i in range(0, max(len(images), 1), size)]
    )
