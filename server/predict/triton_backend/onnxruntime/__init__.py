"""The folder that Triton knows as the backend `onnxruntime`."""
