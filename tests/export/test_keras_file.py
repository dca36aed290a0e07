"""Weights that Keras saved, against a forward pass in Keras's own axes, and files that are not what they seem."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.signal import correlate

from export.checkpoint import load_checkpoint
from export.cli import main
from export.networks.keras_weights import KerasOptions
from export.onnx import served_graph
from export.repository import read_published
from export.verify import verify
from server.errors import InputError, OptionError

FACE = (64, ("conv3d_1",), (("dense_1", (12_800, 128)), ("dense_2", (128, 3))))
REGIONS = ("conv3d_1", "conv3d_2")
INTERMEDIATE = (32, REGIONS, (("dense_1", (6400, 1024)), ("dense_2", (1024, 128)), ("dense_3", (128, 3))))
LATE = (
    32,
    REGIONS,
    (
        ("dense_1", (3200, 1024)),
        ("dense_3", (3200, 1024)),
        ("dense_2", (1024, 128)),
        ("dense_4", (1024, 128)),
        ("dense_5", (256, 3)),
    ),
)
NETWORKS = {"microexpstcnn": FACE, "microexpfusenet_intermediate": INTERMEDIATE, "microexpfusenet_late": LATE}
SCALING = ((101.5, 140.25), (97.0, 133.0))

Layers = dict[str, tuple[np.ndarray, np.ndarray]]


@cache
def _layers(network: str) -> Layers:
    """Random kernels and biases in Keras's axes: row, column, time, in, out."""
    random = np.random.default_rng(11)
    _, convolutions, dense = NETWORKS[network]
    shapes = [*((name, (3, 3, 15, 1, 32)) for name in convolutions), *dense]
    return {
        name: (
            (random.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32),
            (0.1 * random.normal(size=shape[-1])).astype(np.float32),
        )
        for name, shape in shapes
    }


def _configuration(network: str, *, volume: str, flatten: str | None, extra: tuple[dict[str, Any], ...] = ()) -> str:
    """As Keras writes it, with all that is looked at."""
    _, convolutions, dense = NETWORKS[network]
    inner = "relu" if network == "microexpstcnn" else "linear"
    layers: list[dict[str, Any]] = [{"class_name": "InputLayer", "config": {"name": "input_1"}}]
    for name in convolutions:
        settings = {"name": name, "padding": "valid", "strides": [1, 1, 1], "data_format": volume}
        layers.append({"class_name": "Conv3D", "config": settings})
        pool = {"pool_size": [3, 3, 3], "strides": [3, 3, 3], "padding": "valid", "data_format": volume}
        layers.append({"class_name": "MaxPooling3D", "config": pool})
        layers.append({"class_name": "Flatten", "config": {"data_format": flatten} if flatten else {}})
    for name, _ in dense:
        activation = "linear" if name == dense[-1][0] else inner
        layers.append({"class_name": "Dense", "config": {"name": name, "activation": activation}})
    return json.dumps({"class_name": "Model", "config": {"layers": [*layers, *extra]}})


