"""What a load needs, reckoned from costs."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from export.capacity import _LEAST_PLACES, MOST_STREAMS, STREAMS_SHARE, as_yaml, mean_wait_s, planned, values
from export.capacity_costs import Costs, read_costs
from export.capacity_load import Load, Terms
from export.cli import main
from server.errors import OptionError
from server.pipeline.live import SERVED_SHARE
from server.settings import load
from server.settings.workers import available_cpus

ROOT = Path(__file__).parents[2]
COSTS = Costs.model_validate(
    {
        "made": {
            "command": "none", "version": "0", "processors": 2, "runs": 1, "load_before": 0.0, "load_after": 0.0,
        },
        "clip_pictures": [
            {"fps": 30, "pixels": 307200, "worker_s": 0.004}, {"fps": 30, "pixels": 1228800, "worker_s": 0.006},
            {"fps": 200, "pixels": 307200, "worker_s": 0.002},
        ],
        "movements": [{"fps": 30, "worker_s": 0.2}, {"fps": 200, "worker_s": 0.1}],
        "request_gateway_s": 0.02,
        "stream_pictures": [{"fps": 30, "pixels": 307200, "processor_s": 0.006}],
        "inferences": [
            {"model": "glimpse_flow", "backend": "local", "processor_s": 0.001},
            {"model": "glimpse_flow", "backend": "triton", "processor_s": 0.002},
        ],
        "memory": {"gateway_bytes": 400 << 20, "worker_bytes": 150 << 20, "stream_bytes": 80 << 20},
    }
)  # fmt: skip
SERVABLE = st.builds(
    Load,
    clips_per_s=st.floats(0.01, 20),
    clip_seconds=st.floats(0.5, 60),
    clip_fps=st.floats(10, 200),
    clip_size=st.sampled_from([(320, 240), (640, 480), (1280, 720)]),
    clip_events=st.floats(0, 10),
    streams=st.integers(0, 40),
    stream_fps=st.floats(10, 60),
    stream_events_per_minute=st.floats(0, 60),
)
TERMS = st.builds(
    Terms,
    processors=st.integers(1, 16),
    utilisation=st.floats(0.3, 0.9),
    wait_s=st.floats(0.5, 20),
    variation=st.floats(0, 3),
    spare=st.integers(0, 2),
    backend=st.sampled_from(["local", "triton"]),
)
MORE = {
    "clips_per_s": lambda load, factor: load.clips_per_s * factor,
    "clip_seconds": lambda load, factor: min(60.0, load.clip_seconds * factor),
    "clip_fps": lambda load, factor: min(200.0, load.clip_fps * factor),
    "clip_events": lambda load, factor: load.clip_events * factor,
    "streams": lambda load, factor: math.ceil(load.streams * factor),
    "stream_fps": lambda load, factor: min(60.0, load.stream_fps * factor),
    "stream_events_per_minute": lambda load, factor: load.stream_events_per_minute * factor,
}


@settings(max_examples=40, deadline=None)
@given(SERVABLE, TERMS, st.sampled_from(sorted(MORE)), st.floats(1, 3))
def test_more_load_never_needs_less(load, terms, what, factor):
    """Of gateways, processors and Tritons, whichever part of the load grows."""
    more = planned(replace(load, **{what: MORE[what](load, factor)}), COSTS, terms)
    less = planned(load, COSTS, terms)
    assert (more.replicas >= less.replicas, more.tritons >= less.tritons) == (True, True)
    assert more.processors >= less.processors


@settings(max_examples=40, deadline=None)
@given(SERVABLE, TERMS)
def test_a_plan_serves_its_load_and_no_smaller_one_would(load, terms):
    """No bound is passed with the spare ones away, the nearest comes first, and beyond its growth it is passed."""
    plan = planned(load, COSTS, terms)
    assert all(bound.taken <= bound.planned * bound.there for bound in plan.bounds)
    growths = [bound.growth for bound in plan.bounds]
    assert growths == sorted(growths)
    assert growths[0] >= 1.0
    assume(growths[0] < 1000)
    beyond = planned(load.times(growths[0] * 1.01), COSTS, terms)
    assert (beyond.replicas, beyond.tritons) > (plan.replicas, plan.tritons) or beyond.replicas > plan.replicas


@given(st.floats(0.01, 0.99), st.floats(0.01, 100))
def test_the_wait_for_one_server_is_that_of_pollaczek_and_khinchine(busy, service_s):
    """Where times are all alike it is half of that where they are exponential, busy / (1 - busy) service times."""
    exponential = mean_wait_s(1, busy / service_s, service_s, 1.0)
    assert exponential == pytest.approx(service_s * busy / (1 - busy))
    assert mean_wait_s(1, busy / service_s, service_s, 0.0) == pytest.approx(exponential / 2)


@pytest.mark.parametrize(("servers", "offered", "delayed"), [(2, 1.0, 1 / 3), (3, 2.0, 4 / 9), (10, 5.0, 0.036)])
def test_several_servers_are_those_of_erlang(servers, offered, delayed):
    """The share of customers that wait is as in the tables of Erlang C."""
    assert mean_wait_s(servers, offered, 1.0, 1.0) == pytest.approx(delayed / (servers - offered), rel=0.01)
    assert mean_wait_s(servers, servers, 1.0, 1.0) == math.inf


def test_costs_lie_between_what_was_measured():
    """At measured rates they are the measured ones; a higher rate and a larger picture never count as cheaper."""
    assert COSTS.clip_second_s(30, 640 * 480) == pytest.approx(0.12)
    assert COSTS.clip_second_s(30, 1280 * 960) == pytest.approx(0.18)
    assert COSTS.clip_second_s(200, 100) == pytest.approx(0.4)
    assert COSTS.clip_second_s(400, 640 * 480) == pytest.approx(0.8)
    assert COSTS.movement_s(200) == COSTS.movement_s(30) == 0.2
    assert COSTS.stream_second_s(15, 640 * 480) == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("load", "terms", "says"),
    [
        (Load(), Terms(), "clips or streams"),
        (Load(clips_per_s=-1.0), Terms(), "not negative"),
        (Load(clips_per_s=math.nan), Terms(), "not negative"),
        (Load(clips_per_s=1.0, clip_seconds=1e4), Terms(), "at most 300 s"),
        (Load(clips_per_s=1.0, clip_size=(9000, 9000)), Terms(), "pixels"),
        (Load(clips_per_s=1.0, clip_seconds=300, clip_fps=900), Terms(), "pictures"),
        (Load(clips_per_s=1.0, clip_seconds=280, clip_fps=200, clip_size=(1280, 720)), Terms(), "at most 20"),
        (Load(clips_per_s=1.0, clip_seconds=200, clip_events=1000), Terms(), "a clip takes a worker"),
        (Load(streams=1, stream_fps=200), Terms(), "its worker has one"),
        (Load(streams=1), Terms(utilisation=1.0), "share above 0 and below 1"),
        (Load(streams=1), Terms(processors=0), "1 to 256 processors"),
        (Load(streams=1), Terms(model="unknown"), "no inference of unknown"),
        (Load(streams=1), Terms(inference_s=0.001), "for a Triton alone"),
        (Load(clips_per_s=1e9), Terms(), "would not do"),
    ],
)
def test_what_cannot_be_served_is_told(load, terms, says):
    """Before anything is reckoned, and in words that name it."""
    with pytest.raises(OptionError, match=says):
        planned(load, COSTS, terms)


def test_what_is_reckoned_with_is_what_the_service_has():
    """The share of streams, the most of them, and the places of clips are the service's own."""
    assert load({}).limits.inflight == max(_LEAST_PLACES, 2 * available_cpus())
    assert SERVED_SHARE == STREAMS_SHARE
    assert load({}, live={"max_streams": MOST_STREAMS}).live.max_streams == MOST_STREAMS
    with pytest.raises(Exception, match="MAX_STREAMS"):
        load({}, live={"max_streams": MOST_STREAMS + 1})


