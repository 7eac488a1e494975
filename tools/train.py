"""Train whatever a config describes: pre-training, classification, detection, segmentation."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.engine import launch


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    launch.add_train_arguments(parser)
    args = parser.parse_args()
    cfg = launch.load_config(args)
    launch.apply_train_options(cfg, args)
    launch.build_runner(cfg).train()
    launch.leave_processes()


if __name__ == '__main__':
    main()
