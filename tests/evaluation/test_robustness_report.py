import json

import pytest

from mmc2fmae.evaluation.robustness_report import own_score, summarise_score
from mmc2fmae.reproduce.collect import _of_set

ALL, OWN = dict(value=50.0, standard_error=1.0), dict(value=75.0, standard_error=2.0)


def test_the_score_that_counts_is_read_by_name_whatever_the_order():
    summary = dict(scored_over='200 classes', top1={'1000 classes': ALL, '200 classes': OWN})
    assert own_score(summary) == ('200 classes', OWN)
    sets = dict(a=summary, c=dict(source='files', mCE=40.0))
    score = summarise_score(dict(protocol='s@1', top1=['a'], corruptions='c'), sets)
    assert score['value'] == (75 + 60) / 2
    assert score['made_of'][0] == 'a (200 classes)'


def test_results_from_before_the_field_have_it_first():
    old = json.loads(json.dumps(dict(top1={'200 classes': OWN, '1000 classes': ALL})))
    assert own_score(old) == ('200 classes', OWN)


@pytest.mark.parametrize('fields', [{}, dict(scored_over='200 classes')])
def test_results_of_a_stage_are_read_with_and_without_the_field(tmp_path, fields):
    report = dict(sets=dict(a=fields | dict(top1={'200 classes': OWN, '1000 classes': ALL})))
    assert _of_set(report, 'a', tmp_path) == OWN