def _saved(
    layers: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    configuration: str | None = None,
    version: str | None = "2.2.4",
    backend: str = "tensorflow",
    damage: Callable[[h5py.File, h5py.Group], None] | None = None,
) -> bytes:
    """A file as model.save writes it, or with no `configuration` as save_weights does."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("model_weights") if configuration is not None else file
        if configuration is not None:
            file.attrs["model_config"] = configuration.encode()
        for holder in {file, group}:
            if version is not None:
                holder.attrs["keras_version"] = version.encode()
            holder.attrs["backend"] = backend.encode()
        names = ["input_1", *layers, "dropout_1"]
        group.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            layer = group.create_group(name)
            weights = [f"{name}/kernel:0", f"{name}/bias:0"] if name in layers else []
            layer.attrs["weight_names"] = np.array([each.encode() for each in weights], dtype="S40")
            for weight, array in zip(weights, layers.get(name, ()), strict=True):
                layer.create_dataset(weight, data=array)
        if damage:
            damage(file, group)
    return buffer.getvalue()


def _forward(
    network: str, layers: Layers, clips: list[np.ndarray], *, channels_first: bool, flipped: bool = False
) -> np.ndarray:
    """Probabilities [N, 3] of `clips` [N, row, column, time] each, in Keras's axes and order of operations."""
    side, convolutions, dense = NETWORKS[network]
    vectors = []
    for name, clip, (mean, peak) in zip(convolutions, clips, SCALING, strict=False):
        kernel, bias = layers[name]
        if flipped:
            kernel = kernel[::-1, ::-1, ::-1]
        scaled = (clip.astype(np.float64) - mean) / peak
        volume = np.stack(
            [
                np.stack([correlate(one, kernel[..., 0, out], "valid", "fft") + bias[out] for out in range(32)], -1)
                for one in scaled
            ]
        )
        volume = np.maximum(volume, 0)
        room = (side - 2) // 3
        pooled = volume[:, : 3 * room, : 3 * room, :3].reshape(-1, room, 3, room, 3, 1, 3, 32).max((2, 4, 6))
        vectors.append((np.moveaxis(pooled, -1, 1) if channels_first else pooled).reshape(len(pooled), -1))
    weigh = {name: lambda x, name=name: x @ layers[name][0] + layers[name][1] for name, _ in dense}
    if network == "microexpfusenet_late":
        towers = [weigh["dense_2"](weigh["dense_1"](vectors[0])), weigh["dense_4"](weigh["dense_3"](vectors[1]))]
        logits = weigh["dense_5"](np.concatenate(towers, 1))
    else:
        logits = np.concatenate(vectors, 1)
        for name, _ in dense:
            logits = weigh[name](logits)
            if network == "microexpstcnn" and name == "dense_1":
                logits = np.maximum(logits, 0)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _clips(network: str) -> list[np.ndarray]:
    side, convolutions, _ = NETWORKS[network]
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (2, side, side, 18)).astype(np.float32) for _ in convolutions]


def _probabilities(network: str, path: Path, flatten: Any = None) -> np.ndarray:
    """What our served graph answers, which has time first."""
    scaling = SCALING[: len(NETWORKS[network][1])]
    checkpoint = load_checkpoint(path, network, KerasOptions(flatten, scaling))
    with torch.inference_mode():
        answer = served_graph(checkpoint)(*(torch.from_numpy(c.transpose(0, 3, 1, 2).copy()) for c in _clips(network)))
    return np.asarray(answer)


CASES = {
    "saved model, Flatten that moves channels": ("channels_first", "channels_first", False),
    "saved model, Flatten that leaves them": ("channels_first", "channels_last", True),
    "saved model of an older Keras": ("channels_first", None, True),
    "saved model with channels last": ("channels_last", "channels_last", False),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", CASES)
def test_saved_models_answer_as_in_keras(tmp_path: Path, network: str, case: str) -> None:
    """Kernel axes, the order behind Flatten and that of the streams: probabilities are those of Keras's convention."""
    volume, flatten, first = CASES[case]
    layers = _layers(network)
    path = tmp_path / "model.h5"
    path.write_bytes(_saved(layers, configuration=_configuration(network, volume=volume, flatten=flatten)))
    expected = _forward(network, layers, _clips(network), channels_first=first)
    np.testing.assert_allclose(_probabilities(network, path), expected, atol=2e-5)
    assert np.abs(expected - _forward(network, layers, _clips(network), channels_first=not first)).max() > 1e-3


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("version", "asked"), [("2.1.5", None), ("2.2.4", "channels_last"), ("2.2.4", "channels_first")]
)
def test_weights_alone_answer_as_in_keras(tmp_path: Path, network: str, version: str, asked: str | None) -> None:
    """save_weights keeps no configuration: an old Keras is known to leave channels first, else one must say."""
    layers = _layers(network)
    path = tmp_path / "weights.hdf5"
    path.write_bytes(_saved(layers, version=version))
    expected = _forward(network, layers, _clips(network), channels_first=asked != "channels_last")
    np.testing.assert_allclose(_probabilities(network, path, asked), expected, atol=2e-5)


