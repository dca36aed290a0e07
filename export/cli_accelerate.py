"""`glimpse-export accelerate`: a published model for a GPU."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from export.cli_options import REPOSITORY, Overwrite, Repository, Version


def accelerate(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Published model to start from, which stays as it is.")],
    *,
    to: Annotated[str, typer.Option("--to", help="Name of the new model.")],
    precision: Annotated[
        Literal["fp32", "fp16"], typer.Option(help="Arithmetic of the layers that have weights.")
    ] = "fp32",
    accelerator: Annotated[
        Literal["tensorrt"] | None, typer.Option(help="What ONNX Runtime uses where Triton has a GPU.")
    ] = None,
    file_format: Annotated[
        Literal["onnx", "plan"],
        typer.Option("--format", help="plan: an engine for the GPU and the TensorRT of this machine alone."),
    ] = "onnx",
    workspace_mib: Annotated[
        int | None, typer.Option(min=1, help="GPU memory that TensorRT may use temporarily: 1024 unless given.")
    ] = None,
    engine_cache: Annotated[
        str | None, typer.Option(help="Folder on Triton's machine that keeps the engines it builds.")
    ] = None,
    repository: Repository = REPOSITORY,
    model_version: Version = 1,
    overwrite: Overwrite = False,
) -> None:
    """Publish a model once more, in half precision or for TensorRT."""
    from export.acceleration import Acceleration
    from export.acceleration import accelerate as accelerate_model
    from export.output import message

    wanted = Acceleration(precision, accelerator, file_format, workspace_mib, engine_cache)
    made = accelerate_model(
        repository, name, wanted, name=to, command=ctx.obj, version=model_version, overwrite=overwrite
    )
    for output, difference in made.differences.items():
        message(f"{output} differs from single precision by at most {difference:.1e} on random inputs")
    print(made.place)
