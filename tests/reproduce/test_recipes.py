"""Protocols keep their meaning, and the page of recipes its truth."""

import pytest

from mmc2fmae.configs import ROOT
from mmc2fmae.reproduce import configs
from mmc2fmae.reproduce.plan import protocol_digest
from mmc2fmae.reproduce.recipes import PAGE, recipe, recipes_markdown
from mmc2fmae.reproduce.table_files import load_suite


@pytest.mark.parametrize('name', load_suite().protocols)
def test_a_protocol_means_what_it_meant(name):
    suite = load_suite()
    protocol = suite.protocols[name]
    found = protocol_digest(protocol, suite)
    assert protocol.digest == found, (
        f'{protocol.config} is no longer what {name} means: give it the next version in '
        f'configs/tables/suite.yaml (and in the tables), with digest {found}'
    )


def test_the_page_of_recipes_is_that_of_the_configs():
    assert PAGE.read_text() == recipes_markdown(), 'run python tools/reproduce.py recipes'


def test_a_recipe_is_read_from_the_config():
    found = recipe(configs.read_config(ROOT / 'configs/cls/vitb_ft_100e.py'))
    assert found['base rate'] == '0.0005' and found['rate'] == '0.004'
    assert found['layer decay'] == '0.65' and found['drop path'] == '0.1'
    assert 'RandAugment 9/0.5' in found['augmentation'] and 'mixup 0.8' in found['augmentation']
    scratch = recipe(configs.read_config(ROOT / 'configs/cls/vitb_scratch_300e.py'))
    assert scratch['length'] == '300 epochs' and scratch['weight decay'] == '0.3'
    assert scratch['schedule'].startswith('linear warm-up over 20 epochs')


def test_the_rate_that_leaves_the_print_is_listed():
    line = next(line for line in recipes_markdown().splitlines() if '| learning rate |' in line)
    assert '| 0.003 | 0.0003 |' in line


def test_where_data_lies_and_how_it_is_read_changes_no_digest():
    path = ROOT / 'configs/cls/vitb_ft_100e.py'
    plain = configs.digest(configs.read_config(path))
    same = {
        'train_dataloader.dataset.data_root': '/elsewhere',
        'train_dataloader.num_workers': 1,
        'default_hooks.logger.interval': 7,
    }
    assert configs.digest(configs.read_config(path, same)) == plain
    other = {'model.backbone.drop_path_rate': 0.2}
    assert configs.digest(configs.read_config(path, other)) != plain
    assert configs.changes(configs.read_config(path), configs.read_config(path, other)) == [
        'model.backbone.drop_path_rate 0.1 -> 0.2'
    ]