def test_order_of_layers_in_the_file_does_not_matter(tmp_path: Path) -> None:
    """Streams are told apart by the numbers that Keras gave their layers, as far as they go."""
    layers = _layers("microexpfusenet_late")
    path = tmp_path / "weights.h5"
    path.write_bytes(_saved(dict(reversed(list(layers.items()))), version="2.1.0"))
    clips = _clips("microexpfusenet_late")
    expected = _forward("microexpfusenet_late", layers, clips, channels_first=True)
    np.testing.assert_allclose(_probabilities("microexpfusenet_late", path), expected, atol=2e-5)


def test_kernels_of_theano_are_turned(tmp_path: Path) -> None:
    """That backend convolves where the others correlate."""
    layers = _layers("microexpstcnn")
    path = tmp_path / "weights.h5"
    path.write_bytes(_saved(layers, version="2.1.0", backend="theano"))
    expected = _forward("microexpstcnn", layers, _clips("microexpstcnn"), channels_first=True, flipped=True)
    np.testing.assert_allclose(_probabilities("microexpstcnn", path), expected, atol=2e-5)


def test_keras_weights_are_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`import` says what it had to assume, the card too, and the version passes all checks."""
    (tmp_path / "w.h5").write_bytes(_saved(_layers("microexpstcnn"), version="2.1.5"))
    arguments = ["import", "microexpstcnn", str(tmp_path / "w.h5"), "--name", "x", "--repository", str(tmp_path / "m")]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert not end.value.code
    assert "127.5 and 127.5 are assumed" in capsys.readouterr().err
    assert "assumed" in read_published(tmp_path / "m", "x").card["training"]["notes"][0]
    assert all(check.passed for check in verify(tmp_path / "m", "x"))
    with pytest.raises(SystemExit):
        main([*arguments, "--model-version", "2", "--scaling", "100,150"])
    again = load_checkpoint(read_published(tmp_path / "m", "x").weights_file, "microexpstcnn")
    assert (float(again.state["stream.mean"]), float(again.state["stream.peak"])) == (100, 150)


@pytest.mark.parametrize("scaling", ["1", "a,b", "1,0", "nan,1", "1,inf", "1,2,3"])
def test_scaling_must_be_one(tmp_path: Path, scaling: str) -> None:
    """Two finite numbers, the second above 0."""
    with pytest.raises(SystemExit) as end:
        main(["import", "microexpstcnn", str(tmp_path / "w.h5"), "--name", "x", "--scaling", scaling])
    assert end.value.code == 1


def test_weights_alone_of_a_newer_keras_must_be_explained(tmp_path: Path) -> None:
    """Nobody can tell where Flatten put the channels, so nobody guesses."""
    path = tmp_path / "w.h5"
    path.write_bytes(_saved(_layers("microexpstcnn"), version="2.2.4"))
    with pytest.raises(OptionError, match="--flatten channels_first or --flatten channels_last"):
        load_checkpoint(path, "microexpstcnn")
    with pytest.raises(OptionError, match="--scaling is needed once for each of stream"):
        load_checkpoint(path, "microexpstcnn", KerasOptions("channels_first", SCALING))


def test_configuration_and_option_must_agree(tmp_path: Path) -> None:
    """What the model itself says is not overruled."""
    path = tmp_path / "w.h5"
    configuration = _configuration("microexpstcnn", volume="channels_last", flatten="channels_last")
    path.write_bytes(_saved(_layers("microexpstcnn"), configuration=configuration))
    with pytest.raises(InputError, match=r"w\.h5 .*order channels_last, not channels_first"):
        load_checkpoint(path, "microexpstcnn", KerasOptions("channels_first"))


def _changed(**settings: Any) -> str:
    """A configuration of the network of the face in which one layer is set otherwise."""
    text = json.loads(_configuration("microexpstcnn", volume="channels_first", flatten="channels_last"))
    for layer in text["config"]["layers"]:
        layer["config"] |= {name: value for name, value in settings.items() if name in layer["config"]}
    return json.dumps(text)


_LAMBDA = {"class_name": "Lambda", "config": {"function": ["4wEAAAAAAA", None, None], "function_type": "lambda"}}


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        (_configuration("microexpstcnn", volume="channels_first", flatten=None, extra=(_LAMBDA,)), "'Lambda'.*not run"),
        (_configuration("microexpstcnn", volume="channels_last", flatten="channels_first"), "takes time for channels"),
        (_changed(strides=[2, 2, 2]), "has strides"),
        (_changed(padding="same"), "has padding 'same'"),
        (_changed(activation="tanh"), "activations"),
        ("!!python/object/apply:os.system ['true']", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "is not an object"),
        ('{"config": 3}', "no list of layers"),
        ('{"config": [4]}', "not described by an object"),
        (" " * (1 << 20) + "{}", "at most 1048576 characters"),
    ],
    ids=["lambda", "axes", "stride", "padding", "activation", "yaml", "deep", "list", "layers", "layer", "long"],
)
def test_other_models_are_refused_and_not_run(tmp_path: Path, configuration: str, said: str) -> None:
    """A configuration is compared with the network's; code in it stays text."""
    path = tmp_path / "w.h5"
    path.write_bytes(_saved(_layers("microexpstcnn"), configuration=configuration))
    with pytest.raises(InputError, match=rf"w\.h5.*{said}"):
        load_checkpoint(path, "microexpstcnn")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": None}, "Keras 1"),
        ({"version": "1.2.2"}, "Keras 1"),
        ({"backend": "plaidml"}, "'plaidml'"),
        ({"version": "2" * 300}, "at most 200 characters"),
    ],
)
def test_unknown_writers_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """Kernels had other axes in Keras 1, and may have in what nobody knows."""
    path = tmp_path / "w.h5"
    path.write_bytes(_saved(_layers("microexpstcnn"), **options))
    with pytest.raises(InputError, match=rf"w\.h5.*{said}"):
        load_checkpoint(path, "microexpstcnn")


