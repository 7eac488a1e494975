"""What the pre-training algorithms of this project share."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor

from mmc2fmae.errors import shown


def compiled(function: Callable[..., Any], options: Mapping[str, Any] | bool) -> Any:
    """Return a function as ``torch.compile`` makes it, with the options of a config.

    Args:
        function: What to compile, when it is called first.
        options: Arguments of ``torch.compile``; True has none.

    Raises:
        ValueError: ``torch.compile`` does not take them.
    """
    given = dict(options) if isinstance(options, Mapping) else {}
    try:
        return torch.compile(function, **given)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = shown(str(error).strip().partition('\n')[0], 160)
        raise ValueError(
            f'compile={given} is not what torch.compile takes ({reason}): leave the options out, '
            'compile=True, or correct them'
        ) from error


class SelfSupervisor(BaseSelfSupervisor):
    """mmpretrain's base class, but what is logged is the mean over all processes."""

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses (Eq. 12 of C2FMAE); what is logged is the mean over all processes."""
        total, log = super().parse_losses(losses)
        if get_world_size() > 1:
            values = torch.stack([value.detach().float() for value in log.values()])
            all_reduce(values, op='mean')
            log = dict(zip(log, values.unbind(), strict=True))
        return total, log
