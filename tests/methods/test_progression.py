import pytest
import torch
from lightning_fabric import Fabric

from medtranslate.methods.cgan import AdversarySettings
from medtranslate.methods.optimisation import OptimiserSettings
from medtranslate.methods.progression import Progression, ProgressionSettings, develop
from medtranslate.networks.progression import ProgressionGeneratorSettings, ProgressionNetwork
from medtranslate.networks.settings import DiscriminatorSettings

from .waiting import CountsReads

SETTINGS = ProgressionSettings(
    name="progression",
    generator=ProgressionGeneratorSettings(channels=8, levels=2),
    optimiser=OptimiserSettings(learning_rate=5e-3, ema_decay=0.9),
    adversary=AdversarySettings(
        weight=0.01, start=0.5, discriminator=DiscriminatorSettings(channels=8, num_layers=1)
    ),
)


def _build(seed=0):
    torch.manual_seed(seed)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    return Progression(ProgressionNetwork(SETTINGS.generator, num_conditions=1), SETTINGS, fabric)


def _ball(radius, centre=(8, 8, 8)):
    grid = torch.stack(torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij"))
    distance = (grid - torch.tensor(centre).view(3, 1, 1, 1)).square().sum(0).sqrt()
    return torch.sigmoid(2 * (radius - distance))[None, None]


def _batch(step=0):
    """A ball that grows by a voxel a year if the condition is 1, and not at all if it is -1."""
    drawn = torch.Generator().manual_seed(step)
    years = 0.5 + torch.rand(1, generator=drawn)
    drives = bool(torch.rand(1, generator=drawn) > 0.5)
    radius = 3 + float(torch.rand(1, generator=drawn))
    source, target = _ball(radius), _ball(radius + (float(years) if drives else 0.0))
    everywhere = torch.ones_like(source)
    return {
        "source": torch.cat([source, source], dim=1),
        "target": target,
        "mask": everywhere,
        "inside": everywhere,
        "years": years,
        "condition": torch.tensor([[1.0 if drives else -1.0]]),
        "label": source,
        "later": target,
    }


def _simulate(method, batch, years=None):
    network = method.generator.eval()
    with torch.inference_mode():
        dynamics = network(batch["source"], batch["condition"], batch["inside"])
        passed = batch["years"] if years is None else torch.tensor([years])
        return develop(network, dynamics, batch["source"][:, :1], passed).image


@pytest.fixture(scope="module")
def trained():
    method = _build()
    for step in range(150):
        method.update(_batch(step), progress=min(0.49, step / 150))
    return method


def test_an_untrained_method_says_that_nothing_changes():
    batch = _batch()

    torch.testing.assert_close(_simulate(_build(), batch), batch["source"][:, :1])


def test_learning_beats_no_change(trained):
    unseen = [_batch(step) for step in range(1000, 1012)]
    growing = [batch for batch in unseen if float(batch["condition"]) > 0]

    for batch in growing:
        error = (_simulate(trained, batch) - batch["target"]).abs().mean()
        assert error < 0.6 * (batch["source"][:, :1] - batch["target"]).abs().mean()
    assert len(growing) > 2


def test_a_further_region_is_part_of_the_loss():
    batch = _batch(1001)
    batch |= {
        "later": batch["label"]
    }  # stays: of the further region all of its change is asked for
    stays, shrinks = (
        {"label-ventricles": batch["label"], "later-ventricles": share * batch["label"]}
        for share in (1.0, 0.5)
    )

    losses = [_build().update(batch | one, progress=0.0)["loss"] for one in (stays, shrinks)]

    assert losses[1] - losses[0] == pytest.approx(0.1 * 0.5 / 0.75, rel=1e-4)


def test_no_time_gives_the_baseline(trained):
    batch = _batch(1000)

    torch.testing.assert_close(
        _simulate(trained, batch, 0.0), batch["source"][:, :1], atol=1e-5, rtol=0
    )


def test_a_covariate_that_drives_the_disease_drives_the_future(trained):
    batch = _batch(1001)
    volumes = {
        value: float(_simulate(trained, batch | {"condition": torch.tensor([[value]])}, 1.0).sum())
        for value in (-1.0, 1.0)
    }
    today = float(batch["source"][:, :1].sum())

    assert volumes[1.0] > 1.25 * today
    assert abs(volumes[-1.0] / today - 1) < 0.1


def test_longer_grows_more(trained):
    batch = _batch(1001) | {"condition": torch.tensor([[1.0]])}
    volumes = [float(_simulate(trained, batch, years).sum()) for years in (0.0, 0.4, 0.8, 1.2)]

    assert volumes == sorted(volumes)


def test_going_on_from_a_saved_state_equals_not_stopping():
    whole, first, second = _build(), _build(), _build(seed=7)
    for step in range(6):
        whole.update(_batch(step), progress=step / 6)
    for step in range(4):
        first.update(_batch(step), progress=step / 6)
    second.load_state(first.state())
    for step in range(4, 6):
        second.update(_batch(step), progress=step / 6)

    torch.testing.assert_close(
        second.generator.state_dict(), whole.generator.state_dict(), rtol=0, atol=0
    )


def test_nothing_in_an_update_waits_for_the_device():
    method, batch = _build(), _batch(1)
    method.update(_batch(), progress=0.9)

    with CountsReads() as reads:
        method.update(batch, progress=0.9)

    assert reads.count == 0


def test_the_adversary_enters_late_and_a_bad_batch_changes_nothing():
    method = _build()
    early = method.update(_batch(), progress=0.49)
    late = method.update(_batch(), progress=0.5)
    before = {key: value.clone() for key, value in method.generator.state_dict().items()}
    poisoned = _batch(1)
    poisoned["target"][0, 0, 3, 3, 3] = float("nan")

    method.update(poisoned, progress=0.9)

    assert set(early) == {"loss"}
    assert set(late) == {"loss", "adversarial", "discriminator"}
    torch.testing.assert_close(method.generator.state_dict(), before, rtol=0, atol=0)
    assert method.num_skipped > 0
