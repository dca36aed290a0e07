"""`glimpse-export synthesize`: sample clips, a corpus of rendered clips, or flow images, all from action units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from export.cli_options import PROCESSES, Processes, Seed, Sources, parse_sources
from server.errors import OptionError

if TYPE_CHECKING:
    from export.synthesis.corpus import CorpusOptions
    from export.synthesis.sources import Source

_CORPUS = "Corpus"


def synthesize(
    ctx: typer.Context,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder, or an .npz file for flow.")],
    *,
    kind: Annotated[
        Literal["clips", "corpus", "flow"],
        typer.Option("--kind", help="The sample clips, any number of rendered clips, or flow images."),
    ] = "clips",
    samples: Annotated[int, typer.Option(min=1, help="Flow images.")] = 300,
    count: Annotated[int, typer.Option(min=1, help="Clips.", rich_help_panel=_CORPUS)] = 100,
    face: Annotated[
        list[Path] | None,
        typer.Option(
            help="Picture of a face; may be given again. NASA's portrait of Eileen Collins unless given.",
            rich_help_panel=_CORPUS,
        ),
    ] = None,
    identities: Annotated[
        int, typer.Option(min=1, help="People made of the pictures in turn.", rich_help_panel=_CORPUS)
    ] = 50,
    sources: Sources = None,
    fps: Annotated[
        str, typer.Option(help="Frame rates, one of them for each clip.", rich_help_panel=_CORPUS)
    ] = "25,30,60,100,200",
    seconds: Annotated[str, typer.Option(help="Shortest and longest clip.", rich_help_panel=_CORPUS)] = "2.5,4",
    expressions: Annotated[
        str, typer.Option(help="Least and most micro-expressions of a clip.", rich_help_panel=_CORPUS)
    ] = "1,1",
    peak_iod: Annotated[
        str | None,
        typer.Option(
            help="Scale each expression to a peak between these, in eye distances; as drawn unless given.",
            rich_help_panel=_CORPUS,
        ),
    ] = None,
    speech: Annotated[
        float, typer.Option(min=0, max=1, help="Share of clips in which the person speaks.", rich_help_panel=_CORPUS)
    ] = 0.1,
    size: Annotated[int, typer.Option(help="Width and height in px.", rich_help_panel=_CORPUS)] = 400,
    seed: Seed = 0,
    processes: Processes = PROCESSES,
) -> None:
    """Make clips or flow images from action units, with their ground truth."""
    _check_kind(ctx, kind)
    if kind == "clips":
        _samples(output)
    elif kind == "flow":
        _flow(output, samples, seed, parse_sources(sources), processes)
    else:
        from export.synthesis.corpus import CorpusOptions
        from export.synthesis.scenes import SceneOptions
        from export.synthesis.sources import SOURCES

        scene = SceneOptions(
            seconds=_pair("seconds", seconds),
            expressions=_whole_pair("expressions", expressions),
            sources=parse_sources(sources) or SOURCES,
            peak_iod=_pair("peak_iod", peak_iod) if peak_iod is not None else None,
            speech=speech,
        )
        rates = _whole("fps", _numbers("fps", fps))
        options = CorpusOptions(seed=seed, identities=identities, size=size, rates=rates, scene=scene)
        _corpus(output, count, options, face or [], processes)


_FOR_CORPUS = (
    "count", "face", "identities", "fps", "seconds", "expressions", "peak_iod", "speech", "size",
)  # fmt: skip
_ONLY = {
    "samples": ("flow",),
    "seed": ("corpus", "flow"),
    "sources": ("corpus", "flow"),
    "processes": ("corpus", "flow"),
    **dict.fromkeys(_FOR_CORPUS, ("corpus",)),
}
"""The kinds that each option belongs to."""


def _check_kind(ctx: typer.Context, kind: str) -> None:
    """Raise `OptionError` for an option that was given and that this kind does not have."""
    for name, kinds in _ONLY.items():
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and kind not in kinds:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(f"{option} needs --kind {' or '.join(kinds)}", option=name)


def _samples(output: Path) -> None:
    from export.output import message
    from export.synthesis.clips import synthesize_samples

    for path in synthesize_samples(output, message):
        print(path)


def _flow(output: Path, samples: int, seed: int, sources: Sequence[Source], processes: int) -> None:
    from export.output import counting
    from export.synthesis.flow_fields import synthesize_flow
    from export.synthesis.flow_files import write_flow_samples

    with counting("samples") as progress:
        made = synthesize_flow(samples, seed, sources=sources, processes=processes, on_progress=progress)
    write_flow_samples(output, made)
    print(output)


def _corpus(output: Path, count: int, options: CorpusOptions, pictures: list[Path], processes: int) -> None:
    from export.output import counting
    from export.synthesis.corpus import make_corpus
    from export.synthesis.identities import default_face, read_face

    options.check()
    faces = [read_face(picture) for picture in pictures] or [default_face()]
    with counting("clips") as progress:
        print(make_corpus(output, count, options, faces, processes=processes, on_progress=progress))


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        name = option.replace("_", "-")
        raise OptionError(f"--{name} {text!r} is not a list of numbers with commas", option=option) from None


def _pair(option: str, text: str) -> tuple[float, float]:
    numbers = _numbers(option, text)
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        name = option.replace("_", "-")
        raise OptionError(f"--{name} {text!r} is not two rising numbers, such as 1,2", option=option)
    return numbers[0], numbers[1]


def _whole_pair(option: str, text: str) -> tuple[int, int]:
    low, high = _whole(option, _pair(option, text))
    return low, high


def _whole(option: str, numbers: Sequence[float]) -> list[int]:
    if not all(number >= 0 and number.is_integer() for number in numbers):
        raise OptionError(f"--{option} are whole numbers from 0", option=option)
    return [int(number) for number in numbers]
