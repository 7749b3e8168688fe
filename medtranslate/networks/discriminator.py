"""The conditional patch discriminator."""

from __future__ import annotations

from monai.networks.nets import MultiScalePatchDiscriminator
from torch import Tensor, cat, nn

from medtranslate.networks.inputs import NUM_CHANNELS
from medtranslate.networks.settings import DiscriminatorSettings


class ConditionalDiscriminator(nn.Module):
    """Tell real targets from predictions, given the source (Isola et al., 2017).

    MONAI's multi-scale patch discriminator on the generator's inputs and the target as channels.
    """

    def __init__(self, settings: DiscriminatorSettings, *, num_given: int = NUM_CHANNELS) -> None:
        """Build an untrained discriminator that is given so many channels beside the target."""
        super().__init__()
        self.patches = MultiScalePatchDiscriminator(
            num_d=settings.num_scales,
            num_layers_d=settings.num_layers,
            spatial_dims=3,
            channels=settings.channels,
            in_channels=num_given + 1,
            out_channels=1,
            norm="INSTANCE",
        )

    def forward(self, source: Tensor, target: Tensor) -> list[Tensor]:
        """Logits of each scale, each ``(n, 1, i', j', k')``; high means real."""
        logits, _ = self.patches(cat([source, target], dim=1))
        return list(logits)
