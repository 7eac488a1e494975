import json
from collections import Counter
from html.parser import HTMLParser

import pytest

from mmc2fmae.preparation.findings import Finding
from mmc2fmae.preparation.report import EXAMPLES, describe, summarise, write_report
from mmc2fmae.preparation.scan import Scan
from mmc2fmae.preparation.statistics import Statistics

SETTINGS = dict(root='/data/<set>', granularities=['instance', 'semantic'], num_instances=3)
STATS = Statistics(
    modes=Counter(RGB=3, CMYK=1),
    sizes=Counter({(10, 20): 3, (30, 5): 1}),
    instances=Counter({0: 1, 2: 2, 40: 1}),
    covered=Counter({0.0: 1, 0.5: 2, 1.0: 1}),
    dropped=0.2,
    known=Counter({1.0: 3, 0.6: 1}),
    class_shares=Counter({0: 1.0, 1: 2.6, 255: 0.4}),
    class_photographs=Counter({0: 2, 1: 3, 255: 1}),
)


def report(*findings: Finding, stats: Statistics = STATS) -> tuple[dict, Scan]:
    scan = Scan(4, ['a.jpg', 'caf\udce9.jpg'], list(findings), stats)
    return summarise(scan, SETTINGS, ('sky', 'sea')), scan


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags, self.text = [], ''
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_statistics_are_means_over_photographs():
    found = report()[0]['statistics']
    assert found['photographs'] == dict(
        modes=dict(RGB=3, CMYK=1), smallest=(30, 5), largest=(10, 20)
    )
    instance = found['instance']
    assert instance['per_image'] == {0: 1, 2: 2, 40: 1}
    assert instance['coverage']['mean'] == 0.5
    assert [(i, n) for i, n in enumerate(instance['coverage']['bins']) if n] == [
        (0, 1),
        (10, 2),
        (19, 1),
    ]
    assert instance['dropped'] == pytest.approx(0.05)
    assert found['semantic']['coverage']['mean'] == pytest.approx(0.9)
    assert found['semantic']['classes'] == [
        dict(id=1, name='sea', share=pytest.approx(0.65), photographs=3),
        dict(id=0, name='sky', share=0.25, photographs=2),
        dict(id=255, name='unknown', share=pytest.approx(0.1), photographs=1),
    ]


def test_findings_are_counted_by_kind_and_sorted_into_defects_and_warnings():
    found, _ = report(
        *[Finding('empty', f'{i}.png') for i in range(2)],
        *[Finding('map', f'{i}.png', 'cut off') for i in range(EXAMPLES + 5)],
        Finding('unseen', detail='3 cat'),
    )
    (defect,) = found['defects']
    assert (defect['kind'], defect['count']) == ('map', EXAMPLES + 5)
    assert defect['examples'][-1] == dict(file=f'{EXAMPLES - 1}.png', detail='cut off')
    assert [(w['kind'], w['count'], w.get('share')) for w in found['warnings']] == [
        ('empty', 2, 0.5),
        ('unseen', 1, None),
    ]
    text = describe(found)
    assert 'warning: no instance: 2 (50.0%)\n  0.png\n  1.png\n' in text
    assert f'  4.png: cut off\n  and {EXAMPLES} more\n' in text
    assert text.endswith(f'4 photographs, 2 usable, {EXAMPLES + 5} defects')
    assert describe(report()[0]) == '4 photographs, no defects'


def test_files_hold_all_findings_and_names_as_they_are(tmp_path):
    findings = [Finding('map', f'{i}.png', 'cut off') for i in range(EXAMPLES + 5)]
    findings.append(Finding('empty', 'caf\udce9.png'))
    found, scan = report(*findings)
    write_report(tmp_path / 'out', found, scan)
    lines = (tmp_path / 'out/findings.txt').read_bytes().splitlines()
    assert lines[0] == b'defect\tmap\t0.png\tcut off'
    assert lines[-1] == b'warning\tempty\tcaf\xe9.png\t' and len(lines) == EXAMPLES + 6
    assert (tmp_path / 'out/usable.txt').read_bytes() == b'a.jpg\ncaf\xe9.jpg\n'
    saved = json.loads((tmp_path / 'out/report.json').read_text())
    assert saved['defects'] == found['defects'] and saved['usable'] == 2


def test_the_page_shows_what_is_in_the_report_and_escapes_names(tmp_path):
    name = '<script>alert(1)</script>&"\'.png'
    found, scan = report(Finding('map', name, '<b>cut</b>'), Finding('empty', 'caf\udce9.png'))
    write_report(tmp_path, found, scan)
    page = Page((tmp_path / 'report.html').read_text())
    tags = {tag for tag, _ in page.tags}
    assert not tags & {'script', 'b', 'img', 'link'}
    assert not any({'src', 'href'} & attrs.keys() for _, attrs in page.tags)
    for text in (
        *(name, '<b>cut</b>', '/data/<set>', 'caf\\udce9.png', '1 kind of defect', '65.00%'),
        *('3 RGB, 1 CMYK', '30 x 5 and 10 x 20', '11.00 a photograph, 40 at most'),
    ):
        assert text in page.text
    # Instances 0 to num_instances + 8, the last bar for all beyond; the model keeps 0, 1 and 2.
    bars = [attrs['fill'] for tag, attrs in page.tags if tag == 'rect'][:12]
    assert bars == ['var(--bar)'] * 3 + ['var(--beyond)'] * 9
    assert '11+: 1' in page.text


def test_a_report_of_unreadable_photographs_alone_is_written(tmp_path):
    found, scan = report(Finding('photograph', 'a.jpg', 'empty file'), stats=Statistics())
    write_report(tmp_path, found, scan)
    assert set(found['statistics']) == {'photographs'}
    assert 'empty file' in (tmp_path / 'report.html').read_text()
