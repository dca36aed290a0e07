"""The part of TensorRT 10's Python API that plans are built with, without a GPU; it records what it is told.

Names, arguments and results are those of NVIDIA's API reference (Builder, NetworkConfig, OptimizationProfile,
OnnxParser, Engine, Runtime). As there: a strongly typed network refuses precision flags, a profile must cover every
input whose shape is not fixed, `build_serialized_network` and `deserialize_cuda_engine` return None where they fail.
"""

from __future__ import annotations

import enum
import json
from types import SimpleNamespace
from typing import Any

import onnx
from google.protobuf.message import DecodeError

__version__ = "10.13.3.9.post1"
CAPABILITY = (8, 6)
calls: list[tuple[Any, ...]] = []


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    FP16 = 0
    TF32 = 6


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class Logger:
    WARNING = 2

    def __init__(self, min_severity: int = WARNING) -> None:
        self.min_severity = min_severity


class _Network:
    def __init__(self, flags: int) -> None:
        self.strongly_typed = bool(flags & 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        self.tensors: dict[str, tuple[str, list[int]]] = {}
        self.graph = b""


class OnnxParser:
    def __init__(self, network: _Network, logger: Logger) -> None:
        self.network = network
        self._errors: list[str] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: self._errors[index])

    def parse(self, model: bytes) -> bool:
        try:
            graph = onnx.load_from_string(model).graph
        except DecodeError:
            self._errors.append("Failed to parse the ONNX model")
            return False
        for kind, values in (("INPUT", graph.input), ("OUTPUT", graph.output)):
            for value in values:
                axes = value.type.tensor_type.shape.dim
                self.network.tensors[value.name] = (kind, [axis.dim_value or -1 for axis in axes])
        self.network.graph = model
        return True


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002 - TensorRT's names
        calls.append(("set_shape", input, min, opt, max))
        self.shapes[input] = (min, opt, max)


class _Config:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.profiles: list[_Profile] = []

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        calls.append(("set_memory_pool_limit", pool, pool_size))

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        calls.append(("clear_flag", flag))
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder:
    fails = False

    def __init__(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)

    def create_network(self, flags: int = 0) -> _Network:
        calls.append(("create_network", flags))
        return _Network(flags)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def create_builder_config(self) -> _Config:
        return _Config()

    def build_serialized_network(self, network: _Network, config: _Config) -> memoryview | None:
        if self.fails or (network.strongly_typed and BuilderFlag.FP16 in config.flags) or not config.profiles:
            return None
        dynamic = {name for name, (kind, shape) in network.tensors.items() if kind == "INPUT" and -1 in shape}
        for profile in config.profiles:
            ordered = all(low <= best <= high for low, best, high in profile.shapes.values())
            if set(profile.shapes) != dynamic or not ordered:
                return None
        calls.append(("build", network.graph))
        made = {"version": __version__, "capability": CAPABILITY, "tensors": network.tensors}
        return memoryview(json.dumps(made).encode())


class _Engine:
    def __init__(self, tensors: dict[str, tuple[str, list[int]]]) -> None:
        self._tensors = tensors

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode[self._tensors[name][0]]

    def get_tensor_shape(self, name: str) -> list[int]:
        return self._tensors[name][1]


class Runtime:
    def __init__(self, logger: Logger) -> None:
        assert isinstance(logger, Logger)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> _Engine | None:
        try:
            made = json.loads(serialized_engine)
        except ValueError:
            return None
        fits = made["version"] == __version__ and tuple(made["capability"]) == CAPABILITY
        return _Engine(made["tensors"]) if fits else None
