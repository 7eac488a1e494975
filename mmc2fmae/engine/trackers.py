"""--tensorboard, --wandb, --mlflow: services that follow a run, beside its own log."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import MLflowVisBackend, WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

# Package, and at once option, to a name that it must have (a folder of its name in the working
# directory can be imported, too) and to mmengine's part that writes to it.
_TRACKERS = {
    'tensorboard': ('__version__', 'TensorboardVisBackend'),
    'wandb': ('init', 'WandbRunBackend'),
    'mlflow': ('start_run', 'MLflowRunBackend'),
}


def add_trackers(cfg: Config, options: Mapping[str, Any]) -> None:
    """Add what options ask for to the visualizer of a config, in place.

    Args:
        cfg: The config.
        options: ``tensorboard``, ``wandb`` and ``mlflow``; what is not there is not asked for.

    Raises:
        ImportError: The package of one is not installed.
    """
    for package, (name, backend) in _TRACKERS.items():
        if not options.get(package):
            continue
        try:
            there = hasattr(import_module(package), name)
        except ImportError:
            there = False
        if not there:
            raise ImportError(f'--{package} needs a package: pip install {package}')
        visualizer = cfg.setdefault('visualizer', dict(type='Visualizer', vis_backends=[]))
        backends = list(visualizer.get('vis_backends') or [])
        if backend not in [part['type'] for part in backends]:
            visualizer['vis_backends'] = [*backends, dict(type=backend)]


@contextmanager
def _one_line(option: str, fix: str) -> Iterator[None]:
    """Turn what a tracker raises, of kinds of its own, into one line with the fix."""
    try:
        yield
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        uri = os.environ.get('MLFLOW_TRACKING_URI')  # may hold a password
        text = said[0].replace(uri, 'MLFLOW_TRACKING_URI') if uri else said[0]
        raise ValueError(f'--{option}: {text}; {fix}') from error


@VISBACKENDS.register_module()
class WandbRunBackend(WandbVisBackend):
    """mmengine's, but curves go by iteration, and the files of the working directory stay here.

    ``WANDB_PROJECT``, ``WANDB_MODE`` and the others of Weights & Biases say where it goes; none of
    them enters the config or the log.
    """

    def __init__(self, save_dir: str) -> None:
        run = Path(save_dir).parents[1]  # WORK_DIR/TIME/vis_data
        project = os.environ.get('WANDB_PROJECT', 'mmc2fmae')
        super().__init__(
            save_dir,
            init_kwargs=dict(project=project, name=os.environ.get('WANDB_NAME', run.name)),
            define_metric_cfg=[dict(name='*', step_metric='iter')],
        )

    def _init_env(self) -> None:
        """Start, or say in one line why not.

        Raises:
            ValueError: W&B refuses, for want of a key for example.
        """
        fix = 'run `wandb login`, or set WANDB_MODE=offline and send the run later (wandb sync)'
        with _one_line('wandb', fix):
            super()._init_env()

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Record the config."""
        self._wandb.config.update(config.to_dict(), allow_val_change=True)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Record an (H, W, 3) RGB picture of an iteration."""
        self._wandb.log({name: self._wandb.Image(image), 'iter': step})

    def close(self) -> None:
        """End the run."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowRunBackend(MLflowVisBackend):
    """mmengine's, but a server is named by MLFLOW_TRACKING_URI, which may hold a password.

    Without it the run is written into ``WORK_DIR/mlflow.db``, its files beside it into ``mlruns``.
    """

    def __init__(self, save_dir: str) -> None:
        run = Path(save_dir).absolute().parents[1]
        server = os.environ.get('MLFLOW_TRACKING_URI')
        super().__init__(
            save_dir,
            exp_name=os.environ.get('MLFLOW_EXPERIMENT_NAME', 'mmc2fmae'),
            run_name=os.environ.get('MLFLOW_RUN_NAME', run.name),
            tracking_uri=server or f'sqlite:///{run / "mlflow.db"}',
            artifact_location=None if server else (run / 'mlruns').as_uri(),
        )

    def _init_env(self) -> None:
        """Start, or say in one line why not.

        Raises:
            ValueError: MLflow refuses, or cannot be reached.
        """
        with _one_line('mlflow', 'unset MLFLOW_TRACKING_URI to write into the work dir'):
            super()._init_env()

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Record the config as a file, and what is most often compared as parameters."""
        self.cfg = config
        loader, wrapper = config.get('train_dataloader') or {}, config.get('optim_wrapper') or {}
        optimizer = wrapper.get('optimizer') or {}
        self._mlflow.log_params(
            dict(
                model=config.model.type,
                lr=optimizer.get('lr'),
                optimizer=optimizer.get('type'),
                batch_size=loader.get('batch_size'),
                accumulate=wrapper.get('accumulative_counts', 1),
                length=str(dict(config.get('train_cfg') or {})),
            )
        )
        self._mlflow.log_text(config.pretty_text, 'config.py')

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Record an (H, W, 3) RGB picture of an iteration."""
        self._mlflow.log_image(image, f'{name}_{step:07d}.png')

    def close(self) -> None:
        """End the run; its files stay in the work dir."""
        if hasattr(self, '_mlflow'):
            self._mlflow.end_run()
