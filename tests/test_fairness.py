"""Turns and shares of several tenants, without clocks."""

from hypothesis import given
from hypothesis import strategies as st

from server.fairness import FairQueue, may_take


def taken(queue, count):
    """The names of the next ones, each of whose turns ends at once with the cost in its name."""
    order = []
    for _ in range(count):
        item = queue.take()
        if item is None:
            break
        name, cost = item
        queue.end(name, cost)
        order.append(name)
    return order


def test_one_request_does_not_wait_behind_all_of_another_tenant():
    """After a hundred of the flood, the polite one is second."""
    queue = FairQueue()
    for _ in range(100):
        queue.join("flood", ("flood", 1.0))
    queue.take()
    queue.join("polite", ("polite", 1.0))
    assert taken(queue, 3) == ["polite", "flood", "flood"]


def test_turns_are_counted_by_what_they_cost():
    """A tenant whose clips take ten times as long gets a tenth of the turns."""
    queue = FairQueue()
    for _ in range(60):
        queue.join("long", ("long", 10.0))
        queue.join("short", ("short", 1.0))
    order = taken(queue, 55)
    assert 45 <= order.count("short") <= 52


def test_who_was_away_has_saved_up_nothing():
    """A tenant that comes late gets its half from now on, not all of what others had before."""
    queue = FairQueue()
    for _ in range(100):
        queue.join("early", ("early", 1.0))
    assert taken(queue, 50) == ["early"] * 50
    for _ in range(50):
        queue.join("late", ("late", 1.0))
    assert 4 <= taken(queue, 10).count("late") <= 6


def test_turns_that_run_at_once_count_before_they_end():
    """Two free workers go to two tenants, though nobody knows yet what either costs."""
    queue = FairQueue()
    for name in ("flood", "flood", "polite"):
        queue.join(name, name)
    assert [queue.take(), queue.take()] == ["flood", "polite"]
    assert queue.holding("flood") == 1


def test_who_leaves_is_not_called():
    """One that gave up is passed over, and is not found twice."""
    queue = FairQueue()
    queue.join("one", "first")
    queue.join("one", "second")
    assert queue.leave("one", "first")
    assert not queue.leave("one", "first")
    assert queue.take() == "second"
    assert len(queue) == 0


def test_a_turn_that_was_not_used_costs_nothing():
    """Who gave up in the moment of its turn is as far as before."""
    queue = FairQueue()
    for name in ("one", "other", "one"):
        queue.join(name, (name, 1.0))
    queue.take()
    queue.end("one", None)
    assert taken(queue, 2) == ["one", "other"]


def test_the_newest_gives_way():
    """What came first keeps its place."""
    queue = FairQueue()
    queue.join("flood", "first")
    queue.join("flood", "last")
    assert queue.newest("flood") == "last"
    assert queue.items() == ["first"]


def test_nobody_is_remembered_who_is_gone():
    """A million tenants of one request each leave nothing behind."""
    queue = FairQueue()
    for number in range(1000):
        queue.join(str(number), (str(number), 1.0))
        taken(queue, 1)
    assert not queue._tenants


@given(st.lists(st.sampled_from("abcd"), max_size=60), st.integers(1, 8))
def test_every_one_that_waits_is_served_once(names, workers):
    """Nothing is lost and nothing is served twice, in whatever order they come."""
    queue, running, served = FairQueue(), [], []
    for number, name in enumerate(names):
        queue.join(name, (name, number))
    while len(served) < len(names):
        while len(running) < workers and (item := queue.take()) is not None:
            running.append(item)
        name, number = running.pop(0)
        queue.end(name, 1.0 + number % 3)
        served.append(number)
    assert sorted(served) == list(range(len(names)))
    assert queue.take() is None


@given(st.integers(1, 500), st.integers(1, 10))
def test_greedy_tenants_leave_a_place_for_the_next(most, tenants):
    """However many take all they may, none takes all; only of four or fewer one alone gets every place."""
    own = [0] * tenants
    while True:
        greedy = [n for n in range(tenants) if may_take(1, own[n], sum(own), most)]
        if not greedy:
            break
        own[min(greedy, key=own.__getitem__)] += 1
    assert sum(own) <= most
    assert max(own) - min(own) <= 1
    if tenants == 1:
        assert own[0] >= min(most, 0.8 * most)
        assert own[0] < most or most <= 4
