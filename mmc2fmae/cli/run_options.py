"""Options of training and testing; launch.py and train_options.py of mmc2fmae.engine apply them."""

import argparse

from mmc2fmae.cli.checkpoint_options import add_weights_argument
from mmc2fmae.cli.parsing import KeyValues, at_least_one, positive, whole_number


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share."""
    parser.add_argument(
        'config', help='config file, mmc2fmae::... (`mmc2fmae configs`), or the folder of a run'
    )
    parser.add_argument('--work-dir', help='folder of the run (work_dirs/CONFIG_NAME)')
    parser.add_argument('--data-root', help="folder of the data, in place of the config's")
    for tracker, where in (
        ('tensorboard', 'TensorBoard, into the work dir'),
        ('wandb', 'Weights & Biases (WANDB_MODE=offline: into the work dir)'),
        ('mlflow', 'MLflow (into the work dir unless MLFLOW_TRACKING_URI names a server)'),
    ):
        parser.add_argument(f'--{tracker}', action='store_true', help=f'also log to {where}')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValues,
        metavar='KEY=VALUE',
        help='config fields to override, such as train_cfg.max_epochs=10; +KEY=VALUE adds one that '
        'the config does not have',
    )
    add_set_argument(parser)
    add_size_arguments(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help='set by launchers'
    )


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that sets a field of every part of a type."""
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='TYPE.FIELD=VALUE',
        help='set a field of every part of a type, such as JointRandomResizedCrop.size=448; may '
        'be given several times',
    )


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that move several fields together, for training and testing."""
    parser.add_argument('--batch-size', type=at_least_one, metavar='N', help='samples a process')
    parser.add_argument(
        '--workers', type=whole_number, metavar='N', help='processes that read data'
    )
    parser.add_argument(
        '--size',
        type=at_least_one,
        metavar='PIXELS',
        help='side of the input, with crops, resizing, positions and masking',
    )
    parser.add_argument(
        '--classes',
        metavar='A,B,C',
        help="names of the classes, or 'auto' for those that the data states, with heads, data and "
        'metrics',
    )


def add_length_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of training alone that move several fields together."""
    parser.add_argument(
        '--epochs', type=at_least_one, metavar='N', help='length of the run, schedule stretched'
    )
    parser.add_argument(
        '--iters', type=at_least_one, metavar='N', help='the same, where a run counts iterations'
    )
    parser.add_argument(
        '--patch-size',
        type=at_least_one,
        metavar='PIXELS',
        help='side of a patch, with masking, decoder and pyramid',
    )
    parser.add_argument('--lr', type=positive, metavar='RATE', help='highest learning rate')


def add_amp_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of mixed precision, which training and robustness share."""
    parser.add_argument(
        '--amp',
        nargs='?',
        const='bfloat16',
        choices=['bfloat16', 'float16'],
        help='mixed precision (bfloat16 unless said otherwise)',
    )


def add_probe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that look at what a pre-training learns."""
    group = parser.add_argument_group('probes of a pre-training', 'See docs/watch_run.md.')
    group.add_argument(
        '--probe-health',
        nargs='?',
        const='training data',
        metavar='FOLDER',
        help='rank and structure of the features of photographs, by default of the training data',
    )
    group.add_argument(
        '--probe-knn',
        metavar='FOLDER',
        help='k-NN and linear classification of photographs in class folders',
    )
    group.add_argument('--probe-pictures', action='store_true', help='pictures of reconstructions')
    group.add_argument(
        '--probe-every',
        type=positive,
        metavar='EPOCHS',
        help='distance of two probes, such as 0.25 (as many as take 5 %% of the time)',
    )


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of training alone."""
    add_length_arguments(parser)
    add_probe_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue an interrupted run, by default from the whole checkpoint it wrote last',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='start anew where another run left checkpoints; these are set aside in the folder',
    )
    parser.add_argument(
        '--init-from',
        metavar='CHECKPOINT',
        help='start a new run from these weights (a file, or the folder of a run)',
    )
    parser.add_argument(
        '--checkpoint',
        metavar='CHECKPOINT',
        help="fill the model's backbone from this pre-trained checkpoint, of whatever source "
        '(docs/checkpoints.md)',
    )
    add_weights_argument(parser)
    add_amp_argument(parser)
    parser.add_argument(
        '--shard',
        action='store_true',
        help='each process keeps its part of weights, gradients and optimizer (FSDP)',
    )
    parser.add_argument('--compile', action='store_true', help='use torch.compile')
    parser.add_argument(
        '--debug-nan',
        action='store_true',
        help='where loss or gradient is not finite, compute that batch again in fp32 and name the '
        'first module and the sample; slower',
    )
    parser.add_argument('--seed', type=whole_number, help="random seed, in place of the config's")
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the batch size that this machine really runs',
    )
    parser.add_argument(
        '--total-batch',
        type=at_least_one,
        metavar='N',
        help='reach this total batch size by accumulating gradients, learning rate unchanged',
    )
