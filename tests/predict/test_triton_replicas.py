"""Several Tritons behind one address: who is asked, and what happens when one of them fails."""

import asyncio
import time
from collections import Counter

import grpc
import numpy as np
import pytest

from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, UnknownModel
from server.predict.breaker import Circuits
from server.predict.retry import Retry, RetryBudget
from server.predict.triton import TritonPredictor
from server.predict.triton_addresses import Addresses, Endpoint, looked_up

NO_RETRIES = {"retry": Retry(attempts=1), "budget": RetryBudget(share=0.0, per_second=0.0, burst=0.0)}


def soon(seconds=60.0):
    """A deadline."""
    return time.monotonic() + seconds


class Watch:
    """Keeps what it is told."""

    def __init__(self):
        self.circuits, self.replicas = [], []

    def count_retry(self, *, sent):
        pass

    def set_circuit(self, target, state):
        self.circuits.append((target, state))

    def set_replicas(self, *, answering, known):
        self.replicas.append((answering, known))


@pytest.fixture
async def connect(tiny, replicas):
    """Makes predictors of both servers, that try nothing again, and closes them."""
    made = []

    def make(**options):
        address = ",".join(replica.address for replica in replicas)
        made.append(TritonPredictor(address, recipes=[tiny.recipe], **{**NO_RETRIES, **options}))
        return made[-1]

    yield make
    for predictor in made:
        await predictor.close()


async def until(met):
    """Let others work until it is so; the time limit of the test bounds it."""
    while not met():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0)


async def asked(predictor, tiny, times, **options):
    """So many calls, one after the other."""
    for _ in range(times):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon(), **options)


async def test_both_get_the_same_number_of_calls(replicas, connect, tiny):
    """One after the other they take turns; at once, each new call goes where fewer are under way."""
    predictor = connect()
    await asked(predictor, tiny, 10)
    assert [len(replica.inferences) for replica in replicas] == [5, 5]
    for replica in replicas:
        replica.hang = True
    calls = [asyncio.create_task(asked(predictor, tiny, 1)) for _ in range(8)]
    await until(lambda: sum(len(replica.inferences) for replica in replicas) == 18)
    for call in calls:
        call.cancel()
    assert [len(replica.inferences) for replica in replicas] == [9, 9]


async def test_one_dies_under_twenty_calls_and_none_is_lost(replicas, connect, tiny):
    """What it worked on goes to the other at once, without retries to pay with; no circuit keeps calls away, and the
    watch hears that one of two is left.
    """
    watch = Watch()
    predictor = connect(watch=watch)
    await predictor.models()
    replicas[0].hang = True
    calls = [asyncio.create_task(asked(predictor, tiny, 1)) for _ in range(40)]
    await until(lambda: len(replicas[0].inferences) == 20)
    await replicas[0].server.stop(grace=None)
    await asyncio.gather(*calls)
    assert len(replicas[1].inferences) == 40
    await asked(predictor, tiny, 3)
    assert watch.circuits == []
    assert watch.replicas[-1] == (1, 2)
    assert await predictor.probe("tiny") == ""


async def test_who_comes_back_takes_calls_again(replicas, connect, tiny):
    """After the first probe that reaches it, with what it has then."""
    predictor = connect()
    await asked(predictor, tiny, 2)
    await replicas[0].server.stop(grace=None)
    await asked(predictor, tiny, 4)
    await predictor.probe("tiny")
    served = len(replicas[0].inferences)
    replicas[0].versions = ["1", "2"]
    await replicas[0].listen(replicas[0].address)
    async with asyncio.timeout(60):
        while len(replicas[0].inferences) == served:
            await predictor.probe("tiny")
    assert (await predictor.model("tiny")).versions == ("1", "2")
    replicas[0].inferences.clear()
    await asked(predictor, tiny, 6, version="1")
    assert len(replicas[0].inferences) == 3


