import json
import re
import runpy
import sys
from collections import Counter

import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.labeling import instances, prompts
from mmc2fmae.labeling.prompts import PromptChunk, chunk_prompts, phrases, read_prompts


def words(text: str) -> list[tuple[int, int]]:
    """Tokens are words and signs, between two special tokens."""
    return [(0, 0), *(match.span() for match in re.finditer(r'\w+|[^\w\s]', text)), (0, 0)]


def letters(text: str) -> list[tuple[int, int]]:
    """Every letter is a token, and the space before it is part of it."""
    return [(0, 0), *(match.span() for match in re.finditer(r'\s?\S', text)), (0, 0)]


def lvis_names() -> tuple[str, ...]:
    from mmdet.datasets import LVISV1Dataset

    return tuple(LVISV1Dataset.METAINFO['classes'])


def test_prompt_reads_as_written_by_hand():
    chunks = chunk_prompts(['tench, Tinca tinca', 'goldfish'], words)
    # [CLS] tench . tinca tinca . goldfish . [SEP]
    #   0     1   2   3     4   5    6     7   8
    assert chunks == [PromptChunk('tench . tinca tinca . goldfish .', (0, 1), ((1, 3, 4), (6,)))]


def test_names_are_cleaned_of_what_ends_a_phrase():
    assert phrases('recreational vehicle, RV, R.V.') == ('recreational vehicle', 'rv')
    assert phrases('  Who  goes_there?\t') == ('who goes there',)
    assert phrases('St. Bernard,, dog') == ('st bernard', 'dog')
    assert phrases("devil's darning-needle") == ("devil's darning-needle",)


@pytest.mark.parametrize('name', ['', ' ', '. ?', ',', '_'])
def test_empty_name_is_an_error(name):
    with pytest.raises(ValueError, match=r'holds nothing to look for: expected words'):
        phrases(name)


def test_prompts_are_full_but_never_over_the_limit():
    # 2 special tokens, 2 for each class, 4 for the third: the limit of 8 takes three short ones.
    names = ['a', 'b', 'c d e', 'f', 'g', 'h', 'i']
    chunks = chunk_prompts(names, words, max_tokens=8)
    assert [chunk.text for chunk in chunks] == ['a . b .', 'c d e . f .', 'g . h . i .']
    assert [chunk.classes for chunk in chunks] == [(0, 1), (2, 3), (4, 5, 6)]
    assert chunks[1].tokens == ((1, 2, 3), (5,))
    assert [len(words(chunk.text)) for chunk in chunks] == [6, 8, 8]


@pytest.mark.parametrize('limit', [256, 64])
def test_each_of_1203_names_is_in_exactly_one_chunk(limit):
    names = lvis_names()
    chunks = chunk_prompts(names, words, limit)
    assert len(names) == 1203
    assert Counter(k for chunk in chunks for k in chunk.classes) == Counter(range(1203))
    for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
        spans = words(chunk.text)
        assert len(spans) <= limit
        for k, tokens in zip(chunk.classes, chunk.tokens, strict=True):
            text = ''.join(chunk.text[slice(*spans[t])] for t in tokens)
            assert text == re.sub(r'[\s,]', '', names[k].replace('_', ' ')).lower()
        flat = [t for tokens in chunk.tokens for t in tokens]
        assert flat == sorted(set(flat))
        if following is not None:  # greedy: the next class would not have fitted
            first = len(words(f'{" . ".join(phrases(names[following.classes[0]]))} .')) - 2
            assert len(spans) + first > limit


def test_names_are_tokenised_once_and_prompts_once():
    calls = []

    def counted(text):
        calls.append(len(text))
        return words(text)

    chunks = chunk_prompts(lvis_names(), counted)
    assert len(calls) == 1203 + len(chunks)


def test_tokens_may_include_the_space_before_them():
    (chunk,) = chunk_prompts(['ox', 'a b'], letters)
    # [CLS] o x . a b . [SEP]
    assert chunk.text == 'ox . a b .'
    assert chunk.tokens == ((1, 2), (4, 5))


def test_single_class_beyond_the_limit_is_named():
    with pytest.raises(ValueError, match=r"class 'a b c d, e' alone has 9 tokens, .* takes 8"):
        chunk_prompts(['x', 'a b c d, e'], words, max_tokens=8)
    assert len(chunk_prompts(['x', 'a b c d, e'], words, max_tokens=9)) == 2


def test_tokeniser_that_splits_otherwise_in_context_is_caught():
    def moody(text):
        return words(text) if text.count('.') == 1 else letters(text)

    with pytest.raises(ValueError, match='prompt has 11 tokens instead of 8'):
        chunk_prompts(['tench', 'ox'], moody, max_tokens=8)


