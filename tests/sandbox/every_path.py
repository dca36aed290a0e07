"""Runs what workers do, under a filter that ends the process at the first call that is not on the list.

Only calls that libraries are known to try and to do without are refused as usual: `openat` (converters of the C library
for the names in a transport stream), `mbind` (an allocator) and what a failing `openat` is followed by.
"""

from __future__ import annotations

import sys

import cv2

from server.errors import GlimpseError
from server.media.limits import MediaLimits
from server.pipeline.jobs import ClipJob, PairJob
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush, LiveRehearse
from server.pipeline.live_worker import LiveStages
from server.pipeline.stages import Stages
from server.pipeline.worker_main import load_late
from server.sandbox import seccomp
from server.sandbox.bpf import Answer, Rule, program
from server.sandbox.kernel import forbid_privileges
from server.sandbox.limits import limit_files, limit_processor_time
from server.sandbox.syscalls import LAST_KNOWN, machine
from server.streams import LiveFrame, StreamOptions
from tests.end_to_end.conftest import SAMPLES, decode
from tests.media.conftest import encode_clip
from tests.media.hostile import IGNORED
from tests.media.test_decode import CODECS

LIMITS = MediaLimits(60, 10_000, 4096 * 2304)
REFUSED = {"x86_64": {"openat": 257, "newfstatat": 262, "mbind": 237}, "aarch64": {"openat": 56, "mbind": 235}}


def clip(data, **changes):
    """A job as an upload with default options becomes one."""
    kinds = frozenset({"micro", "macro"})
    values = {
        "recipe": "flow_uvs_28",
        "flow": "accurate",
        "faces": "largest",
        "onset_s": None,
        "apex_s": None,
        **changes,
    }
    return ClipJob(data=data, limits=LIMITS, max_faces=4, kinds=kinds, **values)


def confine():
    """Put the filter on."""
    found = machine()
    assert found is not None
    numbers = REFUSED["x86_64" if found.seccomp == 317 else "aarch64"].values()
    rules = [*seccomp._rules(found), *(Rule(number, Answer.NOT_PERMITTED) for number in numbers)]
    forbid_privileges()
    limit_files()
    seccomp.put_on(found, program(found.audit, rules, Answer.KILL, last_known=LAST_KNOWN))


def main():
    """Print how many jobs were done."""
    # Everything is encoded and loaded before: what encodes may call what it likes.
    pictures = decode(SAMPLES / "positive.mp4")
    forms = {
        form: [cv2.imencode(form, pictures[index][..., ::-1])[1].tobytes() for index in (30, 39)]
        for form in (".jpg", ".png", ".bmp", ".webp")
    }
    jpegs = [cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes() for picture in pictures]
    tiny = [encode_clip(codec, container, **how) for codec, container, how, _ in CODECS.values()]
    sample = (SAMPLES / "positive.mp4").read_bytes()
    jobs = [
        *map(clip, tiny),
        *map(clip, (b"", b"#EXTM3U", b"junk", sample[:50_000])),
        *(clip(upload("/canary", "http://canary")) for upload in IGNORED.values()),
        clip(sample),
        *(PairJob(onset, apex, LIMITS, "flow_uvs_28", "accurate") for onset, apex in forms.values()),
    ]
    stages, live = Stages(), LiveStages()
    load_late()
    cv2.setNumThreads(1)
    confine()
    done = errors = 0
    for job in jobs:
        limit_processor_time(60)
        try:
            stages(job, lambda _: None)
            done += 1
        except GlimpseError:
            errors += 1
    live(LiveRehearse(), lambda _: None)
    live(LiveOpen(StreamOptions(), LIMITS, "flow_uvs_28", "accurate", 2, 1 << 26), lambda _: None)
    told = []
    for index, jpeg in enumerate(jpegs):
        told += live(LivePush((LiveFrame(index, 33_333 * index, "jpeg", jpeg),)), lambda _: None)
    live(LiveClose(), lambda _: None)
    events = sum(each.step == "event" for look in told for each in look.told)
    sys.stdout.write(f"{done} {errors} {len(told)} {events}\n")


if __name__ == "__main__":
    sys.exit(main())
