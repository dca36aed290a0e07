"""One step of training ICE-GAN: what its discriminator and its generator each try to make small.

Yu, Zhang, Song and Cai, arXiv 2005.04370, name the goals (a real or a made face, the expression, the person); the forms
are ours: margins on the lengths of capsules (`export.capsule_losses`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.capsule_losses import SURE, UNSURE, expressions_missed
from export.networks.icegan import ICEGAN, SIDE_PX
from export.networks.icegan_generator import NOISE, Generator

_MADE_WEIGHT = 0.3
_LIKENESS_WEIGHT = 10.0
_STILLNESS_WEIGHT = 10.0
_PERSON_WEIGHT = 1.0
_BETAS = (0.5, 0.999)
_GENERATOR_PACE = 2.0

# Where the aligned face moves: brows and eyes to below the lower lids, and the mouth with its corners.
_MOVING = ((slice(0, 46), slice(0, SIDE_PX)), (slice(90, SIDE_PX), slice(14, 114)))

Embedding = Callable[[Tensor], Tensor]
"""Frozen features float32 [N, D] of faces float32 [N, 1, 128, 128], -1..1, that tell who it is."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """`onset` and `apex` of the same clips, float32 [N, 1, 128, 128], -1..1; their `labels` int64 [N], and the classes
    that are `wanted` of the generator, int64 [N].
    """

    onset: Tensor
    apex: Tensor
    labels: Tensor
    wanted: Tensor

    def noise(self) -> Tensor:
        """float32 [N, 100], standard normal."""
        return torch.randn(len(self.labels), NOISE, device=self.onset.device)


def optimisers(critic: ICEGAN, generator: Generator, rate: float) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """Adam for each, at `rate` for the critic and at twice of it for the generator."""
    return (
        torch.optim.Adam(critic.parameters(), lr=rate, betas=_BETAS),
        torch.optim.Adam(generator.parameters(), lr=_GENERATOR_PACE * rate, betas=_BETAS),
    )


def taken_for(sure: Tensor, *, recorded: bool) -> Tensor:
    """The mean of how far lengths `sure` float32 [N] miss 0.9 for `recorded` faces and 0.1 for others, squared."""
    missed = (SURE - sure) if recorded else (sure - UNSURE)
    return missed.clamp(min=0).square().mean()


def critic_loss(critic: ICEGAN, pairs: Pairs, made: Tensor | None) -> Tensor:
    """Tell apexes from `made` faces, float32 [N, 1, 128, 128], and the expressions of both. Without `made` faces the
    expressions of the apexes alone, which is how it is warmed up.
    """
    real = critic.judge(pairs.apex)
    loss = expressions_missed(real.expression, pairs.labels)
    if made is None:
        return loss
    fake = critic.judge(made.detach())
    return (
        loss
        + _MADE_WEIGHT * expressions_missed(fake.expression, pairs.wanted)
        + taken_for(real.recorded, recorded=True)
        + taken_for(fake.recorded, recorded=False)
    )


def generator_loss(critic: ICEGAN, pairs: Pairs, made: Tensor, embed: Embedding | None = None) -> Tensor:
    """`made` faces pass for recorded, show what is wanted, are the apex where that is what the clip shows, and are the
    onset where faces do not move; with `embed` they are the same person to it as well.
    """
    judged = critic.judge(made)
    still = _still(made)
    same = (pairs.wanted == pairs.labels).to(made.dtype)
    unlike = (made - pairs.apex).abs().mean((1, 2, 3))
    stirred = ((made - pairs.onset).abs() * still).mean((1, 2, 3)) / still.mean()
    loss = (
        taken_for(judged.recorded, recorded=True)
        + expressions_missed(judged.expression, pairs.wanted)
        + _LIKENESS_WEIGHT * (same * unlike).mean()
        + _STILLNESS_WEIGHT * stirred.mean()
    )
    if embed is None:
        return loss
    with torch.no_grad():
        person = embed(pairs.onset)
    return loss + _PERSON_WEIGHT * (1 - functional.cosine_similarity(embed(made), person)).mean()


def critic_step(critic: ICEGAN, pairs: Pairs, made: Tensor | None, optimiser: torch.optim.Optimizer) -> float:
    """One step of the critic against `made` faces, or of its warm-up without any. Returns the loss before it."""
    return _step(critic, critic_loss(critic, pairs, made), optimiser)


def generator_step(
    critic: ICEGAN,
    generator: Generator,
    pairs: Pairs,
    made: Tensor,
    optimiser: torch.optim.Optimizer,
    *,
    embed: Embedding | None = None,
) -> float:
    """One step of the generator, which `made` the faces; the critic's parameters stay. Returns the loss before it."""
    return _step(generator, generator_loss(critic, pairs, made, embed), optimiser)


def _step(network: nn.Module, loss: Tensor, optimiser: torch.optim.Optimizer) -> float:
    optimiser.zero_grad()
    # Of the other network no gradient is kept, which its own step would otherwise have to clear.
    torch.autograd.backward(loss, inputs=list(network.parameters()))
    optimiser.step()
    return float(loss.detach())


def _still(faces: Tensor) -> Tensor:
    """float32 [1, 1, 128, 128]: 1 where an aligned face does not move, else 0."""
    still = torch.ones(1, 1, *faces.shape[2:], device=faces.device)
    for rows, columns in _MOVING:
        still[:, :, rows, columns] = 0
    return still