def test_name_without_tokens_is_an_error():
    with pytest.raises(ValueError, match=r"class '—' has no tokens"):
        chunk_prompts(['cat', '—'], lambda text: [s for s in words(text) if text[slice(*s)] != '—'])


def test_classes_that_ask_for_the_same_are_an_error_and_shared_synonyms_are_not():
    with pytest.raises(ValueError, match=r"classes 'RV, van' and 'van, R\.V\.' ask for the same"):
        chunk_prompts(['RV, van', 'cat', 'van, R.V.'], words)
    with pytest.raises(ValueError, match=r"classes 'cat' and 'cat' ask for the same"):
        chunk_prompts(['cat', 'cat'], words)
    (chunk,) = chunk_prompts(['crane, bird', 'crane, machine'], words)
    assert chunk.tokens == ((1, 3), (5, 7))
    with pytest.raises(ValueError, match='no class names'):
        chunk_prompts([], words)


def test_spans_of_the_real_tokeniser(tmp_path):
    """With pieces of words, accents, and a name that looks like a special token."""
    transformers = pytest.importorskip('transformers')
    vocabulary = [f'[unused{i}]' for i in range(1030)]
    for i, token in {0: '[PAD]', 100: '[UNK]', 101: '[CLS]', 102: '[SEP]', 103: '[MASK]'}.items():
        vocabulary[i] = token
    vocabulary[1012], vocabulary[1029] = '.', '?'
    vocabulary += ['ten', '##ch', 'gold', '##fish', 'sep', '[', ']', 'ane', '-']
    (tmp_path / 'vocab.txt').write_text('\n'.join(vocabulary), encoding='utf-8')
    tokenizer = transformers.BertTokenizer(vocab=str(tmp_path / 'vocab.txt'))

    def offsets(text):
        return tokenizer(text, return_offsets_mapping=True)['offset_mapping']

    (chunk,) = chunk_prompts(['Tench', 'Gold-Fish?', '[SEP]', 'Âne'], offsets)
    ids = tokenizer(chunk.text)['input_ids']
    tokens = [tokenizer.convert_ids_to_tokens([ids[t] for t in own]) for own in chunk.tokens]
    assert tokens == [['ten', '##ch'], ['gold', '-', '[UNK]'], ['[', 'sep', ']'], ['ane']]
    assert ids.count(1012) == 4 and ids.count(102) == 1
    names = [f'tench {"gold " * (i % 7)}{"- " * i}' for i in range(60)]
    chunks = chunk_prompts(names, offsets)
    assert sum((chunk.classes for chunk in chunks), ()) == tuple(range(60))
    assert max(len(tokenizer(chunk.text)['input_ids']) for chunk in chunks) <= 256
    assert len(chunks) > 2


def test_imagenet_names_by_folder_or_by_file_name():
    paths = [
        'n01440764/n01440764_18.JPEG',
        'n01443537/ILSVRC2012_val_00000236.JPEG',
        'train/n02085620-Chihuahua/1.jpg',
        'n01440764_tench.JPEG',
        'n04019541/n01440764_1.JPEG',  # the folder wins; only ImageNet-22K has this one
    ]
    found = read_prompts('imagenet', paths)
    assert [found.names_of(path) for path in paths] == [
        ('tench, Tinca tinca',),
        ('goldfish, Carassius auratus',),
        ('Chihuahua',),
        ('tench, Tinca tinca',),
        ('puck, hockey puck',),
    ]
    assert read_prompts('ImageNet', paths[:1]).table == {'n01440764': ('tench, Tinca tinca',)}


def test_digest_changes_with_what_is_asked_for():
    digests = [read_prompts(spec, ['a.jpg']).digest() for spec in ('cat; dog', 'cat;dog', 'cat')]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 16


def test_photographs_without_wnid_are_counted_and_named():
    paths = ['n01440764/a.jpg', 'val_1.JPEG', 'cats/n1.jpg', 'n014407645/x.jpg']
    with pytest.raises(DatasetError, match='3 of 4 photographs') as error:
        read_prompts('imagenet', paths)
    assert 'first val_1.JPEG, cats/n1.jpg, n014407645/x.jpg: ' in str(error.value)
    assert "use 'folders' or a .json file" in str(error.value)


def test_unknown_wnid_is_named_with_a_photograph():
    with pytest.raises(DatasetError, match='1 of 2 classes have no name') as error:
        read_prompts('imagenet', ['n01440764/a.jpg', 'n99999999/b.jpg', 'n99999999/c.jpg'])
    assert 'n99999999 (of n99999999/b.jpg)' in str(error.value)


