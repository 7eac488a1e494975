"""`mmc2fmae configs` says what each config is called and what it is for."""

from mmc2fmae import configs
from mmc2fmae.cli import main


def test_a_config_stands_beside_what_it_is_for(capsys):
    assert main(['configs', 'mini/s']) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, _, what = line.partition('  ')
    assert name == 'mmc2fmae::mini/seg.py'
    assert what == ('UperNet on the built-in scenes: the recipe of configs/seg/, in miniature.')


def test_descriptions_start_in_one_column(capsys):
    assert main(['configs', 'upernet_']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert len({line.index('UperNet') for line in lines if 'UperNet' in line[60:]}) == 1


def test_a_config_is_found_by_what_it_is_for_in_any_case(capsys):
    assert main(['configs', 'mask r-cnn WITH vit-b']) == 0
    assert capsys.readouterr().out.startswith('mmc2fmae::det/mask_rcnn_vitb_1x_coco.py ')


def test_every_config_says_what_it_is_for_in_one_sentence():
    assert [name for name in configs.names() if not configs.summary(name).endswith('.')] == []


def test_a_config_without_a_docstring_says_nothing(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("lr = 1\n'''no docstring'''\n")
    assert configs.summary(path) == ''
