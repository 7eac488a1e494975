import jinja2
import pytest

from mmc2fmae.html import render


def test_values_are_escaped_and_none_may_be_missing():
    name = '<script>alert(1)</script>"'
    page = render('base.html', title=name)
    assert page.startswith('<!DOCTYPE html>') and '<script>' not in page
    assert '<title>&lt;script&gt;alert(1)&lt;/script&gt;&#34;</title>' in page
    with pytest.raises(jinja2.UndefinedError, match='title'):
        render('base.html')