def test_folder_names_as_prompts():
    paths = ['golden_retriever/1.jpg', '012.Blue_Jay/x/1.jpg']
    found = read_prompts('folders', paths)
    assert [found.names_of(path) for path in paths] == [('golden_retriever',), ('Blue_Jay',)]


@pytest.mark.parametrize('folder', ['0', 'n01440764', '001.'])
def test_folders_that_are_no_words_are_named(folder):
    with pytest.raises(DatasetError, match=rf"'folders': 1 of 2 classes .*, first {folder} "):
        read_prompts('folders', ['cat/1.jpg', f'{folder}/1.jpg'])


def test_flat_photographs_have_no_folder_to_name_them():
    with pytest.raises(DatasetError, match=r'1 of 2 photographs show no class .*, first 1\.jpg: '):
        read_prompts('folders', ['cat/1.jpg', '1.jpg'])


def test_json_gives_each_folder_its_names(tmp_path):
    file = tmp_path / 'prompts.json'
    file.write_text(json.dumps({'c0': ['cat, kitten', ' dog'], 'c1': ['fish'], 'unused': ['?']}))
    found = read_prompts(str(file), ['c0/a.jpg', 'c1/deeper/b.jpg'])
    assert found.names_of('c0/a.jpg') == ('cat, kitten', 'dog')
    assert found.names_of('c1/deeper/b.jpg') == ('fish',)
    assert set(found.table) == {'c0', 'c1'}  # nothing that the run does not ask for


def test_folder_without_prompts_is_named_before_anything_starts(tmp_path):
    file = tmp_path / 'prompts.json'
    file.write_text('{"c0": ["cat"]}')
    paths = ['c0/a.jpg', *(f'd{i}/a.jpg' for i in range(7))]
    with pytest.raises(DatasetError, match='7 of 8 classes have no name') as error:
        read_prompts(str(file), paths)
    assert 'd0 (of d0/a.jpg)' in str(error.value) and 'and 2 more' in str(error.value)
    assert f'add them to {file}' in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"c0": "cat"}', r"holds 'cat' for 'c0': expected \{"),
        ('{"c0": [1]}', r"holds \[1\] for 'c0'"),
        ('["cat"]', r'holds a list: expected \{'),
        ('{"c0": ', r'is no JSON'),
        ('{"c0": []}', r'c0: no class names'),
        ('{"c0": ["cat", "?"]}', r"c0: class name '\?' holds nothing"),
        ('{"c0": ["cat", "Cat"]}', r"c0: the classes 'cat' and 'Cat' ask for the same"),
    ],
)
def test_damaged_json_is_named(tmp_path, content, message):
    file = tmp_path / 'prompts.json'
    file.write_text(content)
    with pytest.raises(DatasetError, match=rf'prompts\.json.*{message}'):
        read_prompts(str(file), ['c0/a.jpg'])


def test_text_file_and_inline_names_serve_all_photographs(tmp_path):
    file = tmp_path / 'prompts.txt'
    file.write_text('\ufeffperson\r\n\r\ncar, automobile\r\n', encoding='utf-8')
    for spec in (str(file), 'person; car, automobile'):
        found = read_prompts(spec, ['a.jpg', 'b/c.jpg'])
        assert found.names_of('a.jpg') == ('person', 'car, automobile')
        assert found.names_of('b/c.jpg') is found.names_of('a.jpg')
    file.write_text('\n')
    with pytest.raises(DatasetError, match='no class names'):
        read_prompts(str(file), ['a.jpg'])


def test_file_that_is_not_there_or_of_another_kind_is_no_prompt(tmp_path):
    with pytest.raises(DatasetError, match=r'lost\.txt: prompts cannot be read'):
        read_prompts(str(tmp_path / 'lost.txt'), ['a.jpg'])
    (tmp_path / 'prompts.csv').write_text('cat')
    with pytest.raises(DatasetError, match=r'prompts\.csv: expected prompts in a \.txt or \.json'):
        read_prompts(str(tmp_path / 'prompts.csv'), ['a.jpg'])
    (tmp_path / 'latin.txt').write_bytes(b'\xe2ne')
    with pytest.raises(DatasetError, match=r'latin\.txt, line 1, is no UTF-8'):
        read_prompts(str(tmp_path / 'latin.txt'), ['a.jpg'])
    with pytest.raises(DatasetError, match=r"class name '' holds nothing"):
        read_prompts('cat;', ['a.jpg'])


@pytest.mark.parametrize('module', [prompts, instances])
def test_prompts_and_merging_do_not_import_transformers(module, monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    assert runpy.run_path(module.__file__)['__doc__'] == module.__doc__
