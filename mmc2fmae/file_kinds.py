"""What a file that is to be a checkpoint, or a picture, really is, told by its first bytes."""

import re
import zipfile
from pathlib import Path

from mmc2fmae.errors import CheckpointMismatch

# First bytes of a file to what it is, and what to do where a checkpoint is expected.
_STARTS = (
    (rb'\x1f\x8b', 'a gzip archive', 'unpack it'),
    (rb'BZh\d', 'a bzip2 archive', 'unpack it'),
    (rb'\xfd7zXZ\x00', 'an xz archive', 'unpack it'),
    (rb'7z\xbc\xaf\x27\x1c', 'a 7z archive', 'unpack it'),
    (rb'Rar!', 'a RAR archive', 'unpack it'),
    (rb'PK\x03\x04', 'a zip archive', ''),  # as what torch writes: _zip_kind looks inside
    (rb'\x89HDF', 'an HDF5 file (Keras, TensorFlow)', 'expected weights of PyTorch'),
    (rb'\x93NUMPY', 'a NumPy array', 'expected a state dict'),
    (rb'%PDF', 'a PDF', 'fetch the checkpoint itself'),
    (rb'%!PS|\xc5\xd0\xd3\xc6', 'PostScript (EPS)', 'expected a checkpoint'),
    (rb'\xd7\xcd\xc6\x9a', 'a WMF', 'expected a checkpoint'),
    (rb'8BPS', 'a Photoshop file (PSD)', 'expected a checkpoint'),
    (rb'....ftyp(hei|hev|mif1|msf1)', 'a HEIC picture', 'expected a checkpoint'),
    (rb'....ftyp(isom|mp4|qt)', 'a film', 'expected a checkpoint'),
    (rb'version https://git-lfs', 'a git-LFS pointer, not the file', '`git lfs pull` fetches it'),
    (rb'\s*(<\?xml[^>]*>\s*)?<svg', 'an SVG', 'expected a checkpoint'),
    (
        rb'\s*<(!doctype|html|head|\?xml)',
        'an HTML page, perhaps of a login or an error',
        'fetch the file itself (on GitHub its raw link, on Hugging Face "resolve" in place of '
        '"blob")',
    ),
    (rb'\s*[{\[]\s*["{\[\]}]', 'JSON text', 'expected a checkpoint'),
)
_MOST = 10  # a torch file holds hardly more than its size; a bomb holds a thousand times as much


def kind_of(start: bytes) -> tuple[str, str]:
    """Tell what a file is by its first bytes.

    Args:
        start: 64 of them or more.

    Returns:
        What it is, and what to do where it is to be a checkpoint; '' where that is not known.
    """
    found = (
        (what, fix)
        for pattern, what, fix in _STARTS
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL)
    )
    return next(found, ('', ''))


def require_checkpoint(path: str | Path, safetensors: bool = False) -> None:
    """Check by its first bytes that a file may be a checkpoint, before it is read.

    Args:
        path: The file; it exists.
        safetensors: Expect safetensors, otherwise what ``torch.save`` writes.

    Raises:
        CheckpointMismatch: It is something else; the message says what, and the fix.
    """
    found = _kind(Path(path), safetensors)
    if found:
        raise CheckpointMismatch(f'{path} is no readable checkpoint, it is {found}')


def _kind(path: Path, safetensors: bool) -> str | None:
    """Return what a file is in place of a checkpoint, with the fix, None where it may be one."""
    size = path.stat().st_size
    with open(path, 'rb') as file:
        start = file.read(512)
    if not start:
        return 'empty (0 bytes): fetch or write it again'
    if start.startswith(b'version https://git-lfs'):
        stated = re.search(rb'size (\d+)', start)
        whole = f' of a file of {int(stated[1]):,} bytes' if stated else ''
        return f'a git-LFS pointer{whole}, not the file: `git lfs pull` fetches it'
    length = int.from_bytes(start[:8], 'little')
    if start[8:9] == b'{' and 2 <= length < 2**31:
        if not safetensors:
            return f'safetensors: rename it to {path.with_suffix(".safetensors").name}'
        return None if 8 + length <= size else (
            f'truncated: {size:,} bytes, its header alone has {8 + length:,}; fetch it again'
        )  # fmt: skip
    what, fix = kind_of(start)
    if fix:
        return f'{what}: {fix}'
    if start.startswith((b'\x89PNG', b'\xff\xd8\xff', b'GIF8')):
        return 'a picture: expected a checkpoint'
    if start[257:262] == b'ustar':
        return 'a tar archive: unpack it'
    if zipfile.is_zipfile(path):
        return _zip_kind(path, safetensors)
    if safetensors:
        torch_made = start[:1] == b'\x80' or start[:2] == b'PK'
        return 'of torch.save: rename it to .pth' if torch_made else 'not safetensors'
    return None


def _zip_kind(path: Path, safetensors: bool) -> str | None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [member.filename for member in members]
    if any(name.endswith('/constants.pkl') for name in names):
        return 'a TorchScript program: save the state_dict() of the module that it was made of'
    if not any(name.split('/')[-1] == 'data.pkl' for name in names):
        return f'a zip archive of {", ".join(names[:3]) or "nothing"}: unpack it'
    if safetensors:
        return 'of torch.save: rename it to .pth'
    unpacked = sum(member.file_size for member in members)
    if unpacked > _MOST * path.stat().st_size + 2**20:
        return f'{path.stat().st_size:,} bytes that unpack to {unpacked:,}: not of torch.save'
    return None
