"""Weighted k-nearest-neighbour classification: how good features are without any training."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmc2fmae.checkpoints import build_backbone
from mmc2fmae.datasets.image_folders import ImageFolders
from mmc2fmae.evaluation.features import FeatureOptions, compute_features
from mmc2fmae.preflight.overlap import trained_on_too
from mmc2fmae.preflight.photographs import dark_photographs, photographs_of


def knn_votes(
    train: Tensor,
    labels: Tensor,
    queries: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 4096,
) -> Tensor:
    """Let the k most similar training features vote for the class of each query.

    A neighbour of cosine similarity s votes for its class with weight exp(s / temperature)
    (Wu et al., CVPR 2018, Eq. 11; the protocol of DINO). Exact, in float32, and of bounded memory:
    similarities are computed in blocks of ``chunk`` queries by ``chunk`` training features, and the
    best k of each query are kept. Beside arguments and votes, it holds one block.

    Args:
        train: (N, D) features of any floating type; they are not copied as a whole.
        labels: (N,) classes in [0, num_classes).
        queries: (M, D) features.
        num_classes: Number of classes.
        k: Neighbours.
        temperature: Softness of the votes.
        chunk: Side of a block.

    Returns:
        (M, num_classes) sums of votes, all divided by exp(1 / temperature); 0 is no vote.

    Raises:
        ValueError: There are fewer than k training features, labels out of range, or a temperature
            that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f'temperature is {temperature}: expected a number above 0')
    if not 0 < k <= len(train):
        raise ValueError(f'k is {k}, but there are {len(train)} training features')
    if len(labels) != len(train) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f'{len(labels)} labels from {labels.min()} to {labels.max()}: expected {len(train)} '
            f'from 0 to {num_classes - 1}'
        )
    votes = queries.new_zeros(len(queries), num_classes, dtype=torch.float32)
    for query, vote in zip(queries.split(chunk), votes.split(chunk), strict=True):
        query = normalize(query.float(), dim=1)
        nearest = query.new_empty(len(query), 0)
        classes = labels.new_empty(len(query), 0)
        for part, part_labels in zip(train.split(chunk), labels.split(chunk), strict=True):
            # The best of the block first: k columns to put together, not the block's thousands.
            similar, index = (query @ normalize(part.float(), dim=1).T).topk(min(k, len(part)))
            similar = torch.cat([nearest, similar], dim=1)
            nearest, order = similar.topk(min(k, similar.shape[1]), dim=1)
            classes = torch.cat([classes, part_labels[index]], dim=1).gather(1, order)
        # Divided so, no weight is above 1 and nothing overflows; the order of classes is the same.
        # None is 0: that is the sum of a class without a vote.
        weights = ((nearest - 1) / temperature).exp().clamp_min(torch.finfo(query.dtype).tiny)
        vote.scatter_add_(1, classes, weights)
    return votes


def top_k_accuracy(votes: Tensor, labels: Tensor, k: int) -> float:
    """Return the share, in percent, of rows whose label is among the k highest votes above 0.

    Args:
        votes: (M, C) votes, see :func:`knn_votes`.
        labels: (M,) classes.
        k: How many may be named; all where there are fewer classes.
    """
    found, best = votes.topk(min(k, votes.shape[1]), dim=1)
    return 100 * float(((best == labels[:, None]) & (found > 0)).any(dim=1).double().mean())


def evaluate_knn(
    checkpoint: str | Path,
    train: str | Path,
    val: str | Path,
    options: FeatureOptions,
    k: int = 20,
    temperature: float = 0.07,
    **stated,
) -> dict:
    """Classify the images of one folder by their nearest neighbours in another.

    Args:
        checkpoint: Checkpoint of any house; see :func:`mmc2fmae.checkpoints.read_backbone`.
        train: Folder of class folders with the neighbours.
        val: Folder of class folders of the same names.
        options: How features are computed; one token of one block.
        k: Neighbours; see :func:`knn_votes`.
        temperature: Softness of the votes.
        **stated: See :func:`mmc2fmae.checkpoints.read_backbone`.

    Returns:
        ``top1`` and, of more than five classes, ``top5`` in percent with all settings and numbers
        of images.

    Raises:
        LabelsError: The two folders do not have the same classes.
        ValueError: An option or an image is wrong, or there are fewer than k images.
    """
    known = ImageFolders(folder=str(train))
    asked = ImageFolders(folder=str(val), classes=known.metainfo['classes'])
    if k > len(known):
        raise ValueError(f'k is {k}, but {train} holds {len(known)} images')
    classes = len(known.metainfo['classes'])
    if classes == 1:
        raise ValueError(f'{train} has one class: there is nothing to tell apart')
    photographs = [photographs_of(folder) for folder in (known, asked)]
    for note in (*map(dark_photographs, photographs), trained_on_too(*photographs)):
        if note:
            print(f'warning: {note}')
    vit, preprocessing = build_backbone(checkpoint, **stated)
    features, labels = [], []
    for name, folder, paths in zip(('train', 'val'), (known, asked), photographs, strict=True):
        print(f'{name}: {len(paths):,} images')
        (found,) = compute_features(vit, preprocessing, list(map(Path, paths)), options).values()
        if len(found) > 1 and all(bool((row == found[0]).all()) for row in found):
            raise ValueError(
                f'{checkpoint} gives all {len(found):,} images of {name} the same features: its '
                'weights have collapsed, or are none of a trained encoder'
            )
        features.append(found.to(options.device))
        classes_of = [folder.get_data_info(i)['gt_label'] for i in range(len(folder))]
        labels.append(torch.tensor(classes_of, device=options.device))
    votes = knn_votes(
        features[0],
        labels[0],
        queries=features[1],
        num_classes=classes,
        k=k,
        temperature=temperature,
    )
    shown = [n for n in (1, 5) if n == 1 or n < classes]  # the best 5 of 5 are always right
    return {f'top{n}': top_k_accuracy(votes, labels[1], n) for n in shown} | dict(
        k=k,
        temperature=temperature,
        classes=classes,
        train_images=len(known),
        val_images=len(asked),
        checkpoint=str(checkpoint),
        train=str(train),
        val=str(val),
        preprocessing=asdict(preprocessing),
        features=asdict(options),
    )
