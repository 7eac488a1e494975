"""Serve a web page, on this machine, that shows what a pre-trained model sees and predicts."""

import argparse
from pathlib import Path

from mmc2fmae.cli.parsing import whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('source', help='checkpoint of a pre-training, or its work dir')
    parser.add_argument('--config', help='config of the run, if the checkpoint has none')
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--data-root', help="folder of the examples' data, in place of the config's")
    where.add_argument(
        '--images', nargs='+', metavar='PATH', help='photographs or folders of them as examples'
    )
    parser.add_argument('--host', default='127.0.0.1', help='address (127.0.0.1: this machine)')
    parser.add_argument(
        '--port', type=whole_number, default=7860, help='port; 0 takes a free one (7860)'
    )


def run(args: argparse.Namespace) -> None:
    """Serve until interrupted.

    Raises:
        ModuleNotFoundError: The extra [web] is not installed.
    """
    try:
        from mmc2fmae.web.app import LOCAL, build_app, open_socket, serve
    except ModuleNotFoundError as error:
        fix = "pip install -e '.[web]' in a checkout, otherwise pip install 'mmc2fmae[web]'"
        raise ModuleNotFoundError(f'{error.name} is not installed: {fix}') from error
    from mmc2fmae.configs import find
    from mmc2fmae.web.study import find_examples, open_study

    server = open_socket(args.host, args.port)  # before the model: a taken port shows at once
    study = open_study(args.source, args.config and find(args.config), args.data_root)
    examples = []
    root = Path(study.autoencoder.cfg.train_dataloader.dataset.get('data_root') or '')
    named = args.images or args.data_root or args.config
    if named or (root.is_dir() and args.host in LOCAL):
        examples = find_examples(study, args.images)
    elif root.is_dir():  # what a checkpoint names is shown to its user alone
        print(f'no examples: to show {root} to others, name it (--data-root {root})')
    else:
        print(f"no examples: the run's data {root} is not here (--data-root, --images)")
    app = build_app(study, examples, args.host)
    if args.host not in LOCAL:
        print(f'everybody who reaches {args.host} can use this page')
    print(f'http://{args.host}:{server.getsockname()[1]} (Ctrl-C ends it)', flush=True)
    serve(app, server)