async def test_one_that_hangs_is_passed_over(replicas, connect, tiny):
    """It costs the call that waits for it, and later ones go to the other; the service stays ready, and asking what
    there is waits for nobody.
    """
    predictor = connect(control_timeout_s=3.3)
    await predictor.models()
    replicas[0].hang = replicas[0].mute = True
    with pytest.raises(DeadlineExceeded):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon(1.2))
    await asked(predictor, tiny, 5)
    assert await predictor.probe("tiny") == ""
    assert [info.name for info in await predictor.models()] == ["tiny"]
    replicas[1].hang = True
    with pytest.raises(DeadlineExceeded):
        await predictor.probe("tiny")


async def test_calls_leave_a_server_that_hangs(replicas, connect, tiny):
    """What it works on is asked of the other as soon as a probe was not answered, long before a deadline of a day; who
    cancels its own call is told as such.
    """
    predictor = connect(control_timeout_s=3.0)
    await predictor.models()
    replicas[0].hang = True
    waiting = [asyncio.create_task(predictor.predict("tiny", tiny.batch(1), deadline=soon(86_400))) for _ in range(4)]
    await until(lambda: len(replicas[0].inferences) == 2)
    left = next(call for call in waiting if not call.done())
    left.cancel()
    assert await predictor.probe("tiny") == ""
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers if isinstance(answer, BaseException)] == [asyncio.CancelledError]
    assert len(replicas[1].inferences) == 4


async def test_a_model_that_fails_on_one_is_asked_of_the_other(replicas, connect, tiny):
    """The process of a model may be dead on one server alone: one caller is told, later ones are answered."""
    predictor = connect()
    await predictor.models()
    for replica in replicas:
        replica.script = [grpc.StatusCode.INTERNAL]
    replicas[1].script = []
    with pytest.raises(BackendFailed):
        await asked(predictor, tiny, 1)
    replicas[0].script = [grpc.StatusCode.INTERNAL] * 9
    await asked(predictor, tiny, 5)


async def test_circuits_are_told_of_the_best(replicas, connect, tiny):
    """While one server takes calls none is turned away; when no server is left, the circuit is told to be open."""
    watch = Watch()
    predictor = connect(watch=watch)
    await predictor.models()
    for replica in replicas:
        await replica.server.stop(grace=None)
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            await asked(predictor, tiny, 1)
    assert watch.circuits == [("connection", "open")]
    with pytest.raises(BackendUnavailable, match="given time to recover"):
        await predictor.model("tiny")


async def test_versions_are_asked_of_who_has_them(replicas, connect, tiny):
    """While one server has a newer version already, that one answers for it; the old one is answered by both."""
    replicas[1].versions = ["1", "2"]
    predictor = connect()
    assert (await predictor.model("tiny")).versions == ("1", "2")
    await asked(predictor, tiny, 4)
    await asked(predictor, tiny, 4, version="1")
    told = [Counter(version for version, _ in replica.inferences) for replica in replicas]
    assert told[0] == {"1": told[0]["1"]}
    assert told[1]["2"] == 4
    assert told[0]["1"] + told[1]["1"] == 4
    assert told[0]["1"] >= 2


async def test_another_contract_is_not_asked(replicas, connect, tiny):
    """Where two servers differ in the contract of a model, the one with the newest version is told and asked."""
    changed = tiny.contract("tiny", provenance={**tiny.contract("tiny")["provenance"], "training_data": "another"})
    replicas[1].contract, replicas[1].versions = changed, ["2"]
    predictor = connect()
    info = await predictor.model("tiny")
    assert (info.versions, info.contract["provenance"]["training_data"]) == (("2",), "another")
    await asked(predictor, tiny, 4)
    assert (len(replicas[0].inferences), len(replicas[1].inferences)) == (0, 4)
    with pytest.raises(UnknownModel):
        await asked(predictor, tiny, 1, version="1")


