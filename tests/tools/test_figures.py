"""tools/figures.py as a user starts it."""
# ruff: noqa: F811

import json
import runpy

import pytest
import torch

from tests.datasets.conftest import data_root, pipeline  # noqa: F401  (fixtures)
from tests.models.conftest import build, config  # noqa: F401  (fixtures)
from tests.visualization.figures.conftest import checkpoint  # noqa: F401  (fixture)


def test_a_checkpoint_alone_gives_figure_5(checkpoint, tmp_path, python):
    out = tmp_path / 'out' / 'fig5'
    run = python('tools/figures.py', 'cross', str(checkpoint), '--samples', '2', '--out', str(out))
    assert run.returncode == 0, run.stderr
    assert all(out.with_suffix(suffix).is_file() for suffix in ('.png', '.pdf'))
    record = json.loads(out.with_suffix('.json').read_text())
    assert record['figure'] == 'cross' and record['seed'] == 0 and len(record['shown']) == 2
    assert len(record['checkpoints'][0]['sha256']) == 64
    assert record['command'].startswith('tools/figures.py cross ')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['attention', '{run}', '--images', '{empty}'], 'holds no images'),
        (
            ['attention', '{run}', '--images', '{photo}', '--num-heads', '2', '--query', '9,9'],
            'outside of the 4 x 4',
        ),
        (['pca', '{encoder}', '--images', '{photo}', '--labels', 'a', 'b'], '2 labels for 1'),
        (['reconstruct', '{encoder}'], 'does not carry its config'),
        (['reconstruct', '{run}', '--images', '{photo}'], 'no instance and no semantic map'),
        (['cross', '{run}', '--granularity', 'depth'], "granularity 'depth'"),
        (['sparse', '{run}', '--maps', 'instance'], 'expected GRANULARITY=FOLDER'),
        (['reconstruct', '{run}', '--samples', '0'], 'expected a number above 0'),
    ],
)
def test_mistakes_are_one_line(
    checkpoint, data_root, tmp_path, monkeypatch, capsys, options, message
):
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    encoder = tmp_path / 'encoder.pth'
    torch.save({k: v for k, v in weights.items() if k.startswith('backbone.')}, encoder)
    (tmp_path / 'empty').mkdir()
    places = dict(
        run=checkpoint,
        encoder=encoder,
        empty=tmp_path / 'empty',
        photo=next((data_root / 'train').rglob('*.JPEG')),
    )
    words = [option.format(**places) for option in options]
    monkeypatch.setattr('sys.argv', ['figures.py', *words, '--out', str(tmp_path / 'x')])
    with pytest.raises(SystemExit) as exit_status:
        runpy.run_path('tools/figures.py', run_name='__main__')
    assert exit_status.value.code != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'x.png').exists()
