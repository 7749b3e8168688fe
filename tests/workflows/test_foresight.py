import torch

from medtranslate.networks.progression import ProgressionGeneratorSettings, ProgressionNetwork
from medtranslate.workflows.foresight import look_ahead


def test_what_lies_beside_the_mask_is_there_to_move_into_it():
    torch.manual_seed(0)
    settings = ProgressionGeneratorSettings(channels=8, levels=2)
    network = ProgressionNetwork(settings, num_conditions=1)
    head = torch.rand(1, 16, 20, 12) + 0.5
    brain = torch.zeros_like(head)
    brain[:, 4:12, 4:16, 3:9] = 1

    foresight = look_ahead(
        network, source=head, mask=brain, condition=torch.zeros(1), nearness=None
    )

    torch.testing.assert_close(foresight.at(1.0).image[0], head, atol=1e-4, rtol=0)
