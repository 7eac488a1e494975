"""List the configs of the project, by the names that every command takes."""

import argparse

from mmc2fmae import configs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses among them."""
    parser.add_argument('part', nargs='?', default='', help='those alone that hold this text')
    parser.add_argument('--paths', action='store_true', help='their files in place of their names')


def run(args: argparse.Namespace) -> None:
    """Print the names.

    Raises:
        ValueError: No name holds the text.
    """
    found = [name for name in configs.names() if args.part in name]
    if not found:
        raise ValueError(f'no config holds {args.part!r} in its name')
    print('\n'.join(str(configs.find(name)) if args.paths else name for name in found))
