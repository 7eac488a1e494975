import base64
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip('starlette', reason="needs the extra 'web'")
uvicorn = pytest.importorskip('uvicorn', reason="needs the extra 'web'")

from mmc2fmae.web.app import Shelf, build_app, open_socket  # noqa: E402
from mmc2fmae.web.study import find_examples  # noqa: E402
from mmc2fmae.web.uploads import Upload  # noqa: E402
from tests.web.conftest import controls  # noqa: E402


@pytest.fixture
def url(study):
    """Serve the page on a free port."""
    server = open_socket('127.0.0.1', 0)
    app = build_app(study, find_examples(study))
    serving = uvicorn.Server(uvicorn.Config(app, log_level='warning', lifespan='off'))
    thread = threading.Thread(target=serving.run, kwargs=dict(sockets=[server]), daemon=True)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    yield f'http://127.0.0.1:{server.getsockname()[1]}'
    serving.should_exit = True
    thread.join()


def ask(url, fields=None, **headers):
    data = fields if fields is None or isinstance(fields, bytes) else json.dumps(fields).encode()
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def test_the_page_may_ask_nobody_else(url):
    status, body, headers = ask(f'{url}/')
    assert status == 200 and b'C2FMAE' in body
    assert headers['Content-Security-Policy'].startswith("default-src 'self';")
    for name in ('page.css', 'page.js'):
        assert ask(f'{url}/{name}')[0] == 200


@pytest.mark.parametrize(
    'path', ['app.py', '../app.py', '%2e%2e/pyproject.toml', 'api/..%2fapp.py']
)
def test_no_other_file_can_be_had(url, path):
    assert ask(f'{url}/{path}')[0] == 404


def test_requests_for_another_name_are_refused(url):
    assert ask(f'{url}/api/model', Host='evil.example')[0] == 400
    assert ask(f'{url}/api/model', Host='localhost')[0] == 200


def test_an_example_becomes_pictures(url):
    about = json.loads(ask(f'{url}/api/model')[1])
    assert about['granularities'] == ['rgb', 'instance', 'semantic'] and about['num_visible'] == 8
    assert len(about['examples']) == 12 and about['curriculum'][0] == [0, 1, 0]
    sample = json.loads(ask(f'{url}/api/samples', dict(example=2))[1])
    assert sample['obstacles'] == {}
    status, body, _ = ask(f'{url}/api/views', controls(sample=sample['key']))
    view = json.loads(body)
    assert status == 200 and sum(view['visible'].values()) == 8
    picture = base64.b64decode(view['pictures']['rgb']['visible'].partition(',')[2])
    assert picture.startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('path', 'fields', 'message'),
    [
        ('samples', dict(example=12), 'no example 12'),
        ('samples', dict(example=-1), 'no example -1'),
        ('samples', dict(files={}), 'no photograph'),
        ('samples', dict(files=dict(rgb=dict(name='a.png', data='AAAA'))), r'a\.png'),
        ('samples', dict(files=dict(depth=dict(name='a.png', data='AAAA'))), 'depth'),
        ('views', controls(sample='upload-7'), 'no longer in memory'),
        ('views', b'not json', 'Expecting value'),
        ('views', [1], 'no JSON object'),
    ],
)
def test_what_is_wrong_is_said_to_the_page(url, path, fields, message):
    status, body, _ = ask(f'{url}/api/{path}', fields)
    assert status == 400
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(json.loads(body)['error'])


def test_large_requests_are_cut_off(url, monkeypatch):
    monkeypatch.setattr('mmc2fmae.web.app.MOST_BYTES', 1000)
    status, body, _ = ask(f'{url}/api/samples', b' ' * 2000)
    assert status == 400 and b'larger than' in body


def test_only_the_latest_uploads_are_kept(study):
    photo = Path(find_examples(study)[0].files['rgb']).read_bytes()
    shelf = Shelf(study, [])
    keys = [shelf.upload(dict(rgb=Upload(f'{i}.jpg', photo)))[0] for i in range(18)]
    assert shelf[keys[-1]].name == '17.jpg' and shelf[keys[2]].name == '2.jpg'
    with pytest.raises(ValueError, match='no longer in memory'):
        shelf[keys[1]]


def test_a_taken_port_is_named():
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f'127.0.0.1:{port} .* choose another --port'):
            open_socket('127.0.0.1', port)
    with pytest.raises(OSError, match='choose another --port'):
        open_socket('127.0.0.1', 70000)
