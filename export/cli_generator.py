"""`glimpse-export generator`: what ICE-GAN paints, as an ONNX graph and as a sheet to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.errors import OptionError


def generator(
    weights: Annotated[Path, typer.Argument(help="The generator.pth that `train icegan` wrote.")],
    *,
    onnx: Annotated[Path | None, typer.Option(help="Write the graph: onset, label and noise to a face.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a PNG: rendered faces and what is made of them for each class.")
    ] = None,
    people: Annotated[int, typer.Option(min=1, help="Rows of the sheet: people not trained on.")] = 5,
) -> None:
    """Export the generator of ICE-GAN, and look at what it makes."""
    from export.companions import load_companion
    from export.contact_sheet import contact_sheet, write_sheet
    from export.event_training import held_out_people
    from export.gan_training import GENERATOR
    from export.generator_export import write_generator
    from export.networks.icegan_generator import Generator, GeneratorGraph
    from export.networks.registry import find_network
    from export.output import counting, message
    from export.synthesis.events import render_people

    if onnx is None and sheet is None:
        raise OptionError("say what to write: --onnx or --sheet", option="onnx")
    network = find_network("icegan")
    model = Generator()
    training = load_companion(weights, network.name, GENERATOR, model)
    strangers = held_out_people()
    if people > len(strangers):
        raise OptionError(f"--people is at most {len(strangers)}: only so many are not trained on", option="people")
    graph = GeneratorGraph(model).eval()
    if onnx:
        difference = write_generator(onnx, graph)
        message(f"torch and ONNX Runtime differ by at most {difference:.1e} of half the grey range")
        print(onnx)
    if sheet:
        with counting("rendering") as progress:
            samples = render_people(
                network.recipe, strangers[:people], training["seed"], extras=network.extras, on_progress=progress
            )
        write_sheet(sheet, contact_sheet(graph, samples, training["seed"]))
        print(sheet)
