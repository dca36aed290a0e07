"""The sheet on which one sees what the generator makes."""

from __future__ import annotations

import numpy as np
import torch

from export.contact_sheet import contact_sheet, made_faces
from export.networks.icegan_generator import Generator, GeneratorGraph
from export.synthesis.action_units import UNITS
from export.synthesis.events import EventSamples

SIDE_PX, TILE_HEIGHT_PX, TILE_WIDTH_PX = 128, 148, 132


def _onset() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 1, SIDE_PX, SIDE_PX)).astype(np.uint8)


def test_every_class_of_every_person_is_shown() -> None:
    """A row for each sample: onset, apex, three faces, and four changes, which are even where nothing changes."""
    torch.manual_seed(0)
    generator = Generator().eval()
    torch.nn.init.zeros_(generator.leave.weight)
    assert generator.leave.bias is not None
    torch.nn.init.zeros_(generator.leave.bias)
    onset = _onset()
    people = np.arange(2)
    units = np.zeros((2, 2, len(UNITS)), np.float32)
    samples = EventSamples("apex_gray_128", {"apex": onset}, people, units, people, {"onset": onset})
    sheet = contact_sheet(GeneratorGraph(generator), samples, seed=0)
    tiles = sheet.reshape(2, TILE_HEIGHT_PX, 9, TILE_WIDTH_PX).transpose(0, 2, 1, 3)[:, :, -SIDE_PX:, :SIDE_PX]
    for column in range(5):
        np.testing.assert_array_equal(tiles[:, column], onset[:, 0])
    assert set(np.unique(tiles[:, 5:])) <= {127, 128}


def test_the_seed_draws_the_noise() -> None:
    """The same seed makes the same faces, another one others."""
    torch.manual_seed(0)
    graph = GeneratorGraph(Generator()).eval()
    onset = _onset().astype(np.float32)
    first = made_faces(graph, onset, seed=0)
    assert first.shape == (2, 3, 1, SIDE_PX, SIDE_PX)
    np.testing.assert_array_equal(made_faces(graph, onset, seed=0), first)
    assert not np.array_equal(made_faces(graph, onset, seed=1), first)
