"""What a worker process is started with, and what is heard of its end."""

from __future__ import annotations

import os

from server.pipeline.worker_spawn import LastWords, environment


def test_only_what_python_needs_is_inherited():
    """Of the variables a few pass, and none of those by which others could be led into the worker."""
    given = {"PATH": "/bin", "LANG": "C.UTF-8", "LD_PRELOAD": "x.so", "AWS_SESSION_TOKEN": "x", "GLIMPSE_X": "x"}
    known = environment(given)
    assert (known["PATH"], known["LANG"], known["OMP_NUM_THREADS"]) == ("/bin", "C.UTF-8", "1")
    assert not {"LD_PRELOAD", "AWS_SESSION_TOKEN", "GLIMPSE_X", "LD_LIBRARY_PATH"} & set(known)


def test_libraries_are_not_looked_for_where_the_gateway_was_started():
    """An empty entry of the path of libraries stands for the working folder, and is left out."""
    assert environment({"LD_LIBRARY_PATH": ":/opt/lib::/usr/lib:"})["LD_LIBRARY_PATH"] == "/opt/lib:/usr/lib"


def heard(said, *, everything):
    """What is kept of that text."""
    reader, writer = os.pipe()
    words = LastWords(reader)
    with os.fdopen(writer, "wb") as stream:
        stream.write(said)
    return words.heard(everything=everything)


CRASH = b"""Fatal Python error: Segmentation fault

Current thread 0x1 (most recent call first):
  File "a.py", line 3 in b
"""


def test_of_a_crash_its_trace_is_heard():
    """Once strangers' bytes were in the process, only lines of a trace pass, and control characters never."""
    told = heard(CRASH + b"Corrupt JPEG data: secret\n\x1b[31mred\n", everything=False)
    assert told.startswith("Fatal Python error: Segmentation fault; Current thread")
    assert told.endswith('File "a.py", line 3 in b')


def test_before_it_was_ready_everything_is_heard():
    """A library that is missing is named; what would write over an operator's terminal is not passed on."""
    assert heard(b"ImportError: libGL.so.1\x1b[2J\n", everything=True) == "ImportError: libGL.so.1?[2J"


def test_the_last_words_are_kept():
    """Of a worker that said much, the end is heard, and memory stays bounded."""
    told = heard(b"warning\n" * 100_000 + CRASH, everything=False)
    assert told.endswith('File "a.py", line 3 in b')
    assert len(heard(b"x" * 10**6, everything=True)) <= 4096
