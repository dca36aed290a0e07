"""Mutations of files and messages, each a number of steps that can be left out one by one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.fuzz.elements import READERS, elements

_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
_WIDTHS = (1, 2, 4, 8)
_STEPS = (1, 1, 1, 1, 2, 2, 3, 5)
"""Often one: a file that is wrong in many places is refused for the first."""
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Mutant:
    """A seed after some steps. `steps` are numbers: each step draws from a generator of its own, so that one that is
    left out leaves the others as they were.
    """

    seed: str
    key: str
    steps: tuple[int, ...]

    def without(self, step: int) -> Mutant:
        """The same without one step."""
        return Mutant(self.seed, self.key, tuple(each for each in self.steps if each != step))


def drawn(key: str, seeds: Sequence[str]) -> Mutant:
    """The mutant of one key."""
    source = random.Random(key)
    return Mutant(source.choice(seeds), key, tuple(range(source.choice(_STEPS))))


def apply(mutant: Mutant, seeds: Mapping[str, bytes], form: str) -> bytes:
    """The bytes of a mutant; `form` is one of `READERS`, or `bytes` for what has no elements."""
    data = seeds[mutant.seed]
    others = list(seeds.values())
    for step in mutant.steps:
        source = random.Random(f"{mutant.key}:{step}")
        kinds = (*_BLIND, *(_AWARE if form in READERS else ()) * 2)
        data = source.choice(kinds)(data, source, form, source.choice(others))[:_LARGEST]
    return data


def _somewhere(data: bytes, source: random.Random) -> int:
    """A place, more often in the first and last kilobyte, where formats keep what steers them."""
    near = min(1024, len(data))
    return source.choice((source.randrange(near), len(data) - 1 - source.randrange(near), source.randrange(len(data))))


def _flip(data: bytes, source: random.Random, *_: object) -> bytes:
    out = bytearray(data or b"\0")
    for _ in range(source.choice((1, 1, 2, 8, 64))):
        out[_somewhere(out, source)] ^= 1 << source.randrange(8)
    return bytes(out)


def _number(data: bytes, source: random.Random, *_: object) -> bytes:
    out = bytearray(data or b"\0")
    place, width = _somewhere(out, source), source.choice(_WIDTHS)
    value = source.choice(_NUMBERS) & ((1 << 8 * width) - 1)
    out[place : place + width] = value.to_bytes(width, source.choice(("big", "little")))
    return bytes(out)


def _cut(data: bytes, source: random.Random, *_: object) -> bytes:
    return data[: source.randrange(len(data) + 1)]


def _remove(data: bytes, source: random.Random, *_: object) -> bytes:
    start = source.randrange(len(data) + 1)
    return data[:start] + data[start + source.choice((1, 4, 16, 188, 1000)) :]


def _repeat(data: bytes, source: random.Random, *_: object) -> bytes:
    start = source.randrange(len(data) + 1)
    piece = data[start : start + source.choice((1, 8, 64, 188, 2000))]
    return data[:start] + piece * source.choice((2, 3, 50)) + data[start:]


def _splice(data: bytes, source: random.Random, _: str, other: bytes) -> bytes:
    start, end = sorted((source.randrange(len(other) + 1), source.randrange(len(other) + 1)))
    place = source.randrange(len(data) + 1)
    keep = place + source.choice((0, end - start))
    return data[:place] + other[start:end] + data[keep:]


def _lie(data: bytes, source: random.Random, form: str, *_: object) -> bytes:
    """An element that states another size."""
    found = elements(data, form)
    if not found:
        return data
    each = source.choice(found)
    honest = int.from_bytes(data[each.size_at : each.size_at + each.size_bytes])
    value = source.choice((*_NUMBERS, honest + 1, honest - 1, honest * 2, honest + 8)) % (1 << 8 * each.size_bytes)
    return data[: each.size_at] + value.to_bytes(each.size_bytes) + data[each.size_at + each.size_bytes :]


def _drop(data: bytes, source: random.Random, form: str, *_: object) -> bytes:
    found = elements(data, form)
    if not found:
        return data
    each = source.choice(found)
    return data[: each.start] + data[each.end :]


def _double(data: bytes, source: random.Random, form: str, *_: object) -> bytes:
    found = elements(data, form)
    if not found:
        return data
    each = source.choice(found)
    piece = data[each.start : each.end]
    return data[: each.end] + piece * source.choice((1, 1, 20)) + data[each.end :]


def _exchange(data: bytes, source: random.Random, form: str, *_: object) -> bytes:
    """Two elements in each other's place."""
    found = elements(data, form)
    if len(found) < 2:
        return data
    first, second = sorted(source.sample(found, 2), key=lambda each: each.start)
    if first.end > second.start:
        return data
    return b"".join(
        (
            data[: first.start],
            data[second.start : second.end],
            data[first.end : second.start],
            data[first.start : first.end],
            data[second.end :],
        )
    )


def _transplant(data: bytes, source: random.Random, form: str, other: bytes) -> bytes:
    """An element of another file in place of one of the same kind, or beside any."""
    mine, theirs = elements(data, form), elements(other, form)
    if not mine or not theirs:
        return data
    given = source.choice(theirs)
    same = [each for each in mine if each.kind == given.kind] or mine
    each = source.choice(same)
    return data[: each.start] + other[given.start : given.end] + data[each.end :]


def _within(data: bytes, source: random.Random, form: str, *_: object) -> bytes:
    """Numbers inside one element, such as the parameters of a codec or a table."""
    found = elements(data, form)
    if not found:
        return data
    each = source.choice(found)
    out = bytearray(data)
    for _ in range(source.choice((1, 2, 6))):
        if each.end > each.start:
            place, width = source.randrange(each.start, each.end), source.choice(_WIDTHS)
            value = source.choice((source.choice(_NUMBERS), source.getrandbits(64))) & ((1 << 8 * width) - 1)
            out[place : place + width] = value.to_bytes(width)
    return bytes(out)


_Step = Callable[[bytes, random.Random, str, bytes], bytes]
_BLIND: tuple[_Step, ...] = (_flip, _number, _cut, _remove, _repeat, _splice)
_AWARE: tuple[_Step, ...] = (_lie, _drop, _double, _exchange, _transplant, _within, _within)
