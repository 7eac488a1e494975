"""The checker finds what is wrong on a page, and says where."""

from pathlib import Path

import pytest

from tests.docs.checker import check_page
from tests.docs.commands import check_fields
from tests.docs.pages import Page

OWN = 'configs/pretrain/c2fmae_own_data.py'


def check(text: str) -> list[str]:
    return check_page(Page(Path('docs/example.md'), text))


def block(line: str, language: str = 'bash') -> str:
    return f'# Title\n\n```{language}\n{line}\n```\n'


@pytest.mark.parametrize(
    'line',
    [
        f'python tools/train.py {OWN} --data-root X --amp   # a comment',
        f'bash tools/dist_train.sh {OWN} 8 \\\n    --cfg-options train_cfg.max_epochs=3',
        f'JOBS=1 torchrun --nproc_per_node 8 tools/train.py {OWN} --launcher pytorch',
        'python tools/reproduce.py run table1 --preset mini && make JOBS=1 mini',
        "pip install -e '.[lite,web]'",
        'python -m mmc2fmae.env',
        'git clone ADDRESS',
    ],
)
def test_right_commands_pass(line):
    assert check(block(line)) == []


@pytest.mark.parametrize(
    ('line', 'problem'),
    [
        ('python tools/trian.py x', 'there is no tools/trian.py'),
        ('bash tools/dist_trian.sh x 8', 'there is no tools/dist_trian.sh'),
        ('pyhton tools/train.py x', 'no such command: pyhton'),
        (f'python tools/train.py {OWN} --lerning-rate 1', 'unrecognized arguments'),
        (f'python tools/train.py {OWN} --total 8', 'unrecognized arguments'),  # abbreviated
        (f'bash tools/dist_train.sh {OWN} 8 --lerning-rate 1', 'unrecognized arguments'),
        (f'bash tools/dist_train.sh {OWN} --amp', 'GPUS is --amp, expected a number'),
        (f'bash tools/dist_train.sh {OWN}', 'needs CONFIG GPUS'),
        (f'python tools/train.py {OWN} --amp int8', "invalid choice: 'int8'"),
        ('python tools/eval_robustness.py configs/cls/vitb_ft_100e.py', 'required: checkpoint'),
        ('python tools/reproduce.py rum table1', "invalid choice: 'rum'"),
        (
            'python tools/train.py configs/pretrain/c2fame.py',
            'there is no configs/pretrain/c2fame.py',
        ),
        (f'python tools/train.py {OWN} --cfg-options modle.head=1', 'no config field modle.head'),
        (
            f'python tools/train.py {OWN} --cfg-options model.backbone.pathc_size=8',
            f'no config field model.backbone.pathc_size in {OWN}',
        ),
        (f'python tools/train.py {OWN} --cfg-options custom_hooks.99.x=1', 'custom_hooks.99.x'),
        ('make mini  # or --resmue', 'has an option --resmue'),
        ('make dmeo', 'the Makefile has no target dmeo'),
        ('make JOB=1 demo', 'the Makefile has no variable JOB'),
        ("pip install -e '.[weeb]'", 'pyproject.toml has no extra weeb'),
        ('python -m mmc2fmae.evn', 'there is no module mmc2fmae.evn'),
    ],
)
def test_wrong_commands_are_found(line, problem):
    (found,) = check(block(line))
    assert found.startswith('docs/example.md:4: ')
    assert problem in found


@pytest.mark.parametrize(
    'text',
    [
        '`tools/train.py CONFIG --resume [CKPT]`',
        '`--amp [bfloat16\\|float16]`, `--cfg-options KEY=VALUE ...`',
        'See [the title](#a-title), [the notes](paper_notes.md), [a config](../configs/pretrain).',
        '`configs/mini/pretrain/ROW_mini_scenes.py`, `tools/*.sh`, `mmc2fmae/masking/`',
        '`mmc2fmae.checkpoints.build_backbone(FILE)`',
        # Not in the config, but an argument of the class that it builds.
        f'`{OWN}` with `model.init_cfg=None`',
        '`robustness.json`, `train`, `__init__`',
    ],
)
def test_right_sentences_pass(text):
    assert check(f'# A title\n\n{text}\n') == []


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('`tools/trian.py CONFIG`', 'there is no tools/trian.py'),
        ('`tools/train.py CONFIG --resmue`', 'has no option --resmue'),
        (
            '`tools/reproduce.py rum`',
            'rum is none of the commands plan, run, report, adopt, recipes',
        ),
        ('`--resmue`', 'has an option --resmue'),
        ('`make dmeo`', 'the Makefile has no target dmeo'),
        (f'`{OWN}`\n`--cfg-options train_cfg.max_epoch=3`', 'no config field train_cfg.max_epoch'),
        (f'`{OWN}` with\n`model.neck.dmis=256`', 'no config field model.neck.dmis'),
        ('`configs/pretrain/c2fame.py`', 'there is no configs/pretrain/c2fame.py'),
        (f'`{OWN} --resmue`', 'has an option --resmue'),
        ('`mmc2fmae/maskings/`', 'there is no mmc2fmae/maskings/'),
        ('`mmc2fmae.checkpoints.build_bakcbone(FILE)`', 'build_bakcbone'),
        ('[notes](papre_notes.md)', 'there is no papre_notes.md'),
        ('[notes](paper_notes.md#no-such)', 'docs/paper_notes.md has no heading #no-such'),
        ('[here](#titel)', 'docs/example.md has no heading #titel'),
    ],
)
def test_wrong_sentences_are_found(text, problem):
    (found,) = check(f'# Title\n\n{text}\n')
    assert problem in found


def test_imports_of_python_examples_are_checked():
    right = 'from mmc2fmae.checkpoints import build_backbone, read_backbone  # both'
    assert check(block(right, 'python')) == []
    (found,) = check(block('from mmc2fmae.checkpoints import build_bakcbone', 'python'))
    assert 'there is no mmc2fmae.checkpoints.build_bakcbone' in found


def test_a_field_is_also_found_by_the_type_of_its_part():
    assert check_fields(['ProgressiveMasking.num_visible=9'], [OWN]) == []
    assert check_fields(['ProgressiveMasking.num_visibel=9', 'NoSuch.x=1'], [OWN]) == [
        f'no config field ProgressiveMasking.num_visibel in {OWN}',
        f'no config field NoSuch.x in {OWN}',
    ]