def test_values_are_those_of_the_plan():
    """As YAML, with names of the chart; settings among them exist."""
    terms = Terms(processors=4, backend="triton")
    plan = planned(Load(clips_per_s=3.0, streams=20), COSTS, terms)
    found = values(plan, COSTS, terms)
    assert found["gateway"]["replicas"] == plan.replicas
    assert found["triton"] == {"mode": "deployment", "replicas": plan.tritons}
    tree = load({}, **found["gateway"]["settings"])
    assert (tree.workers.count, tree.live.max_streams) == (4, plan.streams_each)
    text = as_yaml(found)
    assert f"gateway:\n  replicas: {plan.replicas}\n  settings:\n    workers:\n      count: 4\n" in text


def test_the_command_prints_table_and_values(tmp_path, capsys):
    """From a file of costs; a file that is none is named, with what is wrong in it."""
    file = tmp_path / "costs.json"
    file.write_text(COSTS.model_dump_json(), encoding="utf-8")
    with pytest.raises(SystemExit, match="0"):
        main(["capacity", "--costs", str(file), "--clips", "2", "--streams", "3"])
    assert "| processors |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["capacity", "--costs", str(file), "--clips", "2", "--values"])
    assert capsys.readouterr().out.startswith("gateway:\n  replicas: ")
    file.write_text(json.dumps({"made": 1}), encoding="utf-8")
    with pytest.raises(SystemExit, match="1"):
        main(["capacity", "--costs", str(file), "--clips", "2"])
    assert "no file of `python -m bench.costs --json`" in capsys.readouterr().err
    with pytest.raises(OptionError, match="cannot be read"):
        read_costs(tmp_path / "absent.json")


def test_the_kept_costs_are_of_the_present_form():
    """docs/costs.json can be reckoned with, and names the command that made it."""
    kept = read_costs(ROOT / "docs" / "costs.json")
    assert kept.made.command.startswith("python -m bench.costs")
    assert planned(Load(clips_per_s=1.0, streams=4), kept, Terms()).replicas >= 2
