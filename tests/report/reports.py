"""Reports with events of any kind, for tests of their forms."""

from hypothesis import strategies as st

from server.types import ActionUnit, ClipInfo, Event, Evidence, FaceSummary, ModelRef, Report

FPS = 50.0


def event(**changes):
    """A micro-expression of frames 50 to 70, apex 60, at 50 frames per second."""
    values = {
        "track_id": 1,
        "kind": "micro",
        "onset_s": 1.0,
        "apex_s": 1.2,
        "offset_s": 1.4,
        "onset_frame": 50,
        "apex_frame": 60,
        "offset_frame": 70,
        "label": "positive",
        "probabilities": {"negative": 0.1, "positive": 0.9},
        "confidence": 0.9,
        "abstained": False,
        "regions": (),
        "action_units": (ActionUnit(12, 0.4, "left", 0.9), ActionUnit(4, 0.5, "right", 0.8)),
        "evidence": Evidence("good"),
    }
    return Event(**(values | changes))


def report(*events, tracks=(1,)):
    """Of a clip of 10 seconds, answered by a model `net`."""
    return Report(
        id="r1",
        clip=ClipInfo(10.0, 500, FPS, 640, 480, "h264"),
        faces=[FaceSummary(track, 0.0, 10.0, None, Evidence("good")) for track in tracks],
        events=events,
        model=ModelRef("net", "1", "flow_uvs_28", "local"),
        timings_ms={},
    )


@st.composite
def events(draw):
    """Events whose times are those of their frames."""
    made = []
    for _ in range(draw(st.integers(0, 6))):
        onset = draw(st.integers(0, 400))
        apex = onset + draw(st.integers(1, 20))
        offset = apex + draw(st.integers(1, 20))
        units = draw(st.lists(st.integers(1, 99), unique=True, max_size=3))
        sides = st.sampled_from(["left", "right", "both"])
        made.append(
            event(
                track_id=draw(st.integers(0, 2)),
                kind=draw(st.sampled_from(["micro", "macro"])),
                **{f"{name}_frame": frame for name, frame in (("onset", onset), ("apex", apex), ("offset", offset))},
                **{f"{name}_s": frame / FPS for name, frame in (("onset", onset), ("apex", apex), ("offset", offset))},
                label=draw(st.sampled_from(["positive", "negative", "surprise", "=other", "<a&b>"])),
                abstained=draw(st.booleans()),
                action_units=tuple(ActionUnit(au, 0.5, draw(sides), 0.9) for au in sorted(units)),
            )
        )
    return sorted(made, key=lambda e: (e.onset_s, e.offset_s))
