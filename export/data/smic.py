"""Reads SMIC-HS as it is distributed (Li et al., FG 2013): folders of frames by subject and class, without apexes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from export.data.clips import Clip, CodedClip, Labels, Reading, Skipped, clip_key, frames_by_number, locate, unlisted
from export.labels import LABELS
from server.errors import InputError

ROOTS = (Path("SMIC_all_cropped", "HS"), Path("HS"))
LAYOUT = f"an SMIC folder holds {ROOTS[0].as_posix()}/ with s01/micro/negative/s01_ne_01/*.bmp"


def read_smic(folder: Path, *, labels: Labels | None = None) -> Reading:
    """The clips, first frame as onset and middle frame as apex.

    Raises `InputError` naming what is missing and how the folder should look.
    """
    root = next((folder / name for name in ROOTS if (folder / name).is_dir()), None)
    if root is None:
        raise InputError(f"{folder} has no {ROOTS[0].as_posix()}; {LAYOUT}")
    clips: list[Clip] = []
    skipped: list[Skipped] = []
    left_out: Counter[str] = Counter()
    known: list[tuple[str, str]] = []
    for subject in sorted(path for path in root.iterdir() if path.is_dir()):
        micro = subject / "micro"
        folders = [path for name in LABELS for path in sorted((micro / name).glob("*")) if path.is_dir()]
        if not folders:
            skipped.append(Skipped("smic", subject.name, "", f"{micro} holds no clips below {', '.join(LABELS)}"))
        for place in folders:
            known.append((subject.name, place.name))
            label = labels.get(clip_key(subject.name, place.name)) if labels is not None else place.parent.name
            if label is None:
                left_out["not in the label list"] += 1
                continue
            found = _clip(subject.name, place, label)
            if isinstance(found, Clip):
                clips.append(found)
            else:
                skipped.append(found)
    if not known:
        raise InputError(f"{root} holds no clips; {LAYOUT}")
    skipped += unlisted("smic", labels, known, str(root))
    return Reading("smic", tuple(clips), tuple(skipped), left_out)


def _clip(subject: str, folder: Path, label: str) -> Clip | Skipped:
    frames = frames_by_number(folder)
    # File numbers continue those of the recording, and a few are left out.
    inside = dict(enumerate(frames.values()))
    coded = CodedClip(subject, folder.name, onset=0, apex=None, offset=len(inside) - 1, emotion=label)
    return locate("smic", coded, label, inside, "middle")
