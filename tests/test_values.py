import random
import string

import pytest

from mmc2fmae.values import parse_value, write_value

CASES = [
    ('1', 1), ('-2', -2), ('1e-3', 1e-3), ('true', True), ('False', False), ('None', None),
    ('none', 'none'), ("''", ''), ('a', 'a'), ('x=y', 'x=y'), ('a=1,b=2', ['a=1', 'b=2']),
    ('1,2', [1, 2]), ('(1,2)', (1, 2)), ('(1,)', (1,)), ('[]', []), ('[1, 2]', [1, 2]),
    ("['a', 'b']", ['a', 'b']), ('[(1,a),2]', [(1, 'a'), 2]), ('((1,2),(3,4))', ((1, 2), (3, 4))),
    ('/my data/some file.txt', '/my data/some file.txt'), ("'/a,b/c'", '/a,b/c'),
    ('"1"', '1'), ("'None'", 'None'), ("it's", "it's"), ('"it\'s, here"', "it's, here"),
    ("['a,b', \"c\"]", ['a,b', 'c']), ('/data (old)/x', '/data (old)/x'), ("'(a'", '(a'),
]  # fmt: skip


@pytest.mark.parametrize(('text', 'value'), CASES)
def test_values_as_typed(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize('text', ['', ' ', '[a,,b]', '1,,2', '(,1)'])
def test_nothing_is_no_value(text):
    with pytest.raises(ValueError, match=r"the value is empty: .* An empty text is ''$"):
        parse_value(text)


@pytest.mark.parametrize('text', ['(1', '1)', '[1,2)', "'a", "[1,'a]"])
def test_what_is_not_closed_is_refused(text):
    with pytest.raises(ValueError, match='put a text in quotes'):
        parse_value(text)


def test_what_is_written_is_read_back():
    draw = random.Random(0)
    letters = string.ascii_letters + string.digits + " ,=()[]/.-_:'äß"

    def value(depth):
        kind = draw.randrange(7 if depth else 5)
        if kind > 4:
            return (list, tuple)[kind - 5](value(depth - 1) for _ in range(draw.randrange(4)))
        text = ''.join(draw.choices(letters, k=draw.randrange(8)))
        return [draw.randrange(-99, 99), draw.random(), draw.random() < 0.5, None, text][kind]

    for _ in range(2000):
        one = value(2)
        assert parse_value(write_value(one)) == one, (one, write_value(one))
