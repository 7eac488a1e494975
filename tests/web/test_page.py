"""The page in a real browser, served by the tool as a user starts it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('uvicorn', reason="needs the extra 'web'")
playwright = pytest.importorskip('playwright.sync_api', reason='needs playwright')

from tests.conftest import ROOT, environment  # noqa: E402
from tests.web.conftest import save_run  # noqa: E402

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium') or ''
FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(),
    reason='needs Chromium (chromium on the PATH, or CHROMIUM=/path/to/it)',
)


@pytest.fixture
def url(request, checkpoint, cfg, tmp_path):
    """Start the tool on a free port; returns the address that it prints."""
    if request.param > 1:
        cfg.model.backbone.num_cls_tokens = request.param
        checkpoint = save_run(tmp_path / 'epoch_1.pth', cfg)
    tool = subprocess.Popen(
        [sys.executable, 'tools/web_demo.py', str(checkpoint), '--port', '0'],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = []
    for line in tool.stdout:
        printed.append(line)
        if found := re.match(r'http://127\.0\.0\.1:\d+', line):
            yield found[0]
            break
    else:
        pytest.fail(''.join(printed))
    tool.terminate()
    tool.wait(10)


@pytest.fixture
def page(url):
    """Open the page at the size of a small laptop; everything that it asks for is in ``asked``."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=dict(width=1366, height=768))
        page.asked, page.failures = [], []
        page.on('request', lambda request: page.asked.append(request.url))
        page.on('pageerror', lambda error: page.failures.append(str(error)))
        page.goto(url)
        page.wait_for_selector('#rgb-visible[src]')
        yield page
        assert page.failures == []
        assert all(asked.startswith((url, 'data:')) for asked in page.asked)
        browser.close()


def pictures(page):
    """Return all pictures of the page by their ids."""
    images = page.locator('#views img').all()
    return {image.get_attribute('id'): image.get_attribute('src') for image in images}


def changed_by(page, act):
    """Act, wait for the new view and return which pictures it changed."""
    before = pictures(page)
    with page.expect_response('**/api/views') as answer:
        act()
    assert answer.value.ok
    page.wait_for_selector('#views:not(.stale)')
    after = pictures(page)
    return {name for name in after if after[name] != before[name]}


def save_photograph(path, size=(50, 40)):
    pixels = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def use_controls(page, tmp_path):
    """Every control changes the pictures that it should, and no others."""
    photo = save_photograph(tmp_path / 'mine.png')
    changed = changed_by(page, lambda: page.set_input_files('#file-rgb', photo))
    assert {'rgb-visible', 'rgb-predicted', 'rgb-original', 'rgb-attention'} <= changed
    assert 'mine.png' in page.inner_text('#rgb-original-note')
    assert page.is_disabled('input[value=SG]') and page.is_hidden('#instance-original')

    ids = np.zeros((40, 50), np.uint8)
    ids[8:30, 10:30] = 1
    Image.fromarray(ids).save(tmp_path / 'ids.png')
    changed_by(page, lambda: page.set_input_files('#file-instance', tmp_path / 'ids.png'))
    changed = changed_by(page, lambda: page.set_input_files('#file-semantic', tmp_path / 'ids.png'))
    assert 'semantic-original' in changed and page.is_enabled('input[value=SG]')

    changed_by(page, lambda: page.check('input[value=curriculum]'))
    changed = changed_by(page, lambda: page.fill('#t', '0.1'))
    assert page.inner_text('#alphas') == '0.80 semantic + 0.20 instance + 0.00 random'
    assert page.inner_text('#masked-by').startswith('In this mask: 100 % semantic, 0 % instance')
    assert 'rgb-visible' in changed and 'rgb-original' not in changed

    changed_by(page, lambda: page.check('input[value=chosen]'))
    changed = changed_by(page, lambda: page.fill('#count-rgb', '13'))
    assert 'rgb-visible' in changed and page.inner_text('#rgb-visible-note') == '13 of 16 tokens'

    changed = changed_by(page, lambda: page.uncheck('#target-stats'))
    assert changed == {'rgb-predicted'} and 'raw' in page.inner_text('#rgb-heading')

    side = page.locator('#rgb-original-frame').bounding_box()['width']
    at = dict(x=0.9 * side, y=0.1 * side)
    changed = changed_by(page, lambda: page.click('#rgb-original-frame', position=at))
    assert changed == {'rgb-attention'}
    assert page.inner_text('#rgb-attention-note') == 'patch (0, 3)'
    changed_by(page, lambda: page.press('#rgb-attention-frame', 'ArrowDown'))
    assert page.inner_text('#rgb-attention-note') == 'patch (1, 3)'
    changed_by(page, lambda: page.click('#class-token'))
    assert page.inner_text('#rgb-attention-note') == 'class token'
    assert page.is_hidden('#proxies')

    shot = page.screenshot(path=tmp_path / 'page.png')
    assert len(shot) > 20_000
    for image in page.locator('img').all():  # nothing broken, nothing unnamed
        assert image.get_attribute('alt')
        assert image.is_hidden() or image.evaluate('image => image.naturalWidth') > 0


def make_mistakes(page, tmp_path):
    """What is wrong with a file is explained on the page, and the next good one clears it."""
    (tmp_path / 'notes.png').write_text('not an image')
    page.set_input_files('#file-rgb', tmp_path / 'notes.png')
    page.wait_for_selector('#error:visible')
    assert 'notes.png (photograph) cannot be read' in page.inner_text('#error')

    changed_by(page, lambda: page.set_input_files('#file-rgb', save_photograph(tmp_path / 'a.png')))
    assert page.is_hidden('#error')
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / 'small.png')
    page.set_input_files('#file-instance', tmp_path / 'small.png')
    page.wait_for_selector('#error:visible')
    assert 'small.png: instance map is 9 x 9, its photograph a.png is 50 x 40' in page.inner_text(
        '#error'
    )
    assert page.input_value('#file-instance') == ''  # it is not sent again with the next file
    assert page.inner_text('#rgb-original-note') == 'a.png'


@pytest.mark.parametrize('url', [3], indirect=True)
def test_a_user_asks_proxies(page):
    assert page.inner_text('#rgb-attention-note') == 'proxies (mean)'
    buttons = page.locator('#proxies button')
    assert buttons.all_inner_texts() == ['0', '1', '2']
    for index in (0, 2):
        changed = changed_by(page, buttons.nth(index).click)
        assert changed == {'rgb-attention'}
        assert page.inner_text('#rgb-attention-note') == f'proxy {index}'
        assert page.is_hidden('#rgb-attention-frame .mark')
    pressed = [button.get_attribute('aria-pressed') for button in buttons.all()]
    assert pressed == ['false', 'false', 'true']
    changed_by(page, lambda: page.press('#rgb-attention-frame', 'ArrowDown'))
    assert page.inner_text('#rgb-attention-note') == 'patch (3, 2)'
    changed_by(page, lambda: page.click('#class-token'))
    assert page.inner_text('#rgb-attention-note') == 'proxies (mean)'


@pytest.mark.parametrize('url', [1], indirect=True)
def test_a_user_uploads_masks_clicks_and_errs(page, tmp_path):
    # One test: the tool takes much longer to start than all of this.
    use_controls(page, tmp_path)
    make_mistakes(page, tmp_path)
