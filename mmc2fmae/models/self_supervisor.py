"""What the pre-training algorithms of this project share."""

import torch
from mmengine.dist import all_reduce, get_world_size
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor


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
