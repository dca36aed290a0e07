"""Weights under the names of their authors' code, against forward passes that know only those names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.checkpoint import checkpoint_bytes, load_checkpoint
from export.cli import main
from export.networks.htnet import HTNet
from export.networks.mol import MOL
from export.onnx import served_graph
from export.random_inputs import random_flow
from export.repository import read_published
from export.verify import verify
from server.errors import InputError

POINTS = ((9.53, 11.06), (21.40, 10.92), (10.26, 22.12), (20.58, 22.26))
"""Where the authors of HTNet put eyes and mouth corners, as (x, y), when they find none."""


def _random(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(shape, generator=random) for name, shape in shapes.items()}


def _htnet_state(width: int, layers: tuple[int, ...], heads: int = 3) -> dict[str, Tensor]:
    """Random weights under the names of the authors' code."""
    shapes: dict[str, tuple[int, ...]] = {
        "to_patch_embedding.1.weight": (width, 147, 1, 1),
        "to_patch_embedding.1.bias": (width,),
    }
    for level, depth in enumerate(layers):
        wide = width * 2**level
        inner = wide // (heads * 2**level) * heads * 2**level
        shapes[f"layers.{level}.0.pos_emb"] = (1,)
        for number in range(depth):
            first, second = (f"layers.{level}.0.layers.{number}.{part}" for part in (0, 1))
            for part in (first, second):
                shapes |= {f"{part}.norm.g": (1, wide, 1, 1), f"{part}.norm.b": (1, wide, 1, 1)}
            shapes |= {
                f"{first}.fn.to_qkv.weight": (3 * inner, wide, 1, 1),
                f"{first}.fn.to_out.0.weight": (wide, inner, 1, 1),
                f"{first}.fn.to_out.0.bias": (wide,),
                f"{second}.fn.net.0.weight": (4 * wide, wide, 1, 1),
                f"{second}.fn.net.0.bias": (4 * wide,),
                f"{second}.fn.net.3.weight": (wide, 4 * wide, 1, 1),
                f"{second}.fn.net.3.bias": (wide,),
            }
        if level < len(layers) - 1:
            shapes |= {f"layers.{level}.1.0.weight": (2 * wide, wide, 3, 3), f"layers.{level}.1.0.bias": (2 * wide,)}
            shapes |= {f"layers.{level}.1.1.{part}": (1, 2 * wide, 1, 1) for part in "gb"}
    last = width * 2 ** (len(layers) - 1)
    shapes |= {"mlp_head.0.g": (1, last, 1, 1), "mlp_head.0.b": (1, last, 1, 1)}
    return _random(shapes | {"mlp_head.2.weight": (3, last), "mlp_head.2.bias": (3,)}, 0)


