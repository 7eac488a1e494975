"""Label maps of every kind, written by hand: bits, byte orders and headers as the formats say."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 30, 50  # rows that end within a byte


def ids_up_to(largest: int) -> np.ndarray:
    """(30, 50) ids from 0 to ``largest``, both of them there."""
    return np.linspace(0, largest, HEIGHT * WIDTH).round().astype(np.int64).reshape(HEIGHT, WIDTH)


def packed(ids: np.ndarray, bits: int, order: str = '>', kind: str = 'u', pad: int = 1) -> bytes:
    """Rows of ``bits`` a pixel, each filled up to a multiple of ``pad`` bytes."""
    if bits >= 8:
        return ids.astype(f'{order}{kind}{bits // 8}').tobytes()
    rows = (''.join(f'{value:0{bits}b}' for value in row) for row in ids.tolist())
    length = -(-ids.shape[1] * bits // (8 * pad)) * pad
    return b''.join(int(row.ljust(8 * length, '0'), 2).to_bytes(length, 'big') for row in rows)


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    )


def png(ids: np.ndarray, bits: int, palette: bool = False, transparent: bool = False) -> bytes:
    header = struct.pack('>2I5B', ids.shape[1], ids.shape[0], bits, 3 if palette else 0, 0, 0, 0)
    rows = np.frombuffer(packed(ids, bits), np.uint8).reshape(len(ids), -1)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(np.pad(rows, ((0, 0), (1, 0)))))]
    if transparent:
        chunks.insert(1, (b'tRNS', b'\0' if palette else b'\0\0'))
    if palette:  # colours that are no ids: blue falls, red is constant
        colours = bytes(c for i in range(2**bits) for c in (90, i, 255 - i))
        chunks.insert(1, (b'PLTE', colours))
    return png_of([*chunks, (b'IEND', b'')])


def tiff(
    ids: np.ndarray,
    bits: int,
    order: str = '<',
    kind: str = 'u',
    photometric: int = 1,
    pages: int = 1,
    subfile: int = 0,
) -> bytes:
    """Uncompressed; ``kind`` is u, i or f, ``photometric`` 0 = inverted, 1 = grey, 3 = palette."""
    data = packed(ids, bits, order, kind)
    content = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(f'{order}I', 8 + len(data))
    content += data
    for page in range(pages):
        start = len(content)
        tags = [
            (254, 4, 1, subfile if page else 0), (256, 4, 1, ids.shape[1]), (257, 4, 1, len(ids)),
            (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, len(ids)), (279, 4, 1, len(data)),
        ]  # fmt: skip
        colours = 3 * 2**bits if photometric == 3 else 0
        end = start + 2 + 12 * (len(tags) + 1 + bool(colours)) + 4
        if colours:
            tags.append((320, 3, colours, end))
        tags.append((339, 3, 1, 'uif'.index(kind) + 1))
        content += struct.pack(f'{order}H', len(tags))
        for tag, width, count, value in tags:
            short = width == 3 and count == 1
            content += struct.pack(f'{order}2HI', tag, width, count)
            content += struct.pack(f'{order}{"H2x" if short else "I"}', value)
        content += struct.pack(f'{order}I', end + 2 * colours if page < pages - 1 else 0)
        content += struct.pack(f'{order}{colours}H', *(65535 - i for i in range(colours)))
    return content


def bmp(ids: np.ndarray, bits: int, grey: bool = False) -> bytes:
    step = 255 if bits == 1 else 1  # so does Pillow tell grey palettes
    colours = [bytes([i * step] * 3) if grey else bytes([90, i, 255 - i]) for i in range(2**bits)]
    palette = b''.join(colour + b'\0' for colour in colours)
    rows = ids[::-1]
    if bits == 8:
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    data = packed(rows, bits, pad=4)
    start = 54 + len(palette)
    return (
        b'BM' + struct.pack('<I4xI', start + len(data), start)
        + struct.pack('<3I2H6I', 40, ids.shape[1], len(ids), 1, bits, 0, len(data), 1, 1, 0, 0)
        + palette + data
    )  # fmt: skip


def pgm(ids: np.ndarray, largest: int, plain: bool = False) -> bytes:
    head = f'P{2 if plain else 5}\n{ids.shape[1]} {len(ids)}\n{largest}\n'.encode()
    if plain:
        return head + ' '.join(map(str, ids.ravel().tolist())).encode() + b'\n'
    return head + packed(ids, 8 if largest < 256 else 16)


def by_pillow(pixels: np.ndarray | Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, form, **options)
    return file.getvalue()
