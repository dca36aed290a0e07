"""Trains ICE-GAN: the discriminator, which is what is served, and the generator, each against the other.

Yu, Zhang, Song and Cai, arXiv 2005.04370; `export.gan_losses` has the goals of both. After a warm-up in which the
discriminator sees recorded expressions alone, each batch is a step of it and then one of the generator, on the same
made faces. The discriminator learns at the plan's rate, the generator at twice of it; `warm_up` is the share of steps
that are warm-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.gan_losses import Pairs, critic_step, generator_step, optimisers
from export.labels import LABELS
from export.networks.icegan import ICEGAN, scaled
from export.networks.icegan_generator import Generator
from export.trainer import LOSS, Trainer
from export.training_plan import TrainingPlan

GENERATOR = "generator"
"""The name of what is trained beside the discriminator."""


class AdversarialTrainer(Trainer):
    """`step` is told the onsets, float32 [N, 1, 128, 128], 0..255, as the extra `onset`."""

    def __init__(self, model: nn.Module, plan: TrainingPlan, steps: int) -> None:
        assert isinstance(model, ICEGAN)
        self._critic = model
        self._generator = Generator(classes=len(LABELS)).to(next(model.parameters()).device)
        self._of_critic, self._of_generator = optimisers(self._critic, self._generator, plan.learning_rate)
        self._warm_up = round(plan.warm_up * steps)
        self._done = 0

    def step(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        """The loss of the discriminator and, after the warm-up, that of the generator."""
        pairs = Pairs(scaled(extras["onset"]), scaled(inputs[0]), labels, torch.randint_like(labels, high=len(LABELS)))
        self._done += 1
        if self._done <= self._warm_up:
            return {LOSS: critic_step(self._critic, pairs, None, self._of_critic)}
        made = self._generator(pairs.onset, pairs.wanted, pairs.noise())
        return {
            LOSS: critic_step(self._critic, pairs, made, self._of_critic),
            GENERATOR: generator_step(self._critic, self._generator, pairs, made, self._of_generator),
        }

    def companions(self) -> Mapping[str, nn.Module]:
        """The generator."""
        return {GENERATOR: self._generator}
