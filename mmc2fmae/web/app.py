"""The web application: a thin shell that turns requests into views of a study."""

import base64
import io
import json
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import uvicorn
from PIL import Image, ImageOps
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from mmc2fmae.datasets.sample_io import read_rgb
from mmc2fmae.visualization.figures.inputs import Sample
from mmc2fmae.web.settings import STRATEGIES, obstacles, read_settings
from mmc2fmae.web.study import Scene, Study, View
from mmc2fmae.web.uploads import Upload, read_uploads

LOCAL = ('127.0.0.1', 'localhost')
MOST_BYTES = 64 * 2**20  # of a request: three files of 16 MiB, written as base64
MOST_UPLOADS = 16  # samples that are kept in memory
THUMBNAIL = 96

# A browser obeys this: the page can ask nobody but us, whatever an image or a name contains.
POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
PAGE = {'/': 'page.html', '/page.css': 'page.css', '/page.js': 'page.js'}


def encode(picture: np.ndarray) -> str:
    """Write a (H, W, 3) uint8 picture as a data URL of a PNG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'PNG', compress_level=1)
    return 'data:image/png;base64,' + base64.b64encode(file.getvalue()).decode()


def thumbnail(path: str) -> str:
    """Return the centre square of a photograph as a small data URL."""
    return encode(np.asarray(ImageOps.fit(read_rgb(path), (THUMBNAIL, THUMBNAIL))))


def describe_study(study: Study, examples: Sequence[Sample]) -> dict:
    """Tell the page, in JSON types, what it can offer.

    Args:
        study: The model.
        examples: Samples to choose from; their places are their names in requests.
    """
    arch, curriculum = study.model.backbone, study.masking.curriculum
    times = np.linspace(0, 1, 101)
    return dict(
        label=study.autoencoder.label,
        model=f'{type(study.model).__name__}, {arch.num_layers} blocks, width {arch.embed_dims}',
        granularities=study.granularities,
        grid=study.grid,
        uploads=study.uploads,
        num_visible=study.masking.num_visible,
        class_tokens=arch.num_extra_tokens,
        normalises=study.autoencoder.normalises,
        strategies=STRATEGIES,
        curriculum=[[t, *curriculum(t)] for t in times.tolist()],
        examples=[
            dict(name=sample.name, picture=thumbnail(sample.files['rgb'])) for sample in examples
        ],
    )


def describe_scene(study: Study, key: str, scene: Scene) -> dict:
    """Tell the page what a sample has and which strategies it does not allow."""
    return dict(
        key=key,
        name=scene.name,
        present=scene.present,
        obstacles=obstacles(study.masking.curriculum, scene.present),
    )


def describe_view(view: View, seconds: float) -> dict:
    """Return a view in JSON types, pictures as data URLs."""
    return dict(
        alphas=view.alphas,
        shares=view.shares,
        objects_hidden=view.objects_hidden,
        visible=view.visible,
        pictures={
            name: {
                kind: None if picture is None else encode(picture)
                for kind, picture in pictures.items()
            }
            for name, pictures in view.pictures.items()
        },
        losses=view.losses,
        legends=view.legends,
        attention=encode(view.attention),
        peak=view.peak,
        seconds=seconds,
    )


class Shelf:
    """The samples that requests can name: examples, read when first asked for, and uploads.

    Args:
        study: The model that reads them.
        examples: Examples.
    """

    def __init__(self, study: Study, examples: Sequence[Sample]) -> None:
        self.study, self.examples = study, list(examples)
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._numbers = count()

    def example(self, index: int) -> tuple[str, Scene]:
        """Return an example and its key.

        Raises:
            ValueError: There is no such example, or its files are unusable.
        """
        if not 0 <= index < len(self.examples):
            raise ValueError(f'there is no example {index}: reload the page')
        sample, key = self.examples[index], f'example-{index}'
        if key not in self._scenes:
            self._keep(key, self.study.read(sample.name, sample.files))
        return key, self._scenes[key]

    def upload(self, uploads: dict[str, Upload]) -> tuple[str, Scene]:
        """Read uploads; returns the new sample and its key.

        Raises:
            ValueError: A file is unusable, or its granularity is not read.
        """
        if unknown := set(uploads) - {'rgb', *self.study.uploads}:
            raise ValueError(f'the model reads no {sorted(unknown)} maps from files')
        name = uploads['rgb'].name if 'rgb' in uploads else ''
        scene = read_uploads(uploads, lambda files: self.study.read(name, files))
        key = f'upload-{next(self._numbers)}'
        self._keep(key, scene)
        return key, scene

    def __getitem__(self, key: object) -> Scene:
        """Return a sample by its key.

        Raises:
            ValueError: It is not kept any more.
        """
        scene = self._scenes.get(str(key))
        if scene is None:
            raise ValueError('this image is no longer in memory: choose or upload it again')
        return scene

    def _keep(self, key: str, scene: Scene) -> None:
        self._scenes[key] = scene
        while len(self._scenes) > MOST_UPLOADS + len(self.examples):
            self._scenes.popitem(last=False)


async def read_json(request: Request) -> dict:
    """Read the JSON object of a request.

    Raises:
        ValueError: It is none, or too large.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ValueError(f'the files are larger than {MOST_BYTES * 3 // 4 // 2**20} MiB')
    fields = json.loads(body)
    if not isinstance(fields, dict):
        raise ValueError('the request is no JSON object: reload the page')
    return fields


