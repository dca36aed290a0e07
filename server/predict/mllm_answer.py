"""What a multimodal language model wrote, as a ranking of labels and a list of action units; nothing is taken on trust.

Such models were found to answer in hedged prose as often as in labels (Lu et al., arXiv 2403.05916), and with labels
that were not offered (Lian et al., arXiv 2312.04293), so reading goes from the strict to the loose: the JSON that was
asked for, JSON that can be mended, then words outside negations.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Outcome = Literal["ranked", "unseen", "refused", "unclear"]

_LONGEST = 20_000
_MOST_UNITS = 46
_SIDES = {"l": (True, False), "r": (False, True), "b": (True, True)}

_NEGATIVE = r"negative|ang(?:er|ry)|disgust(?:ed)?|sad(?:ness)?|fear(?:ful)?|afraid|contempt(?:uous)?|repress\w*"
_POSITIVE = r"positive|happ(?:y|iness|ily)|joy(?:ful)?|smil\w*|amuse(?:d|ment)"
_SURPRISE = r"surpris(?:e|ed|ingly)|astonish(?:ed|ment)"
SYNONYMS: Mapping[str, str] = {"negative": _NEGATIVE, "positive": _POSITIVE, "surprise": _SURPRISE}
"""By label: the words that are taken for it."""

_NEGATION = re.compile(
    r"\b(?:not|no|nor|neither|never|without|hardly|unlikely|instead\s+of|rather\s+than|absence\s+of|lack\s+of)\b|n't\b",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.;:!?\n]|,\s*(?:but|rather|instead|it)\b|\bbut\b", re.IGNORECASE)
_WORDS_NEGATED = 6
_REFUSAL = re.compile(
    r"(?:can(?:no|')t|can not|unable to|not able to|won't|will not)\s+(?:\w+\s+){0,3}?"
    r"(?:determine|identify|assist|help|analy[sz]e|comply|infer|provide|assess|rank|classify)"
    r"|not (?:be )?appropriate|inappropriate|i'm sorry|i am sorry|i apologi[sz]e",
    re.IGNORECASE,
)
_UNIT = re.compile(r"\bAU\s?0?(\d{1,2})\b", re.IGNORECASE)
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WORDS_OF_PYTHON = re.compile(r"\b(?:True|False|None)\b")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `weights` (sum 1, by label) and `ranking` are empty unless it is `ranked`; `units` says for each
    action unit whether it moved on the left and on the right of the picture.
    """

    outcome: Outcome
    ranking: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[int, tuple[bool, bool]] = field(default_factory=dict)


class _Loose(BaseModel):
    """The outline of the answer that was asked for; what is in the lists is checked item by item."""

    model_config = ConfigDict(extra="ignore")

    visible: bool = True
    aus: list[Any] = Field(default_factory=list)
    ranking: list[Any] = Field(default_factory=list)
    scores: dict[str, Any] = Field(default_factory=dict)


