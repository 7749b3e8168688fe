import pytest
import torch
from lightning_fabric import Fabric

from medtranslate.methods.cgan import AdversarySettings, Cgan, CganSettings
from medtranslate.methods.optimisation import GuardedOptimiser, OptimiserSettings, one_cycle
from medtranslate.methods.regression import Regression, RegressionSettings
from medtranslate.networks.generator import Generator
from medtranslate.networks.settings import DiscriminatorSettings, GeneratorSettings
from medtranslate.pipeline import METHODS

from .waiting import CountsReads

GENERATOR = GeneratorSettings(channels=8, blocks=(1, 1))
OPTIMISER = OptimiserSettings(learning_rate=3e-3, ema_decay=0.9)
ADVERSARY = AdversarySettings(
    weight=0.01,
    start=0.5,
    discriminator=DiscriminatorSettings(channels=8, num_layers=1, learning_rate=5e-3),
)
SETTINGS = {
    "regression": RegressionSettings(name="regression", generator=GENERATOR, optimiser=OPTIMISER),
    "cgan": CganSettings(
        name="cgan", generator=GENERATOR, optimiser=OPTIMISER, adversary=ADVERSARY
    ),
}


def _build(name, seed=0):
    torch.manual_seed(seed)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    return METHODS[name](Generator(GENERATOR), SETTINGS[name], fabric)


def _batch(step=0):
    """A target that a voxel-wise map cannot give: the source seen one voxel to the right."""
    generator = torch.Generator().manual_seed(step)
    source = torch.rand(1, 1, 16, 16, 16, generator=generator)
    target = 0.5 * source + 0.5 * source.roll(1, dims=2)
    shown = torch.cat([source, source], dim=1)
    return {"source": shown, "target": target, "mask": torch.ones_like(source)}


def test_every_method_of_the_table_is_tested_here():
    assert set(METHODS) == set(SETTINGS) == {"regression", "cgan"}
    assert METHODS["cgan"] is Cgan
    assert METHODS["regression"] is Regression


@pytest.mark.parametrize("name", SETTINGS)
def test_an_untrained_method_equals_its_starting_map(name):
    method, source = _build(name), _batch()["source"]

    torch.testing.assert_close(method.translate(source), source[:, :1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SETTINGS)
def test_learning_beats_copying_the_source(name):
    method = _build(name)
    for step in range(80):
        method.update(_batch(step), progress=step / 80)
    unseen = _batch(1000)

    error = (method.translate(unseen["source"]) - unseen["target"]).abs().mean()

    assert error < 0.6 * (unseen["source"][:, :1] - unseen["target"]).abs().mean()


@pytest.mark.parametrize("name", SETTINGS)
def test_going_on_from_a_saved_state_equals_not_stopping(name):
    whole, first, second = _build(name), _build(name), _build(name, seed=7)
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


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_with_non_finite_gradients_leaves_the_weights_alone(name):
    method = _build(name)
    method.update(_batch(), progress=0.9)
    before = {key: value.clone() for key, value in method.generator.state_dict().items()}
    poisoned = _batch(1)
    poisoned["target"][0, 0, 3, 3, 3] = float("nan")
    skipped = method.num_skipped

    method.update(poisoned, progress=0.9)

    torch.testing.assert_close(method.generator.state_dict(), before, rtol=0, atol=0)
    assert method.num_skipped > skipped


@pytest.mark.parametrize("name", SETTINGS)
def test_nothing_in_an_update_waits_for_the_device(name):
    method, poisoned = _build(name), _batch(1)
    poisoned["target"][0, 0, 3, 3, 3] = float("nan")
    method.update(_batch(), progress=0.9)

    with CountsReads() as reads:
        method.update(_batch(2), progress=0.9)
        method.update(poisoned, progress=0.9)

    assert reads.count == 0
    assert float(method.num_skipped) > 0


@pytest.mark.parametrize("place", ["loss", "gradient"])
def test_an_update_is_left_out_for_an_infinite_loss_or_gradient_alone(place):
    class Spoils(torch.autograd.Function):
        @staticmethod
        def forward(context, loss):
            return loss + (float("inf") if place == "loss" else 0.0)

        @staticmethod
        def backward(context, gradient):
            return gradient * (1.0 if place == "loss" else float("inf"))

    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    options = OPTIMISER.model_dump(exclude={"ema_decay"})
    optimiser = GuardedOptimiser(fabric, torch.nn.Linear(3, 1), **options)
    shown = torch.ones(2, 3)
    done = optimiser.step(optimiser.network(shown).square().sum(), progress=0.5)
    before = [weight.clone() for weight in optimiser.network.parameters()]
    moments = optimiser.state()["moments"]["0"]["step"].clone()

    left_out = optimiser.step(Spoils.apply(optimiser.network(shown).sum()), progress=0.5)

    assert (float(done), float(left_out), float(optimiser.num_skipped)) == (0.0, 1.0, 1.0)
    torch.testing.assert_close(list(optimiser.network.parameters()), before, rtol=0, atol=0)
    torch.testing.assert_close(optimiser.state()["moments"]["0"]["step"], moments)


def test_the_adversary_enters_late():
    method = _build("cgan")

    early = method.update(_batch(), progress=0.49)
    late = method.update(_batch(), progress=0.5)

    assert set(early) == {"loss"}
    assert set(late) == {"loss", "adversarial", "discriminator"}


def test_the_discriminator_learns_to_tell_predictions_from_targets():
    method = _build("cgan")
    losses = [method.update(_batch(step), progress=0.6)["discriminator"] for step in range(60)]

    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_the_learning_rate_rises_then_falls():
    rates = [one_cycle(progress / 100) for progress in range(101)]

    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates.index(max(rates)) == pytest.approx(3, abs=1)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert rates[50] > rates[80] > rates[100]
