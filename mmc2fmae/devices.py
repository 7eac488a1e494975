"""The device that a user names, where this machine has it."""

import os

import torch


def find_device(name: str | None = None) -> torch.device:
    """Return a device on which tensors can be made.

    Args:
        name: 'cpu', 'cuda', 'cuda:1', ...; None takes a GPU where there is one. Without a number,
            each of the processes that torchrun started on a machine gets a GPU of its own.

    Raises:
        ValueError: There is no such kind of device, or none of it here.
    """
    if name is None:
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    if name == 'cuda' and torch.cuda.is_available():  # Slurm may show each process one GPU alone
        name = f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()}'
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f'device {name!r}: expected cpu, cuda or cuda:1') from error
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).strip().partition('\n')[0].rstrip('.')
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise ValueError(
            f'device {name!r}: it cannot be used ({said}); this machine has {gpus} GPUs that torch '
            'sees'
        ) from error
    return device
