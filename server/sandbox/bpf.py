"""A filter of system calls as a program of the kernel's classic BPF machine (seccomp(2), linux/bpf_common.h).

A program is a chain of rules, each of which answers one call, and an answer for all others. It runs for every call,
before anything of the call is done, and sees its number and arguments, but nothing that they point to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000

Instruction: TypeAlias = tuple[int, int, int, int]
"""Code, how many to skip when true and when false, operand."""


class Answer(IntEnum):
    """What the kernel does with a call."""

    ALLOW = 0x7FFF0000
    KILL = 0x80000000
    """The process ends with SIGSYS."""
    NOT_PERMITTED = 0x00050001
    """The call fails with EPERM."""
    NOT_THERE = 0x00050026
    """The call fails with ENOSYS, as on a kernel that is too old for it."""


@dataclass(frozen=True, slots=True)
class Test:
    """Of one argument's lower (or upper) 32 bits: whether it equals `value`, or, with `bits`, has any of its bits."""

    argument: int
    value: int
    bits: bool = False
    upper: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One call: `then` where all `tests` hold, else `otherwise`."""

    number: int
    then: Answer
    tests: Sequence[Test] = ()
    otherwise: Answer = Answer.NOT_PERMITTED


def program(audit: int, rules: Iterable[Rule], others: Answer, *, last_known: int) -> bytes:
    """For processes of the architecture `audit`; one that changes to another ends.

    Calls without a rule are answered by `others`, those above `last_known` as not there. Several rules of one call are
    tried in turn until the tests of one hold; the last one decides what else becomes of it.
    """
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, audit),
        (_RETURN, 0, 0, Answer.KILL),
        (_LOAD, 0, 0, _NUMBER),
        # The second interface of x86-64 has the same architecture and other numbers.
        (_JUMP_ABOVE, 0, 1, _X32 - 1),
        (_RETURN, 0, 0, Answer.KILL),
    ]
    grouped: dict[int, list[Rule]] = {}
    for rule in rules:
        grouped.setdefault(rule.number, []).append(rule)
    for number, group in grouped.items():
        block = _block(group)
        code += [(_JUMP_EQUAL, 0, len(block), number), *block]
    code += [(_JUMP_ABOVE, 0, 1, last_known), (_RETURN, 0, 0, Answer.NOT_THERE), (_RETURN, 0, 0, others)]
    return b"".join(struct.pack("=HBBI", *each) for each in code)


def _block(group: Sequence[Rule]) -> list[Instruction]:
    """Reached with the number of the group's call, and never left but by an answer."""
    block: list[Instruction] = []
    for rule in group:
        left = 2 * len(rule.tests)
        for test in rule.tests:
            left -= 2
            block.append((_LOAD, 0, 0, _ARGUMENTS + 8 * test.argument + 4 * test.upper))
            # Past the tests that are left, and past the answer of this rule.
            block.append((_JUMP_BITS if test.bits else _JUMP_EQUAL, 0, left + 1, test.value))
        block.append((_RETURN, 0, 0, rule.then))
    if group[-1].tests:
        block.append((_RETURN, 0, 0, group[-1].otherwise))
    return block
