"""The options of probes: hooks are added to the config of one run, configs stay as they are."""

import argparse
from typing import Any

from mmengine.config import Config

from mmc2fmae.engine.train_options import pretrains
from mmc2fmae.evaluation.image_files import find_images
from mmc2fmae.probes.hooks import HealthProbeHook, KnnProbeHook, PictureProbeHook
from mmc2fmae.probes.labelled import read_labelled

MAX_SHARE = 0.05
"""Share of the time that all probes may take together, unless their distance is given."""
TRAINING_DATA = 'training data'
"""What ``--probe-health`` without a folder stands for."""
_HOOKS = (HealthProbeHook, KnnProbeHook, PictureProbeHook)


def apply_probes(cfg: Config, args: argparse.Namespace) -> None:
    """Add the probes that options ask for to a config in place; those of a kind give way.

    Args:
        cfg: Config of a pre-training.
        args: Options of :func:`mmc2fmae.cli.run_options.add_probe_arguments`.

    Raises:
        ValueError: Options contradict each other, or the config is no pre-training.
        DatasetError: A folder is not what a probe needs.
        FileNotFoundError: A folder does not exist, or holds no photographs.
    """
    asked = _asked(args)
    every = args.probe_every
    names = [kind.__name__ for kind in _HOOKS]
    own = [hook for hook in cfg.get('custom_hooks') or [] if hook['type'] in names]
    if every is not None:
        if not (asked or own):
            raise ValueError(
                f'--probe-every {every} says how often, but no probe is asked for: give '
                '--probe-health, --probe-knn FOLDER or --probe-pictures, too'
            )
        for hook in own:
            hook['every'] = every
    if not asked:
        return
    options = ', '.join(asked)
    if not pretrains(cfg):
        raise ValueError(
            f'{options}: probes watch a pre-training, this config trains a {cfg.model.type}: leave '
            'them out'
        )
    if 'max_epochs' not in (cfg.get('train_cfg') or {}):
        raise ValueError(f'{options}: probes count epochs, this config has no train_cfg.max_epochs')
    hooks = [dict(hook) for hook in asked.values()]
    for hook in hooks:
        hook |= dict(every=every, max_share=MAX_SHARE / len(hooks))
        _check_folder(hook)
    replaced = [hook['type'] for hook in hooks]
    kept = [hook for hook in cfg.get('custom_hooks') or [] if hook['type'] not in replaced]
    cfg.custom_hooks = [*kept, *hooks]
    imports = cfg.setdefault('custom_imports', dict(imports=[], allow_failed_imports=False))
    # So that the folder of the run, read as a config, knows the hooks.
    imports['imports'] = list(dict.fromkeys([*imports['imports'], 'mmc2fmae.probes']))


def _asked(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if args.probe_health:
        given = args.probe_health
        folder = '' if given is True or given == TRAINING_DATA else str(given)
        found['--probe-health'] = dict(type='HealthProbeHook', folder=folder)
    if args.probe_knn:
        found['--probe-knn'] = dict(type='KnnProbeHook', folder=str(args.probe_knn))
    if args.probe_pictures:
        found['--probe-pictures'] = dict(type='PictureProbeHook')
    return found


def _check_folder(hook: dict[str, Any]) -> None:
    """Look at a folder before anything is built."""
    if hook['type'] == 'KnnProbeHook':
        read_labelled(hook['folder'], hook.get('k', 20))
    elif hook.get('folder'):
        number = len(find_images(hook['folder']))
        if number < HealthProbeHook.LEAST:
            raise ValueError(
                f'--probe-health {hook["folder"]} holds {number} photographs, expected '
                f'{HealthProbeHook.LEAST} or more: name a folder with more'
            )