async def test_servers_come_and_go_with_a_name(replicas, tiny, monkeypatch):
    """A name is looked up again: who is new takes calls, who is gone gets no more; and one that is not found at all,
    or not found any more, is told as such or stays what it was.
    """
    stands_for = []

    async def lookup(_host, _port):
        if not stands_for:
            raise OSError("no such name")
        return stands_for

    clock = [0.0]
    predictor = TritonPredictor("triton:1", recipes=[tiny.recipe], **NO_RETRIES)
    monkeypatch.setattr(predictor._replicas, "_clock", lambda: clock[0])
    monkeypatch.setattr(predictor._replicas._addresses, "_lookup", lookup)
    with pytest.raises(BackendUnavailable, match="name of the inference server is not found"):
        await predictor.models()
    monkeypatch.setattr("server.predict.triton_addresses._target_of", lambda place, _port: f"ipv4:{place}")

    async def later():
        clock[0] += 60.0
        await predictor._replicas.find()
        await until(lambda: predictor._replicas._looking is None)

    for now, expected in (([0], [4, 0]), ([0, 1], [2, 2]), ([1], [0, 4]), ([], [0, 4])):
        stands_for[:] = [replicas[number].address for number in now]
        await later()
        for replica in replicas:
            replica.inferences.clear()
        await asked(predictor, tiny, 4)
        assert [len(replica.inferences) for replica in replicas] == expected
    await predictor.close()


@pytest.mark.parametrize(
    ("address", "endpoints"),
    [
        ("10.0.0.1:8001", [Endpoint("ipv4:10.0.0.1:8001")]),
        ("10.0.0.1:8001, [fd00::2]:8001", [Endpoint("ipv4:10.0.0.1:8001"), Endpoint("ipv6:[fd00::2]:8001")]),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", [Endpoint("ipv4:10.0.0.1:1"), Endpoint("ipv4:10.0.0.2:2")]),
        ("unix:///run/triton.sock", [Endpoint("unix:///run/triton.sock")]),
        ("10.0.0.1:8001,10.0.0.1:8001", [Endpoint("ipv4:10.0.0.1:8001")]),
    ],
)
def test_numbers_need_no_name_server(address, endpoints):
    """Each server once, in the order of the address."""
    addresses = Addresses(address)
    assert addresses.fixed
    assert addresses.known() == endpoints


async def test_names_keep_what_a_certificate_is_checked_against():
    """A server that was found by its name shows a certificate for that name."""
    addresses = Addresses("localhost:8001")
    assert (addresses.fixed, addresses.known()) == (False, [])
    await addresses.look_up()
    assert addresses.known() == [Endpoint("ipv4:127.0.0.1:8001", "localhost:8001")]
    assert ("grpc.default_authority", "localhost:8001") in addresses.known()[0].channel_options()


async def test_a_server_with_two_families_counts_once(monkeypatch):
    """IPv4 where a name has any, else IPv6; several addresses of one family are several servers."""
    found = {"both": ["::1", "127.0.0.2", "127.0.0.1"], "six": ["::2", "::1"]}

    async def getaddrinfo(host, port, **_):
        return [(10 if ":" in place else 2, 1, 6, "", (place, port)) for place in found[host]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert await looked_up("both", 1) == ["127.0.0.1", "127.0.0.2"]
    assert await looked_up("six", 1) == ["::1", "::2"]


async def test_the_same_answer_wherever_it_is_computed(replicas, connect, tiny):
    """Batches that are split go to both, and are put together in their order."""
    rows = tiny.batch(20)
    outputs = await connect().predict("tiny", rows, deadline=soon())
    np.testing.assert_allclose(outputs["probabilities"], np.full((20, 3), 1 / 3), atol=1e-6)
    assert min(len(replica.inferences) for replica in replicas) >= 1


def test_the_circuits_of_servers_are_alike():
    """Another server's open after as many failures, and for themselves."""
    first = Circuits(failures=2)
    second = first.another()
    for _ in range(2):
        second.unreachable("")
    assert (first.takes("tiny"), second.takes("tiny")) == (True, False)
