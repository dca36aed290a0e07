"""Whether a TensorRT plan can run on a GPU that the gateway cannot see."""

from __future__ import annotations

from dataclasses import dataclass

from server.contract import Engine

NEEDS_TRITON = "a TensorRT plan needs Triton with a GPU"


@dataclass(frozen=True, slots=True)
class Gpu:
    """What is known of the GPU that runs plans and of the TensorRT on it; empty where it is not known.

    `compute_capability` as in 8.6; `tensorrt` a version with as many of its numbers as are known, as in 10.13.3.
    """

    compute_capability: str = ""
    tensorrt: str = ""

    def misfit(self, engine: Engine) -> str:
        """Why the plan cannot run there, in words for the operator; empty where nothing that is known speaks against
        it.

        TensorRT's engines run with the version and on the architecture that they were built with and for, unless they
        are built to be compatible, which ours are not (NVIDIA, "TensorRT Documentation", Version Compatibility and
        Hardware Compatibility).
        """
        if self.compute_capability not in {"", engine.compute_capability}:
            return (
                f"its plan was built for compute capability {engine.compute_capability}, and the GPU has"
                f" {self.compute_capability}: build it again on such a GPU"
            )
        known, built = self.tensorrt.split("."), engine.tensorrt.split(".")
        if self.tensorrt and any(one != other for one, other in zip(known, built, strict=False)):
            return (
                f"its plan was built by TensorRT {engine.tensorrt}, and Triton has {self.tensorrt}: build it again with"
                " that version"
            )
        return ""