def _normed(tokens: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    channels = functional.layer_norm(tokens.movedim(1, 3), tokens.shape[1:2], eps=1e-5).movedim(3, 1)
    return channels * state[f"{name}.g"] + state[f"{name}.b"]


def _convolved(tokens: Tensor, state: Mapping[str, Tensor], name: str, padding: int = 0) -> Tensor:
    return functional.conv2d(tokens, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=padding)


def _htnet_logits(state: Mapping[str, Tensor], layers: tuple[int, ...], flow: Tensor) -> Tensor:
    """What the authors' network makes of `flow` [N, 3, 28, 28], channels u, v, strain, with landmarks at `POINTS`."""
    pictures = flow[:, [2, 1, 0]]
    windows = []
    for point in POINTS:
        row, column = (int(min(max(value, 7), 21)) for value in point)
        windows.append(pictures[:, :, row - 7 : row + 7, column - 7 : column + 7])
    mosaic = torch.cat([torch.cat(windows[:2], 3), torch.cat(windows[2:], 3)], 2)
    tokens = torch.zeros(len(flow), 147, 4, 4)
    for row in range(4):
        for column in range(4):
            patch = mosaic[:, :, 7 * row : 7 * row + 7, 7 * column : 7 * column + 7]
            tokens[:, :, row, column] = patch.movedim(1, 3).flatten(1)
    tokens = _convolved(tokens, state, "to_patch_embedding.1")
    for level, depth in enumerate(layers):
        tokens = tokens + state[f"layers.{level}.0.pos_emb"]
        for number in range(depth):
            first, second = (f"layers.{level}.0.layers.{number}.{part}" for part in (0, 1))
            # A block holds one token, so what attention answers is its value.
            value = _convolved(_normed(tokens, state, f"{first}.norm"), state, f"{first}.fn.to_qkv").chunk(3, 1)[2]
            tokens = tokens + _convolved(value, state, f"{first}.fn.to_out.0")
            wide = functional.gelu(_convolved(_normed(tokens, state, f"{second}.norm"), state, f"{second}.fn.net.0"))
            tokens = tokens + _convolved(wide, state, f"{second}.fn.net.3")
        if level < len(layers) - 1:
            merged = _normed(_convolved(tokens, state, f"layers.{level}.1.0", 1), state, f"layers.{level}.1.1")
            tokens = functional.max_pool2d(merged, 3, 2, 1)
    pooled = _normed(tokens, state, "mlp_head.0").mean((2, 3))
    return functional.linear(pooled, state["mlp_head.2.weight"], state["mlp_head.2.bias"])


@pytest.mark.parametrize(("width", "layers", "heads"), [(32, (2, 2, 8), 3), (48, (1, 2, 3), 3), (20, (1, 1, 1), 4)])
def test_htnet_answers_as_its_authors_code(tmp_path: Path, width: int, layers: tuple[int, ...], heads: int) -> None:
    """Names, width, depth, channel order, windows and patches: the graph gives the probabilities of the source."""
    state = _htnet_state(width, layers, heads)
    torch.save(state, tmp_path / "htnet.pth")
    checkpoint = load_checkpoint(tmp_path / "htnet.pth", "htnet")
    assert (checkpoint.source, checkpoint.weights.preparation) == ("imported", "published_order")
    flow = torch.from_numpy(random_flow(4, 1))
    expected = torch.softmax(_htnet_logits(state, layers, flow), 1)
    torch.testing.assert_close(served_graph(checkpoint)(flow), expected, atol=1e-5, rtol=0)


def test_published_htnet_has_its_width() -> None:
    """The authors' width and depth are read from the shapes: 139,582,982 parameters under their names."""
    from export.networks.htnet_names import adopt

    with torch.device("meta"):
        network = HTNet(width=256, layers=(2, 2, 10))
    renamed = {name: torch.empty(value.shape, device="meta") for name, value in network.state_dict().items()}
    # Only the shapes matter, which the generator of names gives for any width.
    theirs = _htnet_state(16, (2, 2, 10))
    theirs["to_patch_embedding.1.weight"] = torch.empty(256, 147, 1, 1, device="meta")
    theirs["layers.0.0.layers.0.0.fn.to_qkv.weight"] = torch.empty(765, 256, 1, 1, device="meta")
    adopted = adopt(theirs)
    assert adopted is not None
    assert adopted.state.keys() == renamed.keys()
    assert dict(adopted.weights.options) == {"heads": 3, "layers": (2, 2, 10), "mosaic": "published", "width": 256}
    assert sum(value.numel() for value in renamed.values()) == 139_582_982


def test_imported_shape_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Published, the version knows how wide it is: its checkpoint is read and verified like any other."""
    torch.save(_htnet_state(24, (1, 1, 2)), tmp_path / "htnet.pth")
    command = ["import", "htnet", str(tmp_path / "htnet.pth"), "--name", "narrow", "--repository", str(tmp_path / "m")]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert not end.value.code
    assert "thumbnail" in capsys.readouterr().err
    assert all(check.passed for check in verify(tmp_path / "m", "narrow"))
    published = read_published(tmp_path / "m", "narrow")
    again = load_checkpoint(published.weights_file, "htnet")
    assert dict(again.weights.options)["width"] == 24
    assert checkpoint_bytes(again) == published.weights_file.read_bytes()
    assert published.card["training"]["notes"]
    assert published.contract.flow == "tvl1"


def test_incomplete_htnet_is_named(tmp_path: Path) -> None:
    """A name that is missing, or a shape that does not fit the others, is told with the file."""
    state = _htnet_state(32, (1, 1, 1))
    del state["mlp_head.2.bias"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth does not fit HTNet: it lacks head\.bias"):
        load_checkpoint(tmp_path / "a.pth", "htnet")
    state = _htnet_state(32, (1, 1, 1))
    state["layers.1.1.0.weight"] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"b\.pth: merges\.1\.conv\.weight has shape \[2, 2\]"):
        load_checkpoint(tmp_path / "b.pth", "htnet")


def _mol_shapes(classes: int = 3) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for number, shape in enumerate(((8, 1, 4, 4), (32, 8, 3, 3), (64, 32, 2, 2), (128, 64, 1, 1))):
        shapes |= {f"conv_stack.conv_stack.{number}.weight": shape, f"conv_stack.conv_stack.{number}.bias": shape[:1]}
    for block in "12":
        for stage in "12":
            for axis, size in (("H", (32, 1)), ("W", (1, 32))):
                shapes[f"FCC_{block}.meta_kernel_{stage}_{axis}"] = (64, 1, *size)
                shapes[f"FCC_{block}.meta_{stage}_{axis}_bias"] = (64,)
                shapes[f"FCC_{block}.meta_pe_{stage}_{axis}"] = (1, 64, *size)
        for norm, size in (("pre_Norm_1", 64), ("pre_Norm_2", 64), ("ffn.0", 128)):
            shapes |= {f"FCC_{block}.{norm}.{p}": (size,) for p in ("weight", "bias", "running_mean", "running_var")}
            shapes[f"FCC_{block}.{norm}.num_batches_tracked"] = ()
        shapes |= {f"FCC_{block}.ffn.1.weight": (2, 128, 1, 1), f"FCC_{block}.ffn.1.bias": (2,)}
        shapes |= {f"FCC_{block}.ffn.4.weight": (128, 2, 1, 1), f"FCC_{block}.ffn.4.bias": (128,)}
        for conv in ("conv1", "conv2"):
            shapes |= {f"CCC_{block}.{conv}.weight": (256, 1, 256), f"CCC_{block}.{conv}.bias": (256,)}
    shapes |= {"mer_3dcnn.conv3d.weight": (32, 128, 2, 2, 5), "mer_3dcnn.conv3d.bias": (32,)}
    shapes |= {"mer_3dcnn.fc1.weight": (256, 2560), "mer_3dcnn.fc1.bias": (256,)}
    return shapes | {"mer_3dcnn.fc2.weight": (classes, 256), "mer_3dcnn.fc2.bias": (classes,)}


def _mol_state(classes: int = 3) -> dict[str, Tensor]:
    state = {name: 0.3 * value for name, value in _random(_mol_shapes(classes), 3).items()}
    for name, value in state.items():
        if name.endswith("running_var"):
            state[name] = value.abs() + 0.5
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
    return state


def _circled(maps: Tensor, state: Mapping[str, Tensor], name: str, axis: str) -> Tensor:
    """Each map of 16 by 16 multiplied with its kernel at every turn of the rows or columns."""
    stage = f"{name[-1]}_{axis}"
    kernel = state[f"{name[:-2]}.meta_kernel_{stage}"].flatten(1)
    dimension = 2 if axis == "H" else 3
    turned = torch.stack([maps.roll(-tap, dimension) * kernel[None, :, tap, None, None] for tap in range(16)])
    return turned.sum(0) + state[f"{name[:-2]}.meta_{stage}_bias"][None, :, None, None]


def _mol_block(stem: Tensor, state: Mapping[str, Tensor], block: str) -> Tensor:
    fcc, place = f"FCC_{block}", {}
    for stage in "12":
        place[f"{stage}H"] = state[f"{fcc}.meta_pe_{stage}_H"][:, :, :16]
        place[f"{stage}W"] = state[f"{fcc}.meta_pe_{stage}_W"][..., :16]
    halves = []
    for norm, half, first, second in (("1", stem[:, :64], "H", "W"), ("2", stem[:, 64:], "W", "H")):
        parts = [state[f"{fcc}.pre_Norm_{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        turned = _circled(functional.batch_norm(half + place[f"1{first}"], *parts), state, f"{fcc}.1", first)
        halves.append(half + _circled(turned + place[f"2{second}"], state, f"{fcc}.2", second))
    maps = torch.cat(halves, 1)
    rows = maps.flatten(2)
    unit = functional.normalize(rows, dim=1)
    nearest = (unit.transpose(1, 2) @ unit).topk(4, dim=2).indices
    own = functional.linear(rows, state[f"CCC_{block}.conv1.weight"][:, 0], state[f"CCC_{block}.conv1.bias"])
    edges = []
    for rank in range(4):
        neighbours = rows.gather(2, nearest[:, None, :, rank].expand_as(rows))
        difference = functional.linear(neighbours - rows - rows, state[f"CCC_{block}.conv2.weight"][:, 0])
        edges.append(functional.relu(own + difference + state[f"CCC_{block}.conv2.bias"]))
    return maps + torch.stack(edges).amax(0).reshape(maps.shape)


def _mol_logits(state: Mapping[str, Tensor], video: Tensor) -> Tensor:
    """Logits of surprise, positive, negative for grey frames [N, 1, 8, 128, 128] of -1 to 1, pair by pair."""
    slices = []
    for index in range(7):
        for block, frame in (("1", video[:, :, index]), ("2", video[:, :, index + 1])):
            stem = frame
            for number, (stride, padding) in enumerate(((2, 0), (2, 0), (2, 1), (1, 0))):
                name = f"conv_stack.conv_stack.{number}"
                stem = functional.conv2d(stem, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)
            slices.append(_mol_block(stem, state, block))
    mer = "mer_3dcnn"
    volume = functional.conv3d(
        torch.stack(slices, 4), state[f"{mer}.conv3d.weight"], state[f"{mer}.conv3d.bias"], (2, 2, 1)
    )
    pooled = functional.max_pool3d(volume, 2).flatten(1)
    hidden = functional.relu(functional.linear(pooled, state[f"{mer}.fc1.weight"], state[f"{mer}.fc1.bias"]))
    return functional.linear(hidden, state[f"{mer}.fc2.weight"], state[f"{mer}.fc2.bias"])


@pytest.mark.parametrize("heads", [False, True], ids=["alone", "with other heads"])
def test_mol_answers_as_its_authors_code(tmp_path: Path, *, heads: bool) -> None:
    """Names, kernels, neighbours and the order of classes; heads of flow and landmarks are left out and told."""
    state = _mol_state()
    saved = {**state, "flownet.conv1.0.weight": torch.zeros(2), "ldm_predictor.fc.bias": torch.zeros(2)}
    torch.save(saved if heads else state, tmp_path / "mol.pth")
    checkpoint = load_checkpoint(tmp_path / "mol.pth", "mol")
    told = [note for note in checkpoint.training["notes"] if "left out" in note]
    assert len(told) == (2 if heads else 0)
    video = torch.rand(2, 1, 8, 128, 128, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        surprise, positive, negative = torch.softmax(_mol_logits(state, 2 * video - 1), 1).unbind(1)
        found = served_graph(checkpoint)(255 * video)
    torch.testing.assert_close(found, torch.stack([negative, positive, surprise], 1), atol=1e-4, rtol=0)
    assert found.std(0).max() > 1e-3


def test_mol_of_five_classes_is_refused(tmp_path: Path) -> None:
    """Its classes are others."""
    torch.save(_mol_state(5), tmp_path / "mol.pth")
    with pytest.raises(
        InputError, match=r"mol\.pth: recognition\.head\.7\.weight has shape \[5, 256\], not \[3, 256\]"
    ):
        load_checkpoint(tmp_path / "mol.pth", "mol")


def test_mol_without_its_heads_builds() -> None:
    """The path to the class is what is left, under the same names."""
    with torch.device("meta"):
        whole, path = MOL(ccc="code"), MOL(ccc="code", heads="class")
    assert {name for name in whole.state_dict() if name.startswith("recognition.")} == path.state_dict().keys()


@pytest.mark.parametrize("network", ["htnet", "mol"])
def test_our_names_are_read_as_before(tmp_path: Path, network: str) -> None:
    """A state dictionary under our names is that of the network as it is registered."""
    from export.networks.registry import NETWORKS

    module: nn.Module = NETWORKS[network].build()
    torch.save(module.state_dict(), tmp_path / "ours.pth")
    checkpoint = load_checkpoint(tmp_path / "ours.pth", network)
    assert checkpoint.weights == NETWORKS[network].theirs
    assert checkpoint.training == {}