def build_app(study: Study, examples: Sequence[Sample] = (), host: str = LOCAL[0]) -> Starlette:
    """Build the web application.

    Nothing on disk can be reached through it but the page itself and the examples.

    Args:
        study: The model.
        examples: Samples that the page offers.
        host: Address that it will be served at; requests for another name are refused unless it is
            open to the network.
    """
    shelf, about = Shelf(study, examples), describe_study(study, examples)

    def open_sample(fields: dict) -> dict:
        if 'example' in fields:
            return describe_scene(study, *shelf.example(int(fields['example'])))
        uploads = {
            granularity: Upload(str(file['name']), base64.b64decode(file['data']))
            for granularity, file in fields['files'].items()
        }
        return describe_scene(study, *shelf.upload(uploads))

    def draw(fields: dict) -> dict:
        start = perf_counter()
        view = study.view(shelf[fields.get('sample')], read_settings(fields))
        return describe_view(view, perf_counter() - start)

    def page(request: Request) -> Response:
        path = Path(__file__).with_name(PAGE[request.url.path])
        headers = {'Content-Security-Policy': POLICY, 'Cache-Control': 'no-cache'}
        return FileResponse(path, headers=headers)

    def tell(request: Request) -> Response:
        return JSONResponse(about)

    return Starlette(
        routes=[
            *(Route(path, page) for path in PAGE),
            Route('/api/model', tell),
            Route('/api/samples', _answer(open_sample), methods=['POST']),
            Route('/api/views', _answer(draw), methods=['POST']),
        ],
        # A foreign web site that points its name at this address must not read what is here.
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=[host, *LOCAL] if host in LOCAL else ['*']
            )
        ],
    )


def _answer(work: Callable[[dict], dict]) -> Callable[[Request], Any]:
    """Answer with what ``work`` returns, or with a message that the page can show."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(work, await read_json(request)))
        except ClientDisconnect:
            return Response(status_code=400)
        except (ValueError, OSError) as error:  # what is wrong with a file or a setting
            return JSONResponse(dict(error=str(error)), status_code=400)
        except Exception as error:
            logging.getLogger(__name__).exception('a request failed')
            message = f'{type(error).__name__}: {error} (the terminal shows where)'
            return JSONResponse(dict(error=message), status_code=500)

    return answer


def open_socket(host: str, port: int) -> socket.socket:
    """Take a port.

    Args:
        host: Address.
        port: Port; 0 takes a free one.

    Raises:
        OSError: It is taken or not allowed.
    """
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
    except (OSError, OverflowError) as error:
        server.close()
        raise OSError(
            f'cannot serve at {host}:{port} ({error}): choose another --port, 0 takes a free one'
        ) from error
    return server


def serve(app: Starlette, server: socket.socket) -> None:
    """Serve until interrupted."""
    config = uvicorn.Config(app, log_level='warning', ws='none', lifespan='off')
    uvicorn.Server(config).run(sockets=[server])
