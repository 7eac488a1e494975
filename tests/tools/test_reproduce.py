"""The command line of tools/reproduce.py."""

import pytest

from mmc2fmae.cli import main


@pytest.fixture
def tool(capsys):
    """Call the tool with arguments; returns status, stdout and stderr."""

    def call(*arguments):
        status = main(['reproduce', *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def test_plan_of_a_row_says_stages_hours_and_disk(tool, tmp_path):
    status, out, _ = tool('plan', 'table1', '--rows', 'mae-400e', '--work-dir', tmp_path)
    assert status == 0
    assert '2 distinct stages: 1 pretrain, 1 classification' in out
    assert 'all of them: 156 GPU hours' in out and '8 devices' in out
    assert 'estimated: classification, pretrain' in out
    assert "the paper's in brackets: mae-400e 1.0 (~1.0x)" in out
    assert not list(tmp_path.iterdir())


def test_a_given_throughput_replaces_the_assumption(tool, tmp_path):
    row = ('table1', '--rows', 'mae-400e', '--work-dir', tmp_path)
    _, out, _ = tool('plan', *row, '--tflops', 39)  # half of the assumption
    assert 'all of them: 312 GPU hours' in out and '39 TFLOP/s a device, as given' in out


def test_what_waits_for_checkpoints_of_others_is_listed_and_not_counted(tool, tmp_path):
    _, out, _ = tool('plan', 'table3', '--work-dir', tmp_path)
    assert '6 distinct stages: 3 pretrain, 3 segmentation' in out
    assert 'not counted: 2 stages wait' in out and 'moco_v3_vitb.* from facebookresearch/' in out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('plan', 'tabel1'), "there is no table 'tabel1', did you mean table1?"),
        (('run', 'table5', '--rows', 'ours'), "there is no row 'ours' in table5"),
        (('plan', 'own_photographs'), 'in the preset paper: expected --preset own'),
        (('run', 'table5', '--quick'), 'the preset paper has no quick version'),
        (('run', 'table1', '--rows', 'scratch'), 'imagenet/train does not exist: see docs/classi'),
        (('run', 'table5', '--cfg-options', 'model.type.x=1'), "py with {'model.type.x': 1}"),
    ],
)
def test_wrong_requests_end_with_one_line_and_start_nothing(tool, tmp_path, arguments, message):
    status, _, err = tool(
        *arguments[:2], '--work-dir', tmp_path / 'work', '--data-root', tmp_path, *arguments[2:]
    )
    assert status == 2 and message in err
    assert not list(tmp_path.glob('work/*/stages'))


def test_report_works_before_anything_ran(tool, tmp_path):
    status, out, _ = tool('report', 'table4', '--preset', 'mini', '--work-dir', tmp_path)
    assert status == 0 and out.count('report.') == 4
    text = (tmp_path / 'mini/report/report.md').read_text()
    assert '| C2FMAE | 35.2 (-0.7) | not run |' in text
    assert "Rows of the paper's table that are left out: 1." in text
