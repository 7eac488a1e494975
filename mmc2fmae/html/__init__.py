"""The pages of reports: one template each, escaped, with nothing from elsewhere."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, **values: object) -> str:
    """Return a page; all values are escaped.

    Args:
        template: File name in this folder.
        **values: What the template names.

    Raises:
        jinja2.UndefinedError: A value is missing.
    """
    return _TEMPLATES.get_template(template).render(values)