class _Unit(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    au: Annotated[str, Field(pattern=r"(?i)^\s*(AU)?\s?0?\d{1,2}\s*$")]
    side: str = "B"


def read_answer(content: str, labels: Sequence[str], *, declined: bool = False) -> Answer:
    """The meaning of `content`; `declined` where the endpoint itself said that the model would not answer.

    `labels` are those that were offered. A label that was not is read by `SYNONYMS` or dropped, the first of two alike
    counts, those left out come last with no weight. Never raises.
    """
    text = content[:_LONGEST].replace("\u2019", "'").strip()
    if declined or not text:
        return Answer("refused")
    loose = _structured(text)
    if loose is not None:
        return _from_structure(loose, labels)
    if _REFUSAL.search(text):
        return Answer("refused")
    return _from_prose(text, labels)


def _structured(text: str) -> _Loose | None:
    for candidate in (mended for block in _blocks(text) for mended in _mended(block)):
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.keys() & _Loose.model_fields.keys():
            try:
                return _Loose.model_validate(found)
            except ValidationError:
                continue
    return None


def _mended(text: str) -> Iterator[str]:
    """The text as it is, then without what other languages allow in such a literal."""
    yield text
    closed = _TRAILING_COMMA.sub(r"\1", text)
    yield closed
    plain = _WORDS_OF_PYTHON.sub(lambda found: {"True": "true", "False": "false"}.get(found.group(), "null"), closed)
    yield _QUOTED.sub(lambda found: json.dumps(found.group(1)), plain)


def _blocks(text: str) -> Iterator[str]:
    """Every balanced {...} that is in no other; a brace within a string of it is no brace."""
    start, depth, quoted, escaped = 0, 0, False, False
    for index, character in enumerate(text):
        if depth == 0:
            if character == "{":
                start, depth = index, 1
        elif escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                yield text[start : index + 1]


def _from_structure(loose: _Loose, labels: Sequence[str]) -> Answer:
    units: dict[int, tuple[bool, bool]] = {}
    for item in loose.aus[:_MOST_UNITS]:
        try:
            unit = _Unit.model_validate(item if isinstance(item, dict) else {"au": item})
        except ValidationError:
            continue
        number = int(re.sub(r"\D", "", unit.au))
        left, right = _SIDES.get(unit.side.strip()[:1].lower(), (True, True))
        before = units.get(number, (False, False))
        units[number] = (left or before[0], right or before[1])
    if not loose.visible:
        return Answer("unseen")
    scores = _scores(loose.scores, labels)
    ranking = _distinct(_label(str(item), labels) for item in loose.ranking)
    ranking = ranking or sorted((label for label in labels if scores.get(label)), key=lambda label: -scores[label])
    if not ranking:
        return Answer("unclear", units=units)
    return _ranked(ranking, scores, labels, units)


def _from_prose(text: str, labels: Sequence[str]) -> Answer:
    pattern = re.compile("|".join(rf"(?P<{name}>\b(?:{words})\b)" for name, words in _words(labels)), re.IGNORECASE)
    ranking = _distinct(found.lastgroup for found in pattern.finditer(text) if not _negated(text, found.start()))
    units = {int(found.group(1)): (True, True) for found in _UNIT.finditer(text) if not _negated(text, found.start())}
    return _ranked(ranking, {}, labels, units) if ranking else Answer("unclear", units=units)


def _ranked(
    ranking: Sequence[str], scores: Mapping[str, float], labels: Sequence[str], units: Mapping[int, tuple[bool, bool]]
) -> Answer:
    """Scores count where they say the same as the ranking; else a label weighs one over its rank."""
    total = sum(scores.values())
    if total > 0 and scores.get(ranking[0], 0.0) == max(scores.values()):
        weights = {label: scores.get(label, 0.0) / total for label in labels}
    else:
        inverse = {label: 1.0 / rank for rank, label in enumerate(ranking, 1)}
        weights = {label: inverse.get(label, 0.0) / sum(inverse.values()) for label in labels}
    missing = [label for label in labels if label not in ranking]
    return Answer("ranked", (*ranking, *missing), weights, units)


def _scores(given: Mapping[str, Any], labels: Sequence[str]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for name, value in given.items():
        label = _label(name, labels)
        if label is None or not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
            continue
        scores.setdefault(label, float(min(max(value, 0), 1)))
    return scores


def _label(word: str, labels: Sequence[str]) -> str | None:
    """The label that `word` means, if any."""
    word = word.strip().lower()
    if word in labels:
        return word
    return next((name for name, words in _words(labels) if re.fullmatch(words, word)), None)


def _words(labels: Sequence[str]) -> list[tuple[str, str]]:
    return [(label, SYNONYMS.get(label, re.escape(label))) for label in labels]


def _distinct(labels: Iterator[str | None]) -> list[str]:
    return list(dict.fromkeys(label for label in labels if label is not None))


def _negated(text: str, position: int) -> bool:
    """Whether a negation stands a few words before `position`, in the same clause."""
    before = text[max(0, position - 200) : position]
    clause = before[max((end.end() for end in _CLAUSE_END.finditer(before)), default=0) :]
    near = " ".join(clause.split()[-_WORDS_NEGATED:])
    return _NEGATION.search(near) is not None
