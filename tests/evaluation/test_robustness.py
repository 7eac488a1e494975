"""Whole evaluations of the nearest-colour classifier, whose answers are known by hand."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.evaluation import robustness_data, robustness_sets
from mmc2fmae.evaluation.corruption_error import ALEXNET_ERRORS, CORRUPTIONS, SEVERITIES
from mmc2fmae.evaluation.robustness import evaluate_robustness
from tests.conftest import ROOT, environment
from tests.evaluation.colours import COLOURS, MeanColour, paint, write_model

SETS = """
robustness = dict(
    sets={
        'hues': dict(
            kind='folder', protocol='hues@1', folder='hues', subset=['red', 'green', 'blue']
        ),
        'all': dict(kind='folder', protocol='all@2', folder='all'),
        'broken': dict(kind='corruptions', protocol='broken@1', folder='broken', alexnet=True),
    },
    score=dict(protocol='score@1', top1=['hues', 'all'], corruptions='broken'),
)
"""


@pytest.fixture
def place(tmp_path):
    """Model, sets and data: 4, 6 and 75 x 5 images."""
    write_model(tmp_path)
    (tmp_path / 'sets.py').write_text(SETS)
    data = tmp_path / 'data'
    # Three of four are right among the hues, two of four among all five classes.
    paint(data / 'hues/red/1.png', 'red')
    paint(data / 'hues/green/1.png', 'green')
    paint(data / 'hues/blue/1.png', 'red')
    paint(data / 'hues/red/2.png', 'pink')  # nearest to white, of the hues to red
    for name in COLOURS:
        paint(data / 'all' / name / '1.png', name)
    paint(data / 'all/white/2.png', 'black')
    # At severity s, s of five are wrong: 20 s %.
    for corruption in CORRUPTIONS:
        for severity in SEVERITIES:
            for i, name in enumerate(COLOURS):
                wrong = 'green' if name == 'red' else 'red'
                path = data / 'broken' / corruption / str(severity) / name / 'x.png'
                paint(path, wrong if i < severity else name)
    return tmp_path


def evaluate(place, out='out', **options):
    options = dict(data_root=place / 'data', out=place / out, workers=0) | options
    return evaluate_robustness(
        place / 'colours.py', place / 'colours.pth', place / 'sets.py', **options
    )


def test_known_answers_give_known_numbers(place):
    report = evaluate(place)
    hues, everything, broken = report['sets'].values()
    assert hues['top1']['3 classes']['value'] == 75
    assert hues['top1']['5 classes']['value'] == 50
    assert hues['top1']['3 classes']['standard_error'] == pytest.approx(21.65, abs=0.01)
    assert hues['scored_over'] == '3 classes'
    assert everything['top1']['5 classes']['value'] == pytest.approx(500 / 6)
    assert len(broken['cells']) == 75
    assert {c['value'] for c in broken['cells'] if c['severity'] == 2} == {40}
    assert broken['mean_error'] == pytest.approx(60)
    mce = sum(6000 / ALEXNET_ERRORS[name] for name in CORRUPTIONS) / 15
    assert broken['mCE'] == pytest.approx(mce)
    assert report['score']['value'] == pytest.approx((75 + 500 / 6 + 100 - mce) / 3)


def test_outputs_hold_and_label_the_numbers(place):
    report = evaluate(place)
    assert json.loads((place / 'out/robustness.json').read_text()) == json.loads(json.dumps(report))
    assert report['status'] == 'complete' and report['sets']['all']['protocol'] == 'all@2'
    assert len(report['model']['sha256']) == 64
    with open(place / 'out/robustness.csv') as file:
        lines = list(csv.DictReader(file))
    by_metric = {(line['set'], line['metric']): line for line in lines if not line['corruption']}
    assert float(by_metric['hues', 'top-1, 3 classes (%)']['value']) == 75
    assert float(by_metric['hues', 'top-1, 5 classes (%)']['value']) == 50
    assert float(by_metric['broken', 'mean error, not normalised (%)']['value']) == 60
    assert ('broken', 'mCE relative to AlexNet (%)') in by_metric
    assert sum(bool(line['severity']) for line in lines) == 75
    text = (place / 'out/robustness.md').read_text()
    assert '75.00 ± 21.65' in text and 'Status: **complete**' in text
    assert '| gaussian_noise    | 20.00      | 40.00 ' in text


def test_order_and_names_of_folders_on_disk_do_not_matter(place):
    expected = evaluate(place)['score']
    shuffled = place / 'shuffled'
    for name in sorted((p.name for p in (place / 'data/all').iterdir()), reverse=True):
        shutil.copytree(place / 'data/all' / name, shuffled / 'all' / name)
    for name in ('hues', 'broken'):
        shutil.copytree(place / 'data' / name, shuffled / name)
    options = {'robustness.sets.hues.subset': ['blue', 'red', 'green']}
    found = evaluate(place, 'other', data_root=shuffled, cfg_options=options)
    assert found['score'] == expected


def test_nothing_is_evaluated_twice(place):
    first = evaluate(place)
    calls = MeanColour.calls
    assert evaluate(place, batch_size=1)['sets'] == first['sets']
    assert MeanColour.calls == calls + 3  # one trial image a set


def test_loader_workers_and_batches_do_not_matter(place):
    expected = evaluate(place, only=['hues'])
    assert (
        evaluate(place, 'other', only=['hues'], batch_size=1, workers=2)['sets'] == expected['sets']
    )


def test_another_checkpoint_is_evaluated_anew(place):
    evaluate(place)
    weights = torch.load(place / 'colours.pth')
    weights['state_dict']['head.fc.bias'] = torch.tensor([9.0, 0, 0, 0, 0])  # everything is red
    torch.save(weights, place / 'colours.pth')
    assert evaluate(place)['sets']['hues']['top1']['3 classes']['value'] == 50


def test_sets_can_be_evaluated_one_after_the_other(place):
    report = evaluate(place, only=['hues', 'broken'])
    assert report['score']['missing'] == ['all']
    assert 'No score: all' in (place / 'out/robustness.md').read_text()
    calls = MeanColour.calls
    assert 'value' in evaluate(place)['score']
    assert MeanColour.calls == calls + 3 + 1  # trials, and one batch of the set that was missing


def test_units_are_parts_of_cells(place, monkeypatch):
    expected = evaluate(place)
    monkeypatch.setattr(robustness_sets, 'CHUNK', 2)
    found = evaluate(place, 'chunked')
    assert found['score'] == expected['score']
    assert len(list((place / 'out/cells').glob('*/*-*.json'))) == 2 + 75
    assert len(list((place / 'chunked/cells').glob('*/*-*.json'))) == 2 + 3 + 75 * 3


def test_smoke_run_is_no_result(place):
    whole = evaluate(place)
    smoke = evaluate(place, limit=2)
    assert smoke['sets']['all']['images'] == 2
    assert smoke['status'] == 'smoke run (--limit 2), not a result'
    for suffix in ('json', 'csv', 'md'):
        assert 'not a result' in (place / f'out/robustness_smoke.{suffix}').read_text()
    assert json.loads((place / 'out/robustness.json').read_text())['score'] == whole['score']
    assert evaluate(place)['score'] == whole['score']


def test_a_sample_may_be_part_of_the_protocol(place):
    report = evaluate(place, cfg_options={'robustness.sets.broken.sample': 2})
    # Black and green are taken: green is wrong from severity 2 on, black at 5 alone.
    assert report['sets']['broken']['mean_error'] == pytest.approx((0 + 50 + 50 + 50 + 100) / 5)
    assert report['sets']['broken']['images'] == 150 and report['status'] == 'complete'


def test_limit_spreads_over_the_classes():
    listing = robustness_sets.Listing([f'{i // 5}/{i}' for i in range(10)], [0] * 5 + [1] * 5)
    assert robustness_sets.pick(listing, 4) == (['0/0', '0/2', '1/5', '1/7'], [0, 0, 1, 1])
    assert robustness_sets.pick(listing, None) == robustness_sets.pick(listing, 99) == listing


def test_one_process_finishes_what_two_began(place):
    command = ['bash', 'tools/dist_eval_robustness.sh', 'colours.py', 'colours.pth', '2']
    command[2:4] = [str(place / name) for name in command[2:4]]
    command += ['--sets', place / 'sets.py', '--data-root', place / 'data', '--out', place / 'out']
    killed = subprocess.run(
        [*map(str, command), '--workers', '0'],
        cwd=ROOT,
        # Process 1 dies in its 20th forward pass, 3 of which are trials.
        env=environment(PYTHON=sys.executable, PORT='29631', DIE_AT='1:20'),
        capture_output=True,
        text=True,
    )
    assert killed.returncode != 0
    assert not (place / 'out/robustness.json').exists()
    kept = {p: p.stat().st_mtime_ns for p in (place / 'out/cells').glob('*/*-*.json')}
    assert 16 <= len(kept) < 77, killed.stderr
    report = evaluate(place)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    undisturbed = evaluate(place, 'undisturbed')
    assert report['sets'] == undisturbed['sets'] and report['score'] == undisturbed['score']


def test_corrupted_on_the_fly_is_said_everywhere(place):
    pytest.importorskip('imagecorruptions')
    options = {
        'robustness.sets.broken.kind': 'on_the_fly',
        'robustness.sets.broken.folder': 'all',
        'robustness.sets.broken.alexnet': False,
    }
    report = evaluate(place, cfg_options=options)
    broken = report['sets']['broken']
    label = 'not the official ImageNet-C'
    assert label in broken['source'] and 'imagecorruptions-imaug 1.' in broken['source']
    assert label in report['score']['source']
    assert 'mean error, not normalised' in report['score']['made_of'][-1] and 'mCE' not in broken
    assert 0 < broken['mean_error'] < 100
    for suffix in ('csv', 'md'):
        assert label in (place / f'out/robustness.{suffix}').read_text()


def test_cells_that_are_made_together_are_counted_apart(place, monkeypatch):
    # As in the files of the set: at severity s, the first s of five colours are wrong.
    def wrong(image, corruption, severity, key):
        name = key.split('/')[0]
        changed = [*COLOURS].index(name) < severity
        paints = np.uint8(COLOURS['green' if name == 'red' else 'red'])
        return np.broadcast_to(paints, image.shape) if changed else image

    monkeypatch.setattr(robustness_data, 'corrupt', wrong)
    monkeypatch.setattr(robustness_sets, 'require_library', lambda: 'a stand-in')
    monkeypatch.setattr(robustness_sets, 'CHUNK', 4)
    shutil.rmtree(place / 'data/all/white')
    paint(place / 'data/all/white/1.png', 'white')
    options = {
        'robustness.sets.broken.kind': 'on_the_fly',
        'robustness.sets.broken.folder': 'all',
    }
    how = dict(only=['broken'], batch_size=7, cfg_options=options)
    broken = evaluate(place, **how)['sets']['broken']
    assert len(broken['cells']) == 75
    assert all(c['value'] == pytest.approx(20 * c['severity']) for c in broken['cells'])
    gone = [*(place / 'out/cells').glob('*/fog-[24].0-4.json')]
    for path in gone:  # of a pass, some units may be there
        path.unlink()
    assert len(gone) == 2 and evaluate(place, **how)['sets']['broken'] == broken


def test_low_accuracy_hints_at_the_labels(place, capsys):
    for name in COLOURS:
        paint(place / 'data/all' / name / '1.png', 'green' if name == 'red' else 'red')
    paint(place / 'data/all/white/2.png', 'red')
    evaluate(place, only=['hues', 'all'])
    lines = [line for line in capsys.readouterr().out.splitlines() if 'order of the' in line]
    assert len(lines) == 1 and lines[0].startswith('all: top-1 is 0.00 %')


@pytest.mark.parametrize('gone', ['fog', 'fog/3'])
def test_missing_corruption_is_named(place, gone):
    shutil.rmtree(place / 'data/broken' / gone)
    with pytest.raises(FileNotFoundError, match=r'are missing: .*fog/3'):
        evaluate(place)
    assert not (place / 'out').exists() or not list((place / 'out').glob('cells/*/*-*.json'))


def test_cells_of_other_images_are_refused(place):
    (place / 'data/broken/snow/4/red/x.png').rename(place / 'data/broken/snow/4/red/y.png')
    with pytest.raises(ValueError, match=r'snow/4 and .*gaussian_noise/1 differ in 2 files'):
        evaluate(place)


def bad(place, **options):
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError)) as caught:
        evaluate(place, cfg_options=options)
    return str(caught.value)


def test_bad_configs_are_explained(place):
    message = bad(place, **{'robustness.sets.all.images': 7})
    assert 'has 6 images, all@2 has 7' in message
    message = bad(place, **{'robustness.sets.all.protocol': 'all'})
    assert "protocol is 'all', expected one like in-a@1" in message
    assert "kind is 'files'" in bad(place, **{'robustness.sets.all.kind': 'files'})
    assert "fields ['subsets'] are not known" in bad(place, **{'robustness.sets.all.subsets': 1})
    message = bad(place, **{'robustness.sets.hues.subset': ['red', 'green', 'blue', 'pink']})
    assert "['pink'] of the subset are no classes" in message
    message = bad(place, **{'test_dataloader.dataset.pipeline': []})
    assert 'needs a pipeline with PackInputs' in message
    with pytest.raises(ValueError, match='--only sketch: the config has'):
        evaluate(place, only=['sketch'])
    (place / 'sets.py').write_text('model = dict()')
    with pytest.raises(ValueError, match='no field robustness'):
        evaluate(place)
    (place / 'sets.py').unlink()
    with pytest.raises(FileNotFoundError, match=r'sets\.py does not exist'):
        evaluate(place)


def test_classes_in_another_order_than_the_checkpoint_are_refused(place):
    message = bad(place, **{'robustness.classes': sorted(COLOURS)})
    assert "output 0 is 'red', not 'black'" in message


def test_checkpoint_without_classes_asks_for_them(place):
    weights = torch.load(place / 'colours.pth')
    torch.save(weights['state_dict'], place / 'colours.pth')
    assert 'set robustness.classes' in bad(place)
    assert 'value' in evaluate(place, cfg_options={'robustness.classes': list(COLOURS)})['score']


def test_models_that_do_not_fit_are_refused_at_once(place):
    options = {'robustness.classes': [*COLOURS, 'pink']}
    with pytest.raises(ValueError, match=r'has 5 outputs, robustness\.classes names 6'):
        evaluate(place, only=['hues'], cfg_options=options)
    with pytest.raises(CheckpointMismatch, match=r'head\.fc\.weight: \(5, 3\) in the file'):
        evaluate(place, cfg_options={'model.head.num_classes': 1000})
    (place / 'colours.pth').unlink()
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*colours\.pth does not exist'):
        evaluate(place)


def test_outputs_that_are_not_finite_are_refused(place):
    weights = torch.load(place / 'colours.pth')
    weights['state_dict']['head.fc.weight'].fill_(3e38)  # finite, but no sum of two is
    torch.save(weights, place / 'colours.pth')
    assert 'outputs are not finite for images like' in bad(place)


def test_averaged_and_raw_weights_have_results_of_their_own(place):
    good = torch.load(place / 'colours.pth')
    weights = good.get('state_dict', good)
    # The averaged weights answer 0 to all, which is right for none of the hues.
    averaged = {name: torch.zeros_like(value) for name, value in weights.items()}
    torch.save(dict(good, state_dict=weights, state_dict_ema=averaged), place / 'colours.pth')
    found = {
        which: evaluate(place, only=['hues'], weights=which)['sets']['hues']
        for which in ('raw', 'ema', None)
    }
    assert found['raw']['top1']['3 classes']['value'] == 75
    assert found[None]['top1'] == found['raw']['top1'] != found['ema']['top1']
    assert len({one['cache'] for one in found.values()}) == 3
