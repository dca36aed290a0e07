"""What may cross the pipe between the gateway and a worker."""

import os
import pickle
import threading

import numpy as np
import pytest

from server.errors import FaceLost
from server.pipeline.jobs import Finding
from server.pipeline.worker_pipe import Done, MessagePipe, Refused
from server.types import Evidence, Interval
from tests.shown import PICTURES


class Attack:
    """What a worker that was taken over might answer."""

    def __reduce__(self):
        return os.system, ("true",)


@pytest.fixture
def ends():
    pipes = MessagePipe.pair()
    yield pipes
    for pipe in pipes:
        pipe.close()


def test_findings_come_through_as_they_are(ends):
    """Nested values with arrays are equal on the other side."""
    interval = Interval("micro", 1, 2, 3, 0.1, 0.2, 0.3, 0.04, 0.5, ("chin",))
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = Finding(1, interval, Evidence("fair", ("x",)), False, {"flow": tensor}, {12: (0.1, 0.2)}, None, PICTURES)
    # The whole of it is more than the pipe holds.
    sender = threading.Thread(target=ends[0].send, args=(Done(7, found),))
    sender.start()
    received = ends[1].receive()
    assert received.number == 7
    assert received.result.interval == interval
    assert np.array_equal(received.result.inputs["flow"], tensor)
    assert received.result.pictures == PICTURES
    sender.join()


def test_errors_keep_their_details(ends):
    """An error of the tree arrives as itself, partial report and all."""
    ends[0].send(Refused(1, FaceLost("gone", stage="faces", coverage=0.5)))
    error = ends[1].receive().error
    assert (type(error), str(error), error.details) == (FaceLost, "gone", {"coverage": 0.5})


def test_large_bytes_travel_beside_the_pickle(ends):
    """A clip is not copied into the pickle."""
    blob = bytes(1 << 16)
    ends[0].send(Done(1, blob))
    assert ends[1].receive().result == blob


def test_code_does_not_cross(ends):
    """An answer that names a function outside the pipeline is refused before it runs."""
    ends[0].send(Done(1, Attack()))
    with pytest.raises(pickle.UnpicklingError, match="system"):
        ends[1].receive()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("server.pipeline.worker_pipe", "Connection"),
        ("server.pipeline.worker_pipe", "MessagePipe"),
        ("server.pipeline.worker_pipe", "multiprocessing"),
        ("server.pipeline.worker_pipe", "_Unpickler"),
        ("server.types", "np"),
        ("server.errors", "Any"),
        ("server.pipeline.jobs", "dataclass"),
        ("server.sandbox.layers", "enter"),
        ("builtins", "getattr"),
    ],
)
def test_only_values_cross(module, name, ends):
    """Whatever else the modules of the values hold (libraries, classes that act, their own imports) cannot be named."""
    text = b"\x80\x05c" + module.encode() + b"\n" + name.encode() + b"\n."
    ends[0]._writer.send_bytes(bytes(8) + text)
    with pytest.raises(pickle.UnpicklingError, match="may not cross"):
        ends[1].receive()


def test_a_message_may_not_be_larger_than_is_taken(ends):
    """Whatever a worker announces, nobody makes room for it."""
    ends[0]._writer.send_bytes((1).to_bytes(8) + (1 << 60).to_bytes(8) + b"N.")
    with pytest.raises(pickle.UnpicklingError, match="may not cross"):
        ends[1].receive(1 << 20)
    ends[0].send(bytes(1 << 19))
    assert len(ends[1].receive(1 << 20)) == 1 << 19


def test_every_value_can_be_restored_without_touching_its_class():
    """A pickle that "restores" a class instead of a value must fail: it would change the class for every request."""
    for kind in (Done, Finding, Evidence, FaceLost):
        named = b"\x80\x05c" + kind.__module__.encode() + b"\n" + kind.__name__.encode() + b"\n"
        here, there = MessagePipe.pair()
        here._writer.send_bytes(bytes(8) + named + b"N}\x8c\x06hackedK\x01s\x86b.")
        with pytest.raises((TypeError, AttributeError, pickle.UnpicklingError)):
            there.receive()
        assert not hasattr(kind, "hacked")
        here.close()
        there.close()


def test_two_pictures_of_a_camera_wait_in_the_pipe(ends):
    """What comes next is there before the other end asks for it: sending it keeps nobody waiting."""
    blobs = [bytes(640 * 480), bytes(640 * 480)]
    for number, blob in enumerate(blobs):
        ends[0].send(Done(number, blob))
    assert [ends[1].receive().result for _ in blobs] == blobs


def test_the_end_of_one_side_is_seen_by_the_other(ends):
    """Whoever waits for a message of a process that is gone waits no longer; nor does who has one for it."""
    ends[1].close()
    with pytest.raises(EOFError):
        ends[0].receive()
    with pytest.raises(BrokenPipeError):
        ends[0].send(Done(1, None))
