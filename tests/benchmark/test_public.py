"""A folder that is no checkout is refused before anything is imported from it."""

import sys

import pytest
import torch

from mmc2fmae.benchmark import public


def test_a_folder_without_the_code_is_refused(tmp_path):
    before = list(sys.path)
    with pytest.raises(FileNotFoundError, match='no such checkout: it has no models_mae'):
        public.mae(tmp_path, torch.device('cpu'))
    assert sys.path == before
