"""List the configs of the project, by the names that every command takes."""

import argparse

from mmc2fmae import configs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses among them."""
    parser.add_argument(
        'part', nargs='?', default='', help='those alone whose name or description holds this text'
    )
    parser.add_argument('--paths', action='store_true', help='their files in place of their names')


def run(args: argparse.Namespace) -> None:
    """Print what they are called and what they are for.

    Raises:
        ValueError: No config holds the text.
    """
    known = {name: configs.summary(name) for name in configs.names()}
    part = args.part.lower()
    found = [name for name, what in known.items() if part in f'{name}\n{what}'.lower()]
    if not found:
        raise ValueError(f'no config holds {args.part!r} in its name or description')
    if args.paths:
        print('\n'.join(str(configs.find(name)) for name in found))
        return
    width = max(map(len, found))
    print('\n'.join(f'{name:{width}}  {known[name]}'.rstrip() for name in found))
