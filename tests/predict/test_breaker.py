"""The circuit breaker, on a clock that the test moves."""

import pytest

from server.errors import BackendUnavailable
from server.predict.breaker import CircuitBreaker, Circuits


class Clock:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self):
        """Seconds."""
        return self.now


@pytest.fixture
def clock():
    """At 0 s."""
    return Clock()


@pytest.fixture
def breaker(clock):
    """Opens after 3 failures, for 5 s."""
    return CircuitBreaker(failures=3, cool_off_s=5.0, clock=clock)


def fail(breaker, times=1):
    """Calls that are admitted and fail."""
    for _ in range(times):
        breaker.admit()
        breaker.failed()


def test_opens_after_failures_in_a_row(breaker):
    """The third failure in a row opens it, and calls are told when to come back."""
    fail(breaker, 2)
    breaker.admit()
    breaker.failed()
    with pytest.raises(BackendUnavailable) as caught:
        breaker.admit()
    assert caught.value.details["retry_after_s"] == 5.0


def test_an_answer_in_between_starts_the_count_anew(breaker):
    """Failures that are not in a row do not open it."""
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open


def test_one_call_may_try_after_the_pause(breaker, clock):
    """After the pause one call is let through, a second waits for its outcome, and success closes the breaker."""
    fail(breaker, 3)
    clock.now = 5.0
    breaker.admit()
    with pytest.raises(BackendUnavailable):
        breaker.admit()
    breaker.succeeded()
    breaker.admit()
    assert not breaker.is_open


def test_a_failed_try_opens_it_for_another_pause(breaker, clock):
    """The pause starts again when the try fails."""
    fail(breaker, 3)
    clock.now = 5.0
    fail(breaker)
    clock.now = 9.9
    with pytest.raises(BackendUnavailable):
        breaker.admit()
    clock.now = 10.0
    breaker.admit()


def test_a_try_that_is_given_up_leaves_the_place_free(breaker, clock):
    """A caller that leaves during the try does not keep the breaker open for ever."""
    fail(breaker, 3)
    clock.now = 5.0
    breaker.admit()
    breaker.abandoned()
    breaker.admit()


def test_late_failures_do_not_prolong_the_pause(breaker, clock):
    """Calls that were under way when it opened and fail later do not postpone the try."""
    fail(breaker, 3)
    clock.now = 4.0
    breaker.failed()
    clock.now = 5.0
    breaker.admit()


@pytest.fixture
def told():
    """What circuits told."""
    return []


@pytest.fixture
def circuits(clock, told):
    """Each opens after 2 failures, for 5 s."""
    return Circuits(failures=2, cool_off_s=5.0, clock=clock, told=lambda *change: told.append(change))


def test_a_model_that_hangs_does_not_stop_the_others(circuits, told):
    """Its own circuit opens; the way to the server and other models stay open for calls."""
    for _ in range(2):
        circuits.admit("a")
        circuits.silent("a")
    with pytest.raises(BackendUnavailable, match="model 'a' did not answer lately"):
        circuits.admit("a")
    circuits.admit("b")
    circuits.admit("")
    assert told == [("a", "open")]
    assert not circuits.closed("a")
    assert circuits.closed("b")


def test_a_server_that_is_gone_concerns_every_model(circuits, told):
    """Failures to reach it add up over all models, and none is asked any more."""
    for model in ("a", "b"):
        circuits.admit(model)
        circuits.unreachable(model)
    for model in ("a", "b", "c", ""):
        with pytest.raises(BackendUnavailable, match="the inference server did not answer lately"):
            circuits.admit(model)
    assert told == [("connection", "open")]


def test_one_answer_closes_the_way_to_the_server(circuits, clock, told):
    """Whichever model gave it."""
    for _ in range(2):
        circuits.unreachable("a")
    clock.now = 5.0
    circuits.admit("b")
    assert told[-1] == ("connection", "trying")
    circuits.answered("b")
    assert told[-1] == ("connection", "closed")
    circuits.admit("a")


def test_a_server_that_stays_silent_while_it_is_tried_is_left_alone_again(circuits, clock):
    """A try that runs into its deadline decides as one that finds nobody."""
    for _ in range(2):
        circuits.unreachable("a")
    clock.now = 5.0
    circuits.admit("a")
    circuits.silent("a")
    with pytest.raises(BackendUnavailable):
        circuits.admit("b")


def test_a_call_that_its_model_turns_away_is_no_try_of_the_server(circuits, clock):
    """The place of the one that may try stays free for another model."""
    for _ in range(2):
        circuits.silent("a")
    for _ in range(2):
        circuits.unreachable("b")
    clock.now = 4.0
    circuits.of("a").failed()
    circuits.of("a").failed()
    clock.now = 5.0
    circuits.of("a").admit()
    with pytest.raises(BackendUnavailable, match="model 'a'"):
        circuits.admit("a")
    circuits.admit("b")


def test_silence_to_a_question_about_no_model_concerns_the_server(circuits):
    """A server that does not say what it has is as good as gone."""
    for _ in range(2):
        circuits.silent("")
    with pytest.raises(BackendUnavailable):
        circuits.admit("a")


def test_calls_that_tell_nothing_change_nothing(circuits, told):
    """Given up, with or without a model."""
    circuits.abandoned("a")
    circuits.abandoned("")
    assert told == []
