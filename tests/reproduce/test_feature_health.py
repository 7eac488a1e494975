"""Reports say how healthy the features of a pre-training are, and where they collapsed."""

import csv
import json

import pytest

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.feature_health import health_notes
from mmc2fmae.reproduce.report import make_report
from mmc2fmae.reproduce.report_html import to_html
from mmc2fmae.reproduce.report_text import to_csv, to_markdown
from tests.reproduce.test_report import run

ARCHS = {  # arch of the encoder, what the note says of its width, and of 15 % of it
    'a dict': ('dict(embed_dims=100)', ' of 100', '15.0'),
    'a name': ("'deit-tiny'", ' of 192', '28.8'),
    'another kind': ("'no-vit'", '', ''),
}


def log(bench, plan, seed, *pairs):
    """Write what the probe of the pre-training of row a would log: (RankMe, effective rank)."""
    (key,) = plan.cells['tablea', 'a', seed]
    folder = results.stage_folder(bench.work_dir, plan.stages[key].upstream)
    with open(sorted(folder.glob('*/vis_data/scalars.json'))[0], 'a') as file:
        for step, (rankme, effective) in enumerate(pairs):
            probe = {'probe/rankme': rankme, 'probe/effective_rank': effective, 'step': step}
            file.write(json.dumps(probe) + '\n')


@pytest.mark.parametrize('arch', ARCHS)
def test_the_last_ranks_of_each_seed_are_told_and_who_collapsed(bench, arch):
    code, of, least = ARCHS[arch]
    with open(bench.root / 'a.py', 'a') as file:
        file.write(f"model['backbone'] = dict(arch={code})\n")
    plan = bench.plan('mini', tables=['tablea'], rows=['scratch', 'a'])
    run(bench, plan)
    report = make_report(plan, bench.work_dir)
    assert health_notes(report, plan.tables[0]) == []
    log(bench, plan, 0, (3.0, 1.0), (50.0, 7.0))
    log(bench, plan, 1, (60.0, 9.0), (10.0, 2.0))
    report = make_report(plan, bench.work_dir)
    # 50 and 10: 30 and 28.28; 7 and 2: 4.5 and 3.54.
    gone = f'; collapsed, since below {least}, with seed 1 (10.0)' if least else ''
    said = (
        f'A: its pre-training ended with RankMe 30.0 ± 28.3{of}, effective rank 4.5 ± 3.5{gone} '
        '(docs/watch_run.md).'
    )
    assert health_notes(report, plan.tables[0]) == [said]
    assert said in to_markdown(report, bench.work_dir) and said in to_html(report, bench.work_dir)
    lines = list(csv.DictReader(to_csv(report).splitlines()))
    ranks = {(line['row'], line['seed']): line['pretrain_rankme'] for line in lines}
    assert ranks == {
        ('scratch', '0'): '',
        ('scratch', '1'): '',
        ('a', '0'): '50.0',
        ('a', '1'): '10.0',
    }


def test_a_pre_training_that_is_under_way_has_not_ended_with_anything(bench):
    plan = bench.plan('mini', tables=['tablea'], rows=['a'])
    run(bench, bench.plan('mini', tables=['tablea'], rows=['a'], seeds=[0]))
    log(bench, plan, 0, (50.0, 7.0))
    (key,) = plan.cells['tablea', 'a', 1]
    logs = results.stage_folder(bench.work_dir, plan.stages[key].upstream) / '1' / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'scalars.json').touch()
    log(bench, plan, 1, (96.0, 14.0))
    (note,) = health_notes(make_report(plan, bench.work_dir), plan.tables[0])
    assert 'RankMe 50.0 of 768, effective rank 7.0;' in note
