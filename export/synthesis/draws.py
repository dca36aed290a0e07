"""Random draws for one chunk of samples, all from one seeded generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Draws shaped for `samples` samples. The same `seed` (any tuple of integers) gives the same sequence.

    Different ones may too: NumPy joins the integers as words of 32 bits and takes missing words for zeros, so that
    (s + (n << 32), 0) is (s, n).
    """

    def __init__(self, samples: int, seed: Sequence[int]) -> None:
        self.samples = samples
        self._generator = torch.Generator()
        state = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0]
        self._generator.manual_seed(int(state >> np.uint64(1)))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal float32 [samples, *shape]."""
        return torch.randn((self.samples, *shape), generator=self._generator)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform in [low, high), float32 [samples, *shape]."""
        return low + (high - low) * torch.rand((self.samples, *shape), generator=self._generator)

    def happens(self, probability: float, *shape: int) -> Tensor:
        """Each true with `probability`: bool [samples, *shape]."""
        return torch.rand((self.samples, *shape), generator=self._generator) < probability

    def integers(self, high: int, *shape: int) -> Tensor:
        """int64 [samples, *shape] in 0..high-1."""
        return torch.randint(high, (self.samples, *shape), generator=self._generator)

    def weighted(self, weights: Tensor) -> Tensor:
        """int64 [samples]: one column of `weights` float [samples, choices] each, in proportion to its row."""
        return torch.multinomial(weights, 1, generator=self._generator).squeeze(1)
