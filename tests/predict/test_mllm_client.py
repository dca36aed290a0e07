"""The client against a real HTTP server on this machine."""

import asyncio
import time

import pytest

from server.errors import BackendFailed, BackendUnavailable, BudgetSpent, DeadlineExceeded
from server.predict.mllm_budget import Allowance, Budget
from server.predict.mllm_client import Endpoint, MllmClient
from server.predict.mllm_request import Dialect
from tests.openai_endpoint import (
    BUSY,
    ENORMOUS,
    GARBAGE,
    GOOD,
    HANG,
    INVALID_UTF8,
    VALID,
    Canned,
    complains,
    endpoint,
    says,
)

KEY = "sk-very-secret-0123456789"


class Waits(list):
    """Waits that take no time."""

    async def __call__(self, seconds):
        self.append(seconds)


def build(dialect):
    return {
        "model": "m",
        "form": dialect.form,
        "messages": [{"role": "system", "content": "x" * 30}, {"role": "user", "content": []}],
    }


@pytest.fixture
def fake():
    with endpoint() as running:
        yield running


@pytest.fixture
async def client(fake):
    """A client of the fake endpoint, its waits and its budget."""
    made = _client(fake.base_url)
    yield made
    await made.close()


def _client(base_url, **changes):
    waits = Waits()
    allowance = Allowance(**({"requests_per_hour": 100, "tokens_per_day": 10**6} | changes))
    budget = Budget(allowance)
    made = MllmClient(Endpoint(base_url, "m", KEY), budget, pause=waits, jitter=lambda: 0.0)
    made.waits, made.budget = waits, budget
    return made


def soon():
    return time.monotonic() + 20


async def test_a_reply_is_the_content_of_the_first_choice(fake, client):
    """The key goes in the header, to the path below the base address."""
    reply = await client.ask(build, deadline=soon())
    assert '"ranking"' in reply.content
    assert not reply.declined
    assert (fake.paths, fake.keys) == (["/v1/chat/completions"], [f"Bearer {KEY}"])


async def test_no_key_sends_no_header(fake):
    """A server on this machine needs none."""
    client = MllmClient(Endpoint(fake.base_url, "m"), Budget(Allowance(9, 10**6)))
    await client.ask(build, deadline=soon())
    await client.close()
    assert fake.keys == [None]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_busy_endpoint_is_asked_again(fake, client, status):
    """After 1, 2, 4 seconds, or after as long as it asks for."""
    fake.follow(complains(status), complains(status), complains(status, Retry_After="3"), VALID)
    await client.ask(build, deadline=soon())
    assert client.waits == [1.0, 2.0, 3.0]


async def test_a_date_to_come_back_at_is_understood(fake, client):
    """One that has passed means at once, nonsense means nothing."""
    fake.follow(complains(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), complains(429, Retry_After="later"), VALID)
    await client.ask(build, deadline=soon())
    assert client.waits == [0.0, 2.0]


@pytest.mark.parametrize(
    ("asked", "told_s"), [("120", 120.0), ("9" * 400, 86400.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0)]
)
async def test_a_wait_beyond_the_deadline_is_not_begun(fake, client, asked, told_s):
    """The caller is told when to come back, in a day at most."""
    fake.follow(complains(429, Retry_After=asked))
    with pytest.raises(BackendUnavailable) as failure:
        await client.ask(build, deadline=soon())
    assert failure.value.details == {"retry_after_s": told_s}
    assert client.waits == []


async def test_an_endpoint_that_stays_busy_is_given_up(fake, client):
    """After five times."""
    fake.follow(BUSY)
    with pytest.raises(BackendUnavailable, match="status 429"):
        await client.ask(build, deadline=soon())
    assert len(fake.asked) == 5


async def test_nobody_at_the_address():
    """Tried again like a busy one; nothing is counted as spent."""
    client = _client("http://127.0.0.1:9/v1", tokens_per_day=700)
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await client.ask(build, deadline=soon())
    await client.close()
    assert client.waits == [1.0, 2.0, 4.0, 8.0]


async def test_a_hang_ends_at_the_deadline(fake, client):
    """The request is dropped; what it may have cost stays counted."""
    fake.follow(HANG)
    with pytest.raises(DeadlineExceeded) as failure:
        await client.ask(build, deadline=time.monotonic() + 0.2)
    assert failure.value.stage == "inference"


async def test_a_caller_who_leaves_ends_the_request(fake, client):
    """Nothing is left running."""
    fake.follow(HANG)
    asking = asyncio.create_task(client.ask(build, deadline=soon()))
    assert await asyncio.to_thread(fake.arrived.acquire, timeout=20)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize("canned", [ENORMOUS, GARBAGE, Canned(body=b""), Canned(body=b'{"choices": []}')])