def _replace(group: h5py.Group, name: str) -> h5py.Group:
    del group[name]
    return group


def _external_link(file: h5py.File, group: h5py.Group) -> None:
    _replace(group["conv3d_1/conv3d_1"], "kernel:0")["kernel:0"] = h5py.ExternalLink("/etc/hostname", "/x")


def _soft_link(file: h5py.File, group: h5py.Group) -> None:
    _replace(group, "conv3d_1")["conv3d_1"] = h5py.SoftLink("/conv3d_1")


def _external_storage(file: h5py.File, group: h5py.Group) -> None:
    layer = _replace(group["dense_2/dense_2"], "bias:0")
    layer.create_dataset("bias:0", (3,), "f4", external=[("/etc/hostname", 0, 12)])


def _virtual(file: h5py.File, group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(3,))
    _replace(group["dense_2/dense_2"], "bias:0").create_virtual_dataset("bias:0", layout)


def _bomb(file: h5py.File, group: h5py.Group) -> None:
    layer = _replace(group["dense_2/dense_2"], "bias:0")
    layer.create_dataset("bias:0", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


def _never_written(file: h5py.File, group: h5py.Group) -> None:
    _replace(group["dense_2/dense_2"], "bias:0").create_dataset("bias:0", (1 << 27,), "f4")


def _shape(file: h5py.File, group: h5py.Group) -> None:
    _replace(group["dense_2/dense_2"], "kernel:0")["kernel:0"] = np.zeros((128, 4), np.float32)


def _nan(file: h5py.File, group: h5py.Group) -> None:
    group["dense_2/dense_2/bias:0"][0] = np.nan


def _whole_numbers(file: h5py.File, group: h5py.Group) -> None:
    _replace(group["dense_2/dense_2"], "bias:0")["bias:0"] = np.zeros(3, np.int64)


def _references(file: h5py.File, group: h5py.Group) -> None:
    layer = _replace(group["dense_2/dense_2"], "bias:0")
    layer.create_dataset("bias:0", data=[group.ref] * 3, dtype=h5py.ref_dtype)


def _missing(file: h5py.File, group: h5py.Group) -> None:
    del group["dense_1"]


def _group_for_array(file: h5py.File, group: h5py.Group) -> None:
    _replace(group["dense_1/dense_1"], "bias:0").create_group("bias:0")


def _no_bias(file: h5py.File, group: h5py.Group) -> None:
    group["dense_1"].attrs["weight_names"] = [b"dense_1/kernel:0"]


def _path_out(file: h5py.File, group: h5py.Group) -> None:
    group["dense_1"].attrs["weight_names"] = [b"../dense_1/dense_1/kernel:0", b"dense_1/bias:0"]


def _many_names(file: h5py.File, group: h5py.Group) -> None:
    group.attrs["layer_names"] = np.array([b"x"] * 5000)


def _long_names(file: h5py.File, group: h5py.Group) -> None:
    group.attrs["layer_names"] = [b"x" * 3000]


def _numbers_for_names(file: h5py.File, group: h5py.Group) -> None:
    group.attrs["layer_names"] = [1, 2]


def _no_names(file: h5py.File, group: h5py.Group) -> None:
    del group.attrs["layer_names"]


@pytest.mark.parametrize(
    "damage",
    [
        _external_link, _soft_link, _external_storage, _virtual, _bomb, _never_written, _shape, _nan, _whole_numbers,
        _references, _missing, _group_for_array, _no_bias, _path_out, _many_names, _long_names, _numbers_for_names,
        _no_names,
    ],
)  # fmt: skip
def test_hostile_files_are_refused(tmp_path: Path, damage: Callable[[h5py.File, h5py.Group], None]) -> None:
    """Links, storage elsewhere, arrays larger than the file, wrong shapes, kinds and names: the file is named."""
    path = tmp_path / "evil.h5"
    path.write_bytes(_saved(_layers("microexpstcnn"), version="2.1.0", damage=damage))
    with pytest.raises(InputError, match=r"evil\.h5"):
        load_checkpoint(path, "microexpstcnn")


class _Attack:
    """Unpickling this runs a command that leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("name", ["w.h5", "w.hdf5", "w.safetensors", "w.pth", "w.bin", "w"])
def test_pickles_are_refused_by_any_name(tmp_path: Path, name: str) -> None:
    """Whatever a file calls itself, no route unpickles code."""
    path, trace = tmp_path / name, tmp_path / "trace"
    for content in (pickle.dumps(_Attack(trace)), _archived(_Attack(trace))):
        path.write_bytes(content)
        with pytest.raises(InputError, match="w"):
            load_checkpoint(path, "microexpstcnn")
    assert not trace.exists()


def _archived(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": content}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"a text", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(2000)])
def test_what_is_not_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    """A text file by that name, and a file that only begins like one."""
    (tmp_path / "w.h5").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.h5"):
        load_checkpoint(tmp_path / "w.h5", "microexpstcnn")


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    """Half of a file is not one."""
    data = _saved(_layers("microexpstcnn"), version="2.1.0")
    (tmp_path / "w.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"w\.h5"):
        load_checkpoint(tmp_path / "w.h5", "microexpstcnn")


def test_other_networks_are_not_read_from_keras(tmp_path: Path) -> None:
    """Only those that their authors made in Keras are; what is found is told where another one of them is asked for."""
    path = tmp_path / "w.h5"
    path.write_bytes(_saved(_layers("microexpstcnn"), version="2.1.0"))
    with pytest.raises(InputError, match="from which ststnet is not read"):
        load_checkpoint(path, "ststnet")
    with pytest.raises(InputError, match=r"needs 2 kernels of \[3, 3, 15, 1, 32\].*has kernels of \[3, 3, 15, 1, 32\]"):
        load_checkpoint(path, "microexpfusenet_late")
