"""Ordinary JPEGs decoded, cropped and resized by NVIDIA DALI, on the GPU where there is one.

Data workers draw the box and the flip and pass the file on (:mod:`mmc2fmae.datasets.encoded`); DALI
decodes a batch while the model trains on the one before.
"""

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from mmc2fmae.bundled_files import BundledFile
from mmc2fmae.datasets import transforms
from mmc2fmae.datasets.encoded import EncodedPhotograph, collate_encoded
from mmc2fmae.datasets.sample_io import read_encoded, read_turned
from mmc2fmae.datasets.transforms.geometry import crop_pixels
from mmc2fmae.errors import DatasetError, RunStopped, SampleError
from mmc2fmae.preflight.photographs import parts_of, photographs_of

FIELD = 'LoadMultiGranular.dali=True'
_WITHOUT_PIXELS = (  # of the photograph: boxes and flips are drawn from its size
    transforms.LoadMultiGranular, transforms.JointRandomResizedCrop, transforms.JointRandomFlip,
    transforms.SemanticFromInstance, transforms.CanonicalInstances, transforms.ProgressiveMasking,
    transforms.PackMultiGranular,
)  # fmt: skip
_LOOKED_AT = 32  # photographs before a run
_THREADS = 4  # for what of decoding a GPU leaves to processors


class DaliDecoder:
    """Finishes the batches of a data loader whose photographs are encoded.

    Args:
        most: Photographs of a batch, at most.
        size: Side of the crops in pixels.

    Raises:
        ImportError: DALI is not installed.
        RunStopped: It is, but does not decode on this machine.
    """

    def __init__(self, most: int, size: int) -> None:
        self.most, self.size = most, size
        gpu = torch.cuda.is_available()
        self.device = torch.device('cuda', torch.cuda.current_device()) if gpu else None
        try:
            self._pipe = self._build()
            self._try()
        except ImportError as error:
            raise ImportError(
                f'{FIELD} needs NVIDIA DALI ({error}): pip install nvidia-dali-cuda120 (Linux; '
                'cuda130 for CUDA 13), or leave the field out'
            ) from error
        except RuntimeError as error:
            raise RunStopped(
                f'{FIELD}: DALI does not decode on this machine ({_first_reason(error)}): leave it '
                'out, or install a DALI that fits driver and GPU'
            ) from error

    def batches(self, loader: DataLoader) -> Iterator[dict]:
        """Return the batches of a loader, whose workers pass ordinary JPEGs on from now on.

        Args:
            loader: One that :func:`decoder_of` has seen, before its workers start.

        Raises:
            SampleError: A photograph is damaged.
        """
        loading = _loading(loader)
        if not loading[0].encoded:
            for step in loading:
                step.encoded = True
            loader.collate_fn = partial(collate_encoded, loader.collate_fn)
        return self.finish(loader)

    def finish(self, batches: Iterable[dict]) -> Iterator[dict]:
        """Yield batches with (B, 3, size, size) uint8 photographs on the device.

        Args:
            batches: Of :func:`collate_encoded`.

        Raises:
            SampleError: A photograph is damaged.
        """
        waiting: dict | None = None
        failure: RuntimeError | None = None
        for batch in batches:
            ready = waiting and self._finish(waiting, failure)
            failure = self._start(batch['inputs']['rgb'])
            if ready:
                yield ready
            waiting = batch
        if waiting:
            yield self._finish(waiting, failure)

    def _build(self) -> Any:
        from nvidia.dali import Pipeline, fn, types

        device_id = None if self.device is None else self.device.index
        pipe = Pipeline(self.most, _THREADS, device_id, prefetch_queue_depth=1)
        with pipe:
            content, start, shape = map(_input, ('content', 'start', 'shape'))
            # In whole, and cropped afterwards: nvJPEG before 13.2 leaves crops to the processors,
            # and nvImageCodec 0.9.0 crashes at them on some GPUs (its issue 55).
            pixels = fn.decoders.image(
                content,
                device='cpu' if device_id is None else 'mixed',
                output_type=types.RGB,
                adjust_orientation=False,
                jpeg_fancy_upsampling=True,  # as libjpeg
                affine=False,  # processes of one machine would share the first cores
            )
            pixels = fn.slice(pixels, start=start, shape=shape, axis_names='WH')
            # Along the rows first and rounded in between, as torch resizes bytes.
            for axis in ('resize_x', 'resize_y'):
                side = {axis: float(self.size)}
                kind = types.INTERP_CUBIC
                pixels = fn.resize(pixels, **side, mode='stretch', interp_type=kind)
            pipe.set_outputs(pixels)
        pipe.build()
        return pipe

    def _try(self) -> None:
        file = io.BytesIO()
        Image.new('RGB', (16, 16)).save(file, 'JPEG')
        photograph = EncodedPhotograph(file.getvalue(), (self.size, self.size), (4, 4, 12, 12))
        self._outputs(self._start([photograph]))

    def _start(self, photographs: Sequence[EncodedPhotograph | Tensor]) -> RuntimeError | None:
        """Let DALI begin; return why it does not, for :meth:`_outputs` to raise."""
        encoded = [one for one in photographs if isinstance(one, EncodedPhotograph)]
        if not encoded:
            return None
        boxes = np.array([one.box for one in encoded], np.int32)
        content = [np.frombuffer(one.content, np.uint8) for one in encoded]
        try:
            self._pipe.feed_input('content', content)
            self._pipe.feed_input('start', boxes[:, :2].copy())  # DALI takes no views
            self._pipe.feed_input('shape', boxes[:, 2:] - boxes[:, :2])
            self._pipe.schedule_run()
        except RuntimeError as error:
            return error
        return None

    def _outputs(self, failure: RuntimeError | None) -> Tensor:
        """Return what was decoded, (b, 3, size, size), in the order of torch's stream."""
        if failure:
            raise failure
        stream = None if self.device is None else torch.cuda.current_stream(self.device)
        (pixels,) = self._pipe.outputs(stream)
        return torch.from_dlpack(pixels.as_tensor()).permute(0, 3, 1, 2)

    def _finish(self, batch: dict, failure: RuntimeError | None) -> dict:
        photographs = batch['inputs']['rgb']
        shape = (len(photographs), 3, self.size, self.size)
        pixels = torch.empty(shape, dtype=torch.uint8, device=self.device)
        encoded = [i for i, one in enumerate(photographs) if isinstance(one, EncodedPhotograph)]
        for i in set(range(len(photographs))) - set(encoded):
            pixels[i] = photographs[i]
        if encoded:
            try:
                pixels[encoded] = self._outputs(failure)
            except RuntimeError as error:
                self._refused(error, batch['path'][encoded[0]])
                for i in encoded:
                    pixels[i] = _read(batch['path'][i], photographs[i]).to(pixels.device)
        mirrored = [i for i in encoded if photographs[i].mirrored]
        pixels[mirrored] = pixels[mirrored].flip(-1)
        return batch | dict(inputs=batch['inputs'] | dict(rgb=pixels))

    def _refused(self, error: RuntimeError, path: str) -> None:
        """Start anew: DALI gives a pipeline up that failed, and does not say at which file."""
        print_log(
            f'DALI refused a batch (of {path} and others), which is read without it: '
            f'{_first_reason(error)}',
            'current',
            logging.WARNING,
        )
        self._pipe = self._build()


