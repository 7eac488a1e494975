"""The command `mmc2fmae`: one sub-command for every script in tools/, and what they share.

Every sub-command is a module with ``add_arguments(parser)``, which imports nothing heavy, and
``run(args)``, which imports what it needs. So arguments are understood before torch is loaded.
"""

import os
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import mmc2fmae
from mmc2fmae import compat, configs
from mmc2fmae.cli.parsing import Parser, accept_debug
from mmc2fmae.errors import nearest


class Command(NamedTuple):
    """One sub-command.

    Args:
        module: Module in this package.
        help: What it does, in one line.
        tool: Script in tools/ that does the same, without suffix; None where there is none.
        light: Whether it runs without OpenMMLab, so that nothing is registered for it.
    """

    module: str
    help: str
    tool: str | None = None
    light: bool = False


COMMANDS: dict[str, Command] = {
    'train': Command('train', 'train whatever a config describes', 'train'),
    'test': Command('test', 'evaluate a checkpoint as its config says', 'test'),
    'configs': Command('list_configs', 'list the configs of the project', light=True),
    'env': Command('environment', 'versions, gaps, and whether training can run', light=True),
    'demo': Command('demo', 'draw scenes, pre-train a mini model, draw what it learned', 'demo'),
    'scenes': Command('scenes', 'write the built-in scenes to disk', 'make_scenes', light=True),
    'label': Command('label', 'make label maps for photographs', 'label_images'),
    'convert-data': Command('convert_data', 'labels of others to maps', 'convert_dataset'),
    'check': Command('check', 'check a dataset', 'check_dataset'),
    'browse': Command('browse', 'draw contact sheets of a dataset', 'browse_dataset'),
    'pack': Command('pack', 'publish or install label maps', 'pack_labels'),
    'bundle': Command('bundle', 'photographs with maps as shards', 'bundle_dataset'),
    'masks-to-coco': Command('masks_to_coco', 'instance masks to COCO json', 'masks_to_coco'),
    'convert': Command('convert', 'convert a checkpoint between formats', 'convert_checkpoint'),
    'export-run': Command('export_run', 'write a run as one folder for others'),
    'features': Command('features', 'write features of images', 'extract_features'),
    'knn': Command('knn', 'evaluate features by nearest neighbours', 'eval_knn'),
    'robustness': Command('robustness', 'evaluate on ImageNet-A, -R, -S, -C', 'eval_robustness'),
    'reproduce': Command('reproduce', "the paper's tables: plan, run, report", 'reproduce'),
    'figures': Command('figures', "draw the paper's figures", 'figures'),
    'show-run': Command('show_run', 'draw a pre-training run', 'visualize_run'),
    'show-predictions': Command(
        'show_predictions', 'draw boxes, masks or classes on photographs', 'visualize_predictions'
    ),
    'bench': Command('bench', 'speed, memory and agreement of precisions on this machine'),
    'web': Command('web', 'serve a page that shows what a model sees', 'web_demo'),
}


def parser() -> Parser:
    """Return the whole parser: every sub-command with all of its options."""
    whole, commands = _overview()
    for name, command in COMMANDS.items():
        _fill(commands[name], _module(command))
    return whole


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run a command line and return the exit status.

    Mistakes of the user are one line and status 2, an interruption is status 130. What nobody
    expects keeps its traceback.

    Args:
        arguments: Sub-command and its options; None takes those of the process.
        prog: What the user called, for messages (``mmc2fmae COMMAND``).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else '--help'
    if name.startswith('-'):
        _overview()[0].parse_args(words or [name])
        return 0
    if name not in COMMANDS:
        known = nearest(name, COMMANDS)
        print(
            f'mmc2fmae: error: there is no command {name!r}{known}; `mmc2fmae --help` lists them',
            file=sys.stderr,
        )
        return 2
    module = _module(COMMANDS[name])
    named = _fill(Parser(prog=prog or f'mmc2fmae {name}'), module)
    for before, word in pairwise(words):
        if re.fullmatch(r'(--[\w-]+=)?', word):  # "$DATA" that is not set would mean this folder
            named.error(
                f'{word.rstrip("=") or f"what follows {before}"} is empty: is a variable unset?'
            )
    args = named.parse_args(words[1:])
    return _run(COMMANDS[name], module, args, named.prog)


def _run(command: Command, module: ModuleType, args: Namespace, prog: str) -> int:
    debug = vars(args).pop('debug', False)
    expected = (ValueError, OSError, ImportError, *getattr(module, 'EXPECTED', ()))
    try:
        _say_whose_package(prog)
        for name in ('config', 'sets'):  # a wrong path shows at once
            if getattr(args, name, None):
                configs.find(getattr(args, name))
        if not command.light:
            compat.close_gaps()
            mmc2fmae.register()
        return module.run(args) or 0
    except KeyboardInterrupt as error:
        _say(prog, f'interrupted{", " if error.args else ""}{error}')
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except expected as error:
        if debug:
            traceback.print_exc()
        # One line, also of what torch and others word on several.
        said = (
            ' '.join(filter(None, map(str.strip, str(error).splitlines()))) or type(error).__name__
        )
        _say(prog, f'{_rank()}error: {said}')
        return 2


def _say(prog: str, text: str) -> None:
    sys.stdout.flush()
    print(f'{prog}: {text}', file=sys.stderr, flush=True)


def _rank() -> str:
    """Return which process of a distributed run this is, '' in a single one."""
    for rank, size in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_NTASKS')):
        if int(os.environ.get(size) or 1) > 1:
            number = os.environ.get(rank)
            return f'rank {number}: ' if number else ''  # a shell that Slurm gave has none
    return ''


def _say_whose_package(prog: str) -> None:
    """Warn where a script of a checkout runs with the package of another installation."""
    script = Path(sys.argv[0]).resolve()
    own = script.parents[1] / 'mmc2fmae' if script.parent.name == 'tools' else configs.PACKAGE
    if own.is_dir() and own != configs.PACKAGE.resolve():
        _say(
            prog,
            f'warning: {script} runs with mmc2fmae {mmc2fmae.__version__} of {configs.PACKAGE}, '
            f"not with its own checkout's: pip install -e {script.parents[1]}",
        )


def _module(command: Command) -> ModuleType:
    return import_module(f'mmc2fmae.cli.{command.module}')


def _fill(parser: Parser, module: ModuleType) -> Parser:
    parser.description = module.__doc__
    module.add_arguments(parser)
    accept_debug(parser)
    return parser


def _overview() -> tuple[Parser, dict[str, Parser]]:
    """Return the parser that knows the names of the sub-commands alone, and their parsers."""
    whole = Parser(prog='mmc2fmae', description='C2FMAE, coarse-to-fine masked autoencoders.')
    whole.add_argument('--version', action='version', version=f'mmc2fmae {mmc2fmae.__version__}')
    parts = whole.add_subparsers(dest='command', required=True, metavar='COMMAND')
    return whole, {name: parts.add_parser(name, help=c.help) for name, c in COMMANDS.items()}
