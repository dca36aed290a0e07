"""Recipes of several models at once: `flow_uvs_28+clip_gray_18x64` is what an ensemble of both kinds is fed.

The inputs of a composed recipe are those of its parts, from the same measurement of the same movement. An input that
only one part has keeps its name; one that several have is prefixed, as in `flow_uvs_28.flow`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from server.types import EventSample, Float32Array

SEPARATOR = "+"
_MOST_KEPT = 64

Make: TypeAlias = Callable[[EventSample], Mapping[str, Float32Array]]
MakeWithin: TypeAlias = Callable[[EventSample, EventSample], Mapping[str, Float32Array]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """`make` turns one event into the named inputs of a network, each without a batch axis; `dims` are their shapes.

    `frames` is how many frames of the course from onset to offset it wants; none where onset and apex are enough, so
    that two pictures can be classified as well as a clip. `tracked`: whether it wants the displacement of the regions.
    A composed recipe gets the frames of its `parts` one after the other. `cells` is how fine the map of an explanation
    is at most, a side: the inputs are made that often squared, and all of them are held at once. `within` is for
    recipes whose scale depends on the sample: it takes that of another one. `shows` are the rows and columns of the
    crop that its inputs show, where that is one square.
    """

    make: Make
    dims: Mapping[str, tuple[int, ...]]
    frames: int = 0
    tracked: bool = False
    parts: tuple[Recipe, ...] = ()
    cells: int = 8
    within: MakeWithin | None = None
    shows: tuple[slice, slice] | None = None

    def make_within(self, sample: EventSample, whole: EventSample) -> Mapping[str, Float32Array]:
        """The inputs of `sample`, which is `whole` with a part of it hidden, on the scale of those of `whole`."""
        return self.within(sample, whole) if self.within else self.make(sample)

    @property
    def courses(self) -> tuple[int, ...]:
        """How many frames each part wants that wants any."""
        return tuple(part.frames for part in self.parts or (self,) if part.frames)

    def needs_more_than(self, other: Recipe) -> bool:
        """Whether it wants pictures of the course that `other` does not want."""
        return bool(self.courses) and self.courses != other.courses

    def times_s(self, onset_s: float, offset_s: float) -> list[float]:
        """When the frames of the course are wanted: for each part evenly from onset to offset."""
        return [time_s for frames in self.courses for time_s in np.linspace(onset_s, offset_s, frames).tolist()]


class Recipes(Mapping[str, Recipe]):
    """The recipes by name; a name that joins several by `+` is known where each of them is, and each only once."""

    def __init__(self, plain: Mapping[str, Recipe]) -> None:
        self._plain = MappingProxyType(dict(plain))
        self._composed = lru_cache(_MOST_KEPT)(self._compose)

    def __getitem__(self, name: str) -> Recipe:
        return self._composed(name) if SEPARATOR in name else self._plain[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)

    def _compose(self, name: str) -> Recipe:
        names = name.split(SEPARATOR)
        if len(set(names)) < len(names):
            raise KeyError(name)
        return _composed({part: self._plain[part] for part in names})


def composed_name(names: Iterable[str]) -> str:
    """The recipe that holds each of `names`, once, in their order."""
    return SEPARATOR.join(dict.fromkeys(names))


def tensor_names(inputs: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    """Under which name the composed recipe has each input of each part; `inputs` are the parts' own by recipe."""
    if len(inputs) == 1:
        return {(recipe, name): name for recipe, names in inputs.items() for name in names}
    shared = Counter(name for names in inputs.values() for name in names)
    return {
        (recipe, name): f"{recipe}.{name}" if shared[name] > 1 else name
        for recipe, names in inputs.items()
        for name in names
    }


def _composed(parts: Mapping[str, Recipe]) -> Recipe:
    names = tensor_names({name: part.dims for name, part in parts.items()})

    def within(sample: EventSample, whole: EventSample) -> Mapping[str, Float32Array]:
        made: dict[str, Float32Array] = {}
        start = 0
        for name, part in parts.items():
            course = slice(start, start + part.frames)
            start += part.frames
            own, like = (replace(each, course=each.course[course]) for each in (sample, whole))
            made |= {names[name, tensor]: value for tensor, value in part.make_within(own, like).items()}
        return made

    return Recipe(
        make=lambda sample: within(sample, sample),
        within=within,
        dims={names[name, tensor]: dims for name, part in parts.items() for tensor, dims in part.dims.items()},
        frames=sum(part.frames for part in parts.values()),
        tracked=any(part.tracked for part in parts.values()),
        parts=tuple(parts.values()),
        cells=min(part.cells for part in parts.values()),
    )
