import pytest

from mmc2fmae.datasets.image_folders import read_label_file
from mmc2fmae.errors import DatasetError
from mmc2fmae.labeling.prompts import read_prompts
from mmc2fmae.preparation.converters import read_class_names
from mmc2fmae.preparation.folders import find_classes
from mmc2fmae.preparation.layout import read_label_info, read_manifest
from mmc2fmae.reproduce.fields import Fields
from mmc2fmae.texts import read_lines, read_text

ENCODINGS = ('utf-8', 'utf-8-sig', 'utf-16', 'utf-32')
ENDS = ('\n', '\r\n', '\r', ' \t\n')


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_lines_are_the_same_whatever_the_editor(tmp_path, encoding, end):
    path = tmp_path / 'list.txt'
    path.write_bytes(end.join(['Käse/a b.jpg', '', 'c.jpg', '']).encode(encoding))
    assert read_lines(path) == ['Käse/a b.jpg', 'c.jpg']


def test_only_line_ends_end_a_line(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_text('a\x0bb\u2028c.jpg\nd\n', encoding='utf-8')
    assert read_lines(path) == ['a\x0bb\u2028c.jpg', 'd']


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        ('ab\n'.encode('utf-16-le'), 'holds NUL bytes, expected UTF-8: no text, or UTF-16; save'),
        (b'a\nb\ncaf\xe9\n', r'list\.txt, line 3, is no UTF-8 \(byte 0xe9\): save it as UTF-8'),
        (b'\xff\xfea\x00b', r'is no UTF-16'),
        (b'\x89PNG\r\n\x1a\n\0\0', 'holds NUL bytes'),
    ],
)
def test_what_is_no_text_is_named(tmp_path, data, message):
    path = tmp_path / 'list.txt'
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_lines(path)
    with pytest.raises(DatasetError, match=r'none\.txt cannot be read'):
        read_lines(tmp_path / 'none.txt')


def test_names_of_files_need_not_be_utf_8(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_bytes(b'caf\xe9.jpg\n')
    assert read_lines(path, file_names=True) == ['caf\udce9.jpg']


def prompts(path):
    (names,) = read_prompts(str(path), ['f/x.jpg']).table.values()
    return names


READERS = {  # what reads a file that users write, a content, and what it means
    'classes.txt': (lambda p: find_classes(p.parent, [str(p)])[0], 'ä\nb\n', ('ä', 'b')),
    'classes.json': (lambda p: find_classes(p.parent, [str(p)])[0], '["ä", "b"]', ('ä', 'b')),
    'names.txt': (read_class_names, 'ä\nb\n', ('ä', 'b')),
    'labels.json': (
        lambda p: read_label_info(p.parent).semantic_classes,
        '{"semantic_classes": ["ä", "b"], "source": {}}',
        ('ä', 'b'),
    ),
    'val.txt': (lambda p: read_label_file(p, ['a']), 'ä 1.jpg 0\n', {'ä 1.jpg': 0}),
    'val.csv': (
        lambda p: read_label_file(p, ['n1']),
        'ImageId,PredictionString\nä,n1 1 2\n',
        {'ä': 0},
    ),
    'prompts.txt': (prompts, 'ä\nb\n', ('ä', 'b')),
    'prompts.json': (prompts, '{"f": ["ä", "b"]}', ('ä', 'b')),
    'table.yaml': (lambda p: Fields.of_file(p).whole, 'a: ä\nb: 2\n', {'a': 'ä', 'b': 2}),
}  # fmt: skip


@pytest.mark.parametrize('end', ['\n', '\r\n'])
@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('name', READERS)
def test_every_reader_takes_every_encoding(tmp_path, name, encoding, end):
    read, text, expected = READERS[name]
    path = tmp_path / name
    path.write_bytes(text.replace('\n', end).encode(encoding))
    assert read(path) == expected


def test_a_manifest_may_have_a_mark(tmp_path):
    path = tmp_path / 'manifest.jsonl'
    path.write_bytes('{"path": "a.jpg"}\r\n'.encode('utf-8-sig'))
    assert list(read_manifest(path)) == [{'path': 'a.jpg'}]


def test_text_keeps_everything_but_mark_and_line_ends(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes('\ufeff a\r\n\r\nb '.encode())
    assert read_text(path) == ' a\n\nb '
