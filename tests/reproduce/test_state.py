"""State files that a crash, a full disk or a hand has damaged."""

import json

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.report import MixedProtocols, make_report
from mmc2fmae.reproduce.report_text import to_csv, to_markdown
from tests.reproduce.test_report import run

TEXTS = (
    '', '{', '[]', '[{}]', '{}', 'null', '0', '1e999', '"x"', 'true', '<!doctype html>', '\0' * 64,
    '[' * 99999, 'NaN', '{"metrics":', '{"attempts": 3}',
)  # fmt: skip
VALUES = (..., None, [], {}, [[]], {'x': []}, '', 'x', True, 10**400, float('nan'), -1.5)


def damaged(text):
    """Yield damaged versions of a JSON object: other texts, and every field as something else."""
    yield from TEXTS
    yield text[: len(text) // 2]
    whole = json.loads(text)
    for name in whole:
        for value in VALUES:  # ... takes it away
            changed = {k: v for k, v in whole.items() if k != name}
            yield json.dumps(changed if value is ... else changed | {name: value})


def test_no_damaged_state_file_ends_in_a_traceback(bench, capsys):
    plan = bench.plan('mini', tables=['tablea'], rows=['a'])
    run(bench, plan)
    (key,) = plan.cells['tablea', 'a', 0]
    stage = plan.stages[key]
    folder, tried = results.stage_folder(bench.work_dir, stage), 0
    for name in ('result.json', 'stage.json'):
        path = folder / name
        whole = path.read_text()
        for text in damaged(whole):
            path.write_text(text)
            try:
                report = make_report(plan, bench.work_dir)
                to_markdown(report, bench.work_dir / 'report')
                to_csv(report)
            except MixedProtocols:  # one line, and no number of it is used
                assert json.loads(text)['protocol'] != stage.protocol.id
            results.last_attempt(bench.work_dir, stage)
            waiting = results.pending(bench.work_dir, plan.stages)
            if path.exists():  # such a value may stand there
                if name == 'result.json' and stage not in waiting:
                    assert json.loads(text)['metrics']['top1']['value'] >= 0
            else:
                assert (stage in waiting) == (name == 'result.json')
                assert path.with_name(f'{name}.damaged').read_text() == text
            tried += 1
        path.write_text(whole)
    assert tried > 400
    assert 'result.json is damaged' in capsys.readouterr().err


def test_a_run_does_damaged_stages_again_and_nothing_else(bench):
    plan = bench.plan('mini', tables=['tablea'], rows=['a'])
    run(bench, plan)
    before = len(bench.started())
    (key,) = plan.cells['tablea', 'a', 0]
    stage = plan.stages[key]
    folder = results.stage_folder(bench.work_dir, stage)
    whole = json.loads((folder / 'result.json').read_text())
    for text in TEXTS:
        (folder / 'result.json').write_text(text)
        (folder / 'stage.json').write_text(text)
        (bench.work_dir / 'runs.jsonl').write_text(text)
    run(bench, plan)
    assert len(bench.started()) == before + 1
    again = json.loads((folder / 'result.json').read_text())
    assert again['metrics'] == whole['metrics']


def test_a_damaged_record_of_runs_is_set_aside(bench):
    plan = bench.plan('mini', tables=['tablea'], rows=['scratch'])
    for text in TEXTS:
        path = bench.work_dir / 'runs.jsonl'
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        run(bench, plan)
        last = path.read_text(encoding='utf-8').splitlines()[-1]
        assert json.loads(last)['preset'] == 'mini'
