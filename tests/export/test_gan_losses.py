"""Steps of training ICE-GAN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from export.capsule_losses import expressions_missed
from export.gan_losses import (
    Pairs,
    critic_loss,
    critic_step,
    generator_loss,
    generator_step,
    optimisers,
    taken_for,
)
from export.networks.icegan import ICEGAN
from export.networks.icegan_generator import REACH, Generator


@pytest.fixture
def pairs() -> Pairs:
    torch.manual_seed(0)
    onset = 1.6 * torch.rand(3, 1, 128, 128) - 0.8
    apex = onset + 0.1 * torch.randn(3, 1, 128, 128)
    return Pairs(onset, apex, torch.tensor([0, 1, 2]), torch.tensor([0, 2, 2]))


def test_a_few_steps_run(pairs: Pairs) -> None:
    """Warm-up, then both in turn: losses are finite, and made faces stay near the onset."""
    critic, generator = ICEGAN(), Generator()
    of_critic, of_generator = optimisers(critic, generator, 1e-4)
    losses = [critic_step(critic, pairs, None, of_critic)]
    for _ in range(2):
        made = generator(pairs.onset, pairs.wanted, pairs.noise())
        losses.append(critic_step(critic, pairs, made, of_critic))
        losses.append(generator_step(critic, generator, pairs, made, of_generator, embed=nn.Flatten()))
    assert all(math.isfinite(loss) for loss in losses)
    with torch.inference_mode():
        made = generator(pairs.onset, pairs.wanted, pairs.noise())
    assert (made - pairs.onset).abs().max() <= REACH + 1e-6


def test_each_step_moves_one_network_alone(pairs: Pairs) -> None:
    """The critic learns from faces that it cannot change, the generator from a critic that it cannot change."""
    critic, generator = ICEGAN(), Generator()
    of_critic, of_generator = optimisers(critic, generator, 1e-4)
    start = [[value.clone() for value in network.parameters()] for network in (critic, generator)]
    made = generator(pairs.onset, pairs.wanted, pairs.noise())
    critic_step(critic, pairs, made, of_critic)
    assert _moved(critic, start[0])
    assert not _moved(generator, start[1])
    middle = [value.clone() for value in critic.parameters()]
    generator_step(critic, generator, pairs, made, of_generator)
    assert not _moved(critic, middle)
    assert _moved(generator, start[1])


def test_warm_up_sees_expressions_alone(pairs: Pairs) -> None:
    """Without made faces the adversarial capsule learns nothing."""
    critic = ICEGAN()
    critic_loss(critic, pairs, None).backward()
    assert critic.adversarial is not None
    assert critic.adversarial.weight.grad is None
    assert critic.expression.weight.grad is not None


def test_faces_are_told_apart_with_a_margin() -> None:
    """Nothing is lost beyond nine tenths for recorded faces and below one tenth for others; else squares are."""
    torch.testing.assert_close(taken_for(torch.tensor([0.95, 0.7]), recorded=True), torch.tensor(0.2**2 / 2))
    torch.testing.assert_close(taken_for(torch.tensor([0.05, 0.3]), recorded=False), torch.tensor(0.2**2 / 2))


def test_likeness_counts_where_the_wanted_class_is_shown(pairs: Pairs) -> None:
    """A face that is not the apex costs only in clips of the class that was asked for."""
    critic = ICEGAN().eval()
    with torch.inference_mode():
        base = generator_loss(critic, pairs, pairs.onset)
        for number, costs in ((0, True), (1, False)):
            apex = pairs.apex.clone()
            apex[number] += 1.0
            found = generator_loss(critic, Pairs(pairs.onset, apex, pairs.labels, pairs.wanted), pairs.onset)
            assert bool(found > base + 1) is costs


def test_faces_may_change_at_brows_eyes_and_mouth_alone(pairs: Pairs) -> None:
    """A change of the cheeks costs as stirring what lies still, the same change of the mouth does not."""
    critic = ICEGAN().eval()
    apart = Pairs(pairs.onset, pairs.apex, pairs.labels, (pairs.labels + 1) % 3)

    def stirring(made: torch.Tensor) -> float:
        judged = critic.judge(made)
        others = taken_for(judged.recorded, recorded=True) + expressions_missed(judged.expression, apart.wanted)
        return float(generator_loss(critic, apart, made) - others)

    mouth, cheeks = pairs.onset.clone(), pairs.onset.clone()
    mouth[:, :, 95:120, 30:100] += 0.2
    cheeks[:, :, 50:75, 30:100] += 0.2
    with torch.inference_mode():
        assert stirring(mouth) == pytest.approx(0, abs=1e-5)
        assert stirring(cheeks) > 0.1


def _moved(network: nn.Module, before: list[torch.Tensor]) -> bool:
    return any(not torch.equal(value, old) for value, old in zip(network.parameters(), before, strict=True))
