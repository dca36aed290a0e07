"""The end of a service that is at work: real processes, real signals, every protocol."""

import asyncio
import signal

import grpc
import httpx
from glimpse.v1 import micro_expressions_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.grpc_calls import connected, options, parts, told
from tests.live_frames import SAMPLES, sample
from tests.processes import children, standing_still
from tests.ws_calls import socket, types
from tests.ws_calls import told as heard

CLIP = (SAMPLES / "positive.mp4").read_bytes()
EVENTS = {"accept": "text/event-stream"}


async def until(met):
    """Wait for something that the service does."""
    async with asyncio.timeout(60):
        while True:
            if await met():
                return


async def inflight(service, kind="analyze"):
    """Requests that the service works on, waiting ones included."""
    return await asyncio.to_thread(service.metric, "glimpse_inflight", kind=kind)


async def refused(service):
    """Whether nobody listens any more."""
    _, address = str(service.client.base_url).rstrip("/").split("//")
    host, port = address.split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    return False


async def analyzed(stub):
    """A clip by gRPC."""
    return await told(
        stub.Analyze(iter([pb.AnalyzeRequest(options=pb.AnalyzeOptions()), pb.AnalyzeRequest(data=CLIP)]))
    )


async def test_nothing_accepted_is_lost(start_service):
    """At SIGTERM requests that are worked on or wait for their turn get their reports, by REST, as events and by gRPC;
    live streams of both protocols get the answers to their frames and their statistics; health says so first; nobody
    new is let in; and the process ends with status 0. Its workers stand still until all is under way.
    """
    with start_service() as service:
        base = str(service.client.base_url)
        async with (
            httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as client,
            connected(service.grpc) as stub,
            grpc.aio.insecure_channel(service.grpc) as channel,
            socket(base.rstrip("/")) as browser,
        ):
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
            frames = sample("positive.mp4")[:4]
            live = stub.Live()
            await live.write(options())
            await live.read()
            await browser.recv()
            for frame in frames:
                await live.write(pb.LiveRequest(frame=frame))
            files = {"clip": ("x.mp4", CLIP, "video/mp4")}

            async def all_inside():
                return await inflight(service) == 4

            with standing_still(children(service.process.pid)):
                plain = [asyncio.create_task(client.post("/v1/analyze", files=files)) for _ in range(2)]
                events = asyncio.create_task(client.post("/v1/analyze", files=files, headers=EVENTS))
                called = asyncio.create_task(analyzed(stub))
                await until(all_inside)
                service.process.send_signal(signal.SIGTERM)
                await until(lambda: refused(service))
            assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            answers, error = await told(live)
            assert (parts(answers)[-1], answers[-1].stats.received) == ("stats", len(frames))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            told_browser, code, _ = await heard(browser)
            assert (types(told_browser)[-2:], code) == (["stats", "error"], 1012)
            for answer in await asyncio.gather(*plain):
                assert (answer.status_code, len(answer.json()["events"])) == (200, 1)
            assert "event: report" in (await events).text
            answers, error = await called
            assert (parts(answers)[-1], error) == ("report", None)
        assert await asyncio.to_thread(service.process.wait, 30) == 0


async def test_the_second_signal_ends_the_wait(start_service):
    """Whoever still waits is told to come back, and the process ends well before its time to drain."""
    with start_service(GLIMPSE_SERVER__DRAIN_SECONDS="600") as service:
        async with (
            httpx.AsyncClient(base_url=str(service.client.base_url), timeout=60, trust_env=False) as client,
            connected(service.grpc) as stub,
        ):
            files = {"clip": ("x.mp4", (SAMPLES / "interview.mp4").read_bytes(), "video/mp4")}

            async def all_inside():
                return await inflight(service) == 7

            with standing_still(children(service.process.pid)):
                waiting = [asyncio.create_task(client.post("/v1/analyze", files=files)) for _ in range(6)]
                called = asyncio.create_task(analyzed(stub))
                await until(all_inside)
                service.process.send_signal(signal.SIGTERM)
                await until(lambda: refused(service))
            service.process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*waiting)
            assert {answer.status_code for answer in answers} <= {200, 429}
            turned_away = [answer for answer in answers if answer.status_code == 429]
            assert all("shutting down" in answer.json()["detail"] for answer in turned_away)
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in turned_away)
            assert turned_away
            _, error = await called
            assert error is not None
        assert await asyncio.to_thread(service.process.wait, 30) == 0
