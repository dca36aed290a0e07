"""A gRPC server that plays Triton after a script."""

import asyncio

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc


class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Has the tiny model in the versions of `versions`; each inference follows the next step of `script`, a status
    code or what to change in a good response, and then answers well. `hang` makes inferences wait, `mute` the index.
    """

    def __init__(self, tiny):
        self.tiny = tiny
        self.versions = ["1"]
        self.contract = tiny.contract("tiny")
        self.script = []
        self.hang = False
        self.mute = False
        self.state = "READY"
        self.says = "scripted\nsecond line"
        self.inferences = []
        self.traceparents = []
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.indexed = 0

    async def RepositoryIndex(self, _request, _context):
        """The index."""
        self.indexed += 1
        if self.mute:
            await asyncio.Event().wait()
        answer = service_pb2.RepositoryIndexResponse()
        for version in self.versions:
            answer.models.add(name="tiny", version=version, state=self.state)
        return answer

    async def ServerReady(self, _request, _context):
        """Always."""
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelConfig(self, request, _context):
        """The configuration."""
        return service_pb2.ModelConfigResponse(config=self.tiny.config(request.name, self.contract))

    async def ModelInfer(self, request, context):
        """One inference."""
        self.inferences.append((request.model_version, context.time_remaining()))
        self.traceparents.append(dict(context.invocation_metadata()).get("traceparent", ""))
        self.started.set()
        if self.hang:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if request.model_version not in self.versions:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'tiny' version is not found")
        step = self.script.pop(0) if self.script else {}
        if isinstance(step, grpc.StatusCode):
            await context.abort(step, self.says)
        size = request.inputs[0].shape[0]
        arrays = {"probabilities": np.full((size, 3), 1 / 3), "embedding": np.zeros((size, 4))} | step
        answer = service_pb2.ModelInferResponse(model_name="tiny", model_version="1")
        for name, array in arrays.items():
            raw = array if isinstance(array, bytes) else array.astype("<f4").tobytes()
            shape = (size, 3) if isinstance(array, bytes) else array.shape
            answer.outputs.add(name=name, datatype="FP32", shape=shape)
            answer.raw_output_contents.append(raw)
        return answer

    async def listen(self, address="127.0.0.1:0"):
        """Serve there, on a free port unless it names one."""
        self.server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port(address)}"
        await self.server.start()
