"""Configs by name: here, in `_base_` of another project, and in OpenMMLab's metadata."""

import pytest
import yaml

from mmc2fmae import configs
from tests.conftest import ROOT


def test_a_name_is_a_file_of_configs():
    assert configs.CHECKOUT == ROOT and configs.FOLDER == ROOT / 'configs'
    found = configs.find('mmc2fmae::pretrain/c2fmae_vitb_1600e.py')
    assert found == ROOT / 'configs/pretrain/c2fmae_vitb_1600e.py'
    assert {configs.find(name).suffix for name in configs.names()} == {'.py'}
    assert not [name for name in configs.names() if '_base_' in name]


@pytest.mark.parametrize(
    'name',
    [
        'mmc2fmae::pretrain/c2fmae_vitb_160e.py',
        'configs/pretrain/c2fmae_vitb_160e.py',
        'c2fmae_vitb_160e.py',
        'mmc2fmae::c2fmae_vitb_1600e.py',
    ],
)
def test_a_wrong_name_gets_the_nearest(name):
    with pytest.raises(FileNotFoundError) as error:
        configs.find(name)
    assert str(error.value) == (
        f'config {name} does not exist, did you mean mmc2fmae::pretrain/c2fmae_vitb_1600e.py?; '
        '`mmc2fmae configs` lists those of the project'
    )


def test_nothing_near_is_not_suggested():
    with pytest.raises(FileNotFoundError, match=r'config nothing\.py does not exist; `mmc2fmae'):
        configs.find('nothing.py')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = dict(', 'SyntaxError'),
        ("_base_ = 'gone.py'", r'FileNotFoundError: .*gone\.py'),
        ('x = y', "NameError: name 'y' is not defined"),
        ("_base_ = 'mmc2fmae::pretrain/nowhere.py'", 'pretrain/nowhere.py does not exist'),
    ],
)
def test_what_is_wrong_with_a_config_is_said_with_its_name(tmp_path, text, message):
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(configs.ConfigError, match=rf'config .*mine\.py: .*{message}'):
        configs.read(tmp_path / 'mine.py')


def test_an_override_that_does_not_fit_is_said_with_the_config():
    cfg = configs.read('mmc2fmae::mini/demo.py')
    with pytest.raises(configs.ConfigError, match=r"demo\.py with \{'model\.type\.x': 1\}"):
        configs.override(cfg, {'model.type.x': 1})


@pytest.mark.parametrize('name', ['det/mask_rcnn_vitb_1x_coco.py', 'pretrain/c2fmae_vitb_400e.py'])
def test_another_project_builds_on_a_config_as_if_it_lay_beside_it(tmp_path, name):
    (tmp_path / 'theirs.py').write_text(f"_base_ = 'mmc2fmae::{name}'\nseen = 1")
    theirs = configs.read(tmp_path / 'theirs.py').to_dict()
    assert theirs.pop('seen') == 1
    assert theirs == configs.read(f'mmc2fmae::{name}').to_dict()


def test_mmengine_finds_a_config_by_our_metadata():
    from mmengine.hub import get_config

    name = 'pretrain/c2fmae_vitb_1600e.py'
    assert get_config(f'mmc2fmae::{name}').train_cfg.max_epochs == 1600
    assert get_config('mmc2fmae::mini/demo.py').model.type == 'C2FMAE'  # not in the metadata


def test_the_metadata_names_configs_that_exist_and_no_weights():
    for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        content = yaml.safe_load((ROOT / path).read_text())
        collections = {part['Name'] for part in content['Collections']}
        for model in content['Models']:
            assert (ROOT / model['Config']).is_file() and 'Weights' not in model
            assert model['In Collection'] in collections
            assert all('the paper' in result['Source'] for result in model['Results'] or ())
