import pytest
import torch

from mmc2fmae.probes.linear import ridge_scores


def test_two_points_on_a_line_by_hand():
    # Features -1 and 1, centred; variance 1, penalty 1: slope of class 1 is 0.5 / (1 + 1).
    train, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    scores = ridge_scores(train, labels, torch.tensor([[2.0], [0.0]]), 2, penalty=1.0)
    assert scores[0].tolist() == pytest.approx([0.5 - 2 * 0.25, 0.5 + 2 * 0.25])
    assert scores[1].tolist() == pytest.approx([0.5, 0.5])


def test_classes_that_a_line_parts_are_told_apart_whatever_offset_and_scale():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    for scale, offset in ((1.0, 0.0), (1e-3, 0.0), (1e3, 50.0)):
        centres = torch.eye(3, 8)[labels]
        features = scale * (centres + 0.05 * torch.randn(60, 8, generator=generator)) + offset
        scores = ridge_scores(features[:30], labels[:30], features[30:], 3)
        assert (scores.argmax(dim=1) == labels[30:]).all()


def test_features_without_variance_give_the_frequencies_of_the_classes():
    scores = ridge_scores(torch.ones(4, 2), torch.tensor([0, 0, 0, 1]), torch.ones(1, 2), 2)
    assert scores[0].tolist() == pytest.approx([0.75, 0.25])