def decoder_of(loader: DataLoader) -> DaliDecoder | None:
    """Return what finishes the batches of a training's loader, None where none asks for DALI.

    Raises:
        ImportError: DALI is not installed.
        RunStopped: It does not decode on this machine.
        ValueError: A transform needs pixels, or nothing crops them.
        DatasetError: None of the photographs looked at is an ordinary JPEG.
    """
    if not _loading(loader):
        return None
    steps = _steps(loader)
    sizes = {s.size for s in steps if isinstance(s, transforms.JointRandomResizedCrop)}
    others = [type(step).__name__ for step in steps if type(step) not in _WITHOUT_PIXELS]
    if others or len(sizes) != 1:
        what = f'with {others[0]}' if others else f'with crops of the sides {sorted(sizes)}'
        raise ValueError(
            f'{FIELD} does not work {what} in train_dataloader.dataset.pipeline, where photographs '
            'are not decoded yet: expected one JointRandomResizedCrop and no step that reads '
            'pixels; leave one of them out'
        )
    decoder = DaliDecoder(loader.batch_size or 1, *sizes)
    print_log(_looked_at(loader, decoder.device), 'current')
    return decoder


def _steps(loader: DataLoader) -> list:
    pipelines = [getattr(part, 'pipeline', None) for part in parts_of(loader.dataset)]
    return [step for pipeline in pipelines for step in getattr(pipeline, 'transforms', ())]


def _loading(loader: DataLoader) -> list[transforms.LoadMultiGranular]:
    return [s for s in _steps(loader) if isinstance(s, transforms.LoadMultiGranular) and s.dali]


def _looked_at(loader: DataLoader, device: torch.device | None) -> str:
    paths = photographs_of(loader.dataset, _LOOKED_AT)
    ordinary = sum(map(_is_ordinary, paths))
    if not ordinary:
        raise DatasetError(
            f'{FIELD}: none of {len(paths)} photographs looked at is an ordinary JPEG (8 bits, not '
            f'progressive, not to be turned), first {paths[0]}: DALI would decode nothing, leave '
            'it out'
        )
    where = 'on the GPU' if device else 'without a GPU, slower than the data workers would'
    return f'DALI decodes {where}: {ordinary} of {len(paths)} photographs looked at'


def _is_ordinary(path: str) -> bool:
    try:
        return read_encoded(path) is not None
    except SampleError:  # the data workers say so, or pass over it
        return False


def _input(name: str) -> Any:
    from nvidia.dali import fn

    return fn.external_source(name=name)


def _read(path: str, photograph: EncodedPhotograph) -> Tensor:
    """Read a photograph without DALI: (3, h, w) uint8, not yet mirrored."""
    assert photograph.box is not None  # decoder_of asks for a crop
    file = BundledFile.of(path, len(photograph.content), lambda: photograph.content)
    pixels = crop_pixels(read_turned(file)[0], photograph.box, photograph.shape)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _first_reason(error: RuntimeError) -> str:
    """Return the line of DALI's error that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    after = lines[lines.index('encountered:') + 1 :] if 'encountered:' in lines else lines
    return (after or ['no reason given'])[0]
