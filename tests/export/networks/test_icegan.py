"""The discriminator and the generator of ICE-GAN."""

from __future__ import annotations

import torch

from export.networks.icegan import ICEGAN, scaled
from export.networks.icegan_generator import NOISE, REACH, Generator, GraphReasoning


def test_it_has_the_parameters_of_its_plan() -> None:
    """Four convolutions, 288 capsules, three classes and the adversarial capsule."""
    network = ICEGAN()
    assert sum(value.numel() for value in network.parameters()) == 2_000_640
    assert network.expression.weight.shape[0] == 288


def test_served_form_is_the_same_function() -> None:
    """Without spectral normalisation and without the adversarial capsule, equal logits."""
    torch.manual_seed(0)
    network = ICEGAN().eval()
    faces = 255 * torch.rand(4, 1, 128, 128)
    with torch.inference_mode():
        expected = network(faces)
        served = network.for_serving()
        torch.testing.assert_close(served(faces), expected, rtol=0, atol=1e-5)
    assert sum(value.numel() for value in served.parameters()) == 2_000_640 - 288 * 8 * 16
    assert not any("parametrizations" in name for name in served.state_dict())


def test_probabilities_are_shares_of_the_lengths_of_capsules() -> None:
    """The served softmax and the heads that training sees tell the same; grey levels are scaled inside."""
    torch.manual_seed(0)
    network = ICEGAN().eval()
    faces = 255 * torch.rand(3, 1, 128, 128)
    with torch.inference_mode():
        expression, recorded = network.judge(scaled(faces))
        shares = torch.softmax(network(faces), dim=1)
    torch.testing.assert_close(shares, expression / expression.sum(1, keepdim=True))
    assert recorded.shape == (3,)
    assert bool(((expression > 0) & (expression < 1)).all())
    assert bool(((recorded > 0) & (recorded < 1)).all())


def test_capsules_are_neither_mute_nor_sure_at_first() -> None:
    """An even face and a busy one give lengths from which training can go both ways."""
    torch.manual_seed(0)
    ramp = torch.linspace(-0.8, 0.8, 128).expand(1, 1, 128, 128)
    faces = torch.cat([ramp, (ramp + 0.2 * torch.randn(1, 1, 128, 128)).clamp(-1, 1)])
    with torch.inference_mode():
        judged = ICEGAN().eval().judge(faces)
    for sure in judged:
        assert sure.min() > 0.05
        assert sure.max() < 0.97


def test_made_faces_stay_near_the_onset() -> None:
    """No pixel moves by more than 0.3, nor beyond what a picture can show, and class and noise tell."""
    torch.manual_seed(0)
    generator = Generator().eval()
    onset = 2 * torch.rand(1, 1, 128, 128) - 1
    noise = torch.randn(2, NOISE)
    with torch.inference_mode():
        made, other, again = (
            generator(onset, torch.tensor([label]), noise[number : number + 1])
            for label, number in ((0, 0), (1, 0), (0, 1))
        )
    assert made.shape == onset.shape
    assert made.abs().max() <= 1
    assert (made - onset).abs().max() <= REACH + 1e-6
    assert not torch.equal(made, other)
    assert not torch.equal(made, again)


def test_graph_reasoning_looks_everywhere() -> None:
    """What one place shows changes what is said of all others, and without its last layer nothing changes at all."""
    torch.manual_seed(0)
    reasoning = GraphReasoning(8).eval()
    maps = torch.randn(1, 8, 6, 6)
    poked = maps.clone()
    poked[:, :, 0, 0] += 3
    with torch.inference_mode():
        changed = (reasoning(poked) - reasoning(maps)).abs().amax(1)[0]
        assert bool((changed > 0).all())
        torch.nn.init.zeros_(reasoning.expand.weight)
        torch.nn.init.zeros_(reasoning.expand.bias)
        assert torch.equal(reasoning(maps), maps)
