"""What answers the jobs of live streams inside a worker."""

import pytest

from server.errors import WorkerCrashed
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush
from server.pipeline.live_worker import LiveStages
from server.streams import FrameResult, LiveFrame, StreamOptions
from tests.pipeline.conftest import LIMITS


def test_one_stream_from_open_to_close():
    """Pictures are answered one by one while a stream is open, and by an error where none is."""
    stages = LiveStages()
    opened = LiveOpen(StreamOptions(), LIMITS, "flow_uvs_28", "accurate", 4, 1 << 20)
    pictures = tuple(LiveFrame(index, 1000 * index, "gray8", bytes(40 * 30), 40, 30) for index in range(3))
    for job in (LivePush(pictures), LiveClose()):
        with pytest.raises(WorkerCrashed):
            stages(job, lambda _: None)
    assert stages(opened, lambda _: None) == ()
    looked = stages(LivePush(pictures), lambda _: None)
    assert [(type(each.answer), each.answer.index) for each in looked] == [(FrameResult, index) for index in range(3)]
    assert stages(LiveClose(), lambda _: None) == ()
    with pytest.raises(WorkerCrashed):
        stages(LivePush(pictures), lambda _: None)
