"""From an ONNX graph to a TensorRT plan, on a machine that has a GPU and TensorRT.

By the Python API of TensorRT 10, of which nothing is used that TensorRT 11 removed (NVIDIA, "TensorRT Documentation",
Python API, and Migrating from TensorRT 10.x to 11.x). The network is strongly typed: each tensor has the type that it
has in the graph, so that half precision is where `export.half_arithmetic` put it. TF32, which rounds the factors of
products of float32 to ten bits, is off, since a plan in single precision shall answer as the network does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from export.triton_config import batch_sizes
from server.contract import Engine, ModelContract, TensorSpec
from server.errors import ConfigurationError
from server.predict.engine import Gpu

WORKSPACE_MIB = 1024
"""Also what ONNX Runtime gives TensorRT where nothing is said."""
_MIB = 2**20
_VERSION = re.compile(r"\d+(\.\d+){1,3}")


def this_gpu() -> Gpu:
    """TensorRT and the first GPU of this machine. Raises `ConfigurationError`, saying what to install."""
    import torch

    found = _VERSION.match(_tensorrt().__version__)
    if found is None:
        raise ConfigurationError(f"TensorRT says that its version is {_tensorrt().__version__!r}")
    if not torch.cuda.is_available():
        raise ConfigurationError(
            "a TensorRT plan is built on the GPU that shall run it, and torch finds none here: use a machine with an"
            " NVIDIA GPU, its driver and a build of torch for CUDA, or --accelerator tensorrt, which builds on Triton's"
        )
    major, minor = torch.cuda.get_device_capability()
    return Gpu(f"{major}.{minor}", found.group())


def build_plan(
    graph: bytes, inputs: Sequence[TensorSpec], *, workspace_mib: int = WORKSPACE_MIB
) -> tuple[bytes, Engine]:
    """The plan of the ONNX `graph`, for batches of 1 to the largest that Triton is told of, and what it can run on. Its
    kernels are chosen for the first size that Triton waits for.

    `inputs` are those of the graph, all dims fixed but the batch. Raises `ConfigurationError` where there is no
    TensorRT or no GPU, and where TensorRT refuses the graph, with its reasons.
    """
    trt = _tensorrt()
    gpu = this_gpu()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        reasons = "; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors))
        raise ConfigurationError(f"TensorRT {gpu.tensorrt} cannot read the graph: {reasons}")
    profile = builder.create_optimization_profile()
    sizes = batch_sizes(inputs)
    for spec in inputs:
        profile.set_shape(spec.name, *[(size, *spec.dims) for size in (1, sizes[0], sizes[-1])])
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib * _MIB)
    config.clear_flag(trt.BuilderFlag.TF32)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ConfigurationError(f"TensorRT {gpu.tensorrt} built no engine from the graph; its log above says why")
    engine = Engine(tensorrt=gpu.tensorrt, compute_capability=gpu.compute_capability, workspace_mib=workspace_mib)
    return bytes(plan), engine


def check_plan(plan: bytes, contract: ModelContract) -> str:
    """What is wrong with a plan on this machine, compared with its contract; empty where it loads and its inputs and
    outputs are those of the contract.

    Raises `ConfigurationError` where this machine has no TensorRT or no GPU.
    """
    assert contract.engine is not None
    trt = _tensorrt()
    misfit = this_gpu().misfit(contract.engine)
    if misfit:
        return misfit
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan)
    if engine is None:
        return "TensorRT does not load it; its log above says why"
    found = dict(_tensors(trt, engine))
    wanted = {spec.name: ("INPUT", (-1, *spec.dims)) for spec in contract.inputs}
    wanted |= {spec.name: ("OUTPUT", (-1, *spec.dims)) for spec in contract.outputs}
    return "" if found == wanted else f"it has {found}, the contract {wanted}"


def _tensors(trt: Any, engine: Any) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = "INPUT" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "OUTPUT"
        yield name, (kind, tuple(engine.get_tensor_shape(name)))


def _tensorrt() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise ConfigurationError(
            "TensorRT plans need the package tensorrt, of the very version that Triton has: pip install"
            " tensorrt==VERSION (docs/gpu.md says how to find it)"
        ) from error
    return tensorrt