async def test_what_is_no_answer_is_an_error(fake, client, canned):
    """Too large, no JSON, nothing, no choice: one request, and nothing of it in the message."""
    fake.follow(canned)
    with pytest.raises(BackendFailed) as failure:
        await client.ask(build, deadline=soon())
    assert len(fake.asked) == 1
    assert "xxx" not in failure.value.message


async def test_invalid_utf8_costs_only_its_letters(fake, client):
    """The rest of the answer is read."""
    fake.follow(INVALID_UTF8)
    assert "\ufffd" in (await client.ask(build, deadline=soon())).content


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses the key"), (403, "refuses the key"), (404, "neither"), (302, "302")]
)
async def test_errors_of_the_configuration_are_said_in_words(fake, client, status, words):
    """Once, without the key and without what the endpoint wrote; a redirect is not followed."""
    fake.follow(complains(status, f"bad key {KEY}", Location="http://127.0.0.1:9/elsewhere"))
    with pytest.raises(BackendFailed, match=words) as failure:
        await client.ask(build, deadline=soon())
    assert len(fake.asked) == 1
    assert KEY not in str(failure.value)


async def test_an_older_dialect_is_found_and_remembered(fake, client):
    """json_schema, then json_object, then plain text; the next request begins with what worked."""
    fake.follow(complains(400, "response_format"), complains(400, "unknown"), VALID)
    await client.ask(build, deadline=soon())
    await client.ask(build, deadline=soon())
    assert [asked["form"] for asked in fake.asked] == ["json_schema", "json_object", "text", "text"]


async def test_a_form_that_did_not_help_is_not_remembered(fake, client):
    """An endpoint that refuses everything today may take the best form tomorrow."""
    fake.follow(complains(400, "no"))
    with pytest.raises(BackendFailed, match="every form"):
        await client.ask(build, deadline=soon())
    assert client._dialect == Dialect()


@pytest.mark.parametrize(
    "canned",
    [
        complains(400, "code: content_filter"),
        complains(400, "content_policy_violation"),
        says(None, refusal="I will not"),
        says("", finish="content_filter"),
    ],
)
async def test_refusals_of_the_endpoint_are_no_errors(fake, client, canned):
    """They are told apart from faults of the request."""
    fake.follow(canned)
    assert (await client.ask(build, deadline=soon())).declined


async def test_content_in_parts_is_joined(fake, client):
    """Some servers answer with a list."""
    fake.follow(says(None, content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]))
    assert (await client.ask(build, deadline=soon())).content == "ab"


@pytest.mark.parametrize(("tokens", "spent"), [((600, 300), 900), (None, 610)])
async def test_the_endpoints_own_count_is_what_was_spent(fake, tokens, spent):
    """Where it gives none, the guess stays; it can only be asked again while something is left."""
    fake.follow(says(GOOD, tokens=tokens))
    client = _client(fake.base_url, tokens_per_day=spent + 609)
    await client.ask(build, deadline=soon())
    with pytest.raises(BudgetSpent):
        await client.ask(build, deadline=soon())
    await client.close()
    larger = _client(fake.base_url, tokens_per_day=spent + 610)
    await larger.ask(build, deadline=soon())
    await larger.ask(build, deadline=soon())
    await larger.close()


async def test_requests_that_were_turned_away_cost_no_tokens(fake):
    """But each counts as a request."""
    client = _client(fake.base_url, tokens_per_day=700, requests_per_hour=3)
    fake.follow(BUSY, BUSY, VALID)
    await client.ask(build, deadline=soon())
    with pytest.raises(BudgetSpent, match="REQUESTS_PER_HOUR"):
        await client.ask(build, deadline=soon())
    await client.close()


async def test_no_more_requests_at_a_time_than_allowed(fake):
    """The third waits for its turn, and its deadline runs."""
    fake.follow(HANG)
    client = MllmClient(Endpoint(fake.base_url, "m"), Budget(Allowance(9, 10**6)), concurrency=2)
    tasks = [asyncio.create_task(client.ask(build, deadline=soon())) for _ in range(2)]
    for _ in tasks:
        assert await asyncio.to_thread(fake.arrived.acquire, timeout=20)
    with pytest.raises(DeadlineExceeded):
        await client.ask(build, deadline=time.monotonic() + 0.1)
    assert len(fake.asked) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


async def test_only_hashes_are_logged(fake, client, caplog):
    """No key, no picture, no word of the question or of the answer; and the key is in no representation."""
    caplog.set_level("DEBUG", logger="server")
    await client.ask(build, deadline=soon())
    records = [record for record in caplog.records if record.name.startswith("server")]
    assert [record.getMessage() for record in records] == ["endpoint answered"]
    written = repr([record.__dict__ for record in records])
    assert len(records[0].request_sha256) == len(records[0].answer_sha256) == 64
    assert not any(secret in written for secret in (KEY, "xxx", "smile", "positive"))
    assert KEY not in repr(Endpoint("http://x", "m", KEY))
