"""A real Prometheus scrapes a service under load and its real Triton: rules and dashboard find what they ask for."""

import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import grpc
import httpx
import pytest
import trustme
import yaml
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc

from client import Client, StreamOptions, Tls
from client.sources import VideoFile
from server.access import key_file
from tests.end_to_end.conftest import serving
from tests.grpc_calls import options
from tests.ops.tools import needs

pytestmark = [pytest.mark.ops, pytest.mark.timeout(500)]
ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "glimpse" / "files"
CLIP = ROOT / "samples" / "positive.mp4"
RULES = yaml.safe_load((FILES / "rules.yaml").read_text(encoding="utf-8"))
PANELS = json.loads((FILES / "dashboard.json").read_text(encoding="utf-8"))["panels"]
SCOPES = ["analyze", "live", "models", "metrics", "admin"]
LONGEST_S = 150

NOT_HERE = {
    "nv_gpu_": "this Triton has no GPU, and says nothing of any",
    "glimpse_container_memory": "the control group of this machine is not of version 2, or not limited",
}
"""Queries that may have no data, by what they name, with the reason."""


def queries():
    """Those of the dashboard and of what is recorded, by what they are for."""
    drawn = {
        f"{panel['title']} [{target['legendFormat']}]": target["expr"]
        for panel in PANELS
        for target in panel.get("targets", ())
    }
    chosen = {"$namespace": ".*", "$job": ".*", "$__rate_interval": "30s"}
    for name, value in chosen.items():
        drawn = {title: expr.replace(name, value) for title, expr in drawn.items()}
    recorded = {
        rule["record"]: rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule
    }
    return drawn | recorded


class Prometheus:
    """One that runs, asked over its API."""

    def __init__(self, url):
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self):
        self._client.close()

    def ready(self):
        with suppress(httpx.TransportError):
            return self._client.get("/-/ready").status_code == 200
        return False

    def has(self, query):
        """Whether the query has a value that is a number now."""
        answer = self._client.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, (query, answer.text)
        return any(sample["value"][1] != "NaN" for sample in answer.json()["data"]["result"])

    def rules(self):
        return [rule for group in self._client.get("/api/v1/rules").json()["data"]["groups"] for rule in group["rules"]]

    def targets(self):
        return {
            target["labels"]["job"]: target
            for target in self._client.get("/api/v1/targets").json()["data"]["activeTargets"]
        }


@contextmanager
def scraping(folder, service, triton, authority, key):
    """A Prometheus as docs/monitoring.md sets one up, but that it looks every second."""
    (folder / "ca.crt").write_bytes(authority.cert_pem.bytes())
    (folder / "key").write_text(key)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(FILES / "rules.yaml")],
        "scrape_configs": [
            {
                "job_name": "glimpse",
                "scheme": "https",
                "tls_config": {"ca_file": str(folder / "ca.crt")},
                "authorization": {"credentials_file": str(folder / "key")},
                "static_configs": [{"targets": [service.client.base_url.netloc.decode()]}],
            },
            {"job_name": "glimpse-triton", "static_configs": [{"targets": [triton.metrics_address]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", "--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*map(str, command), f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        with closing(Prometheus(f"http://{address}")) as prometheus:
            until(prometheus.ready, "Prometheus to be ready")
            yield prometheus
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def until(met, what, meanwhile=lambda: None):
    """Ask until it is so; a wall clock only ends a test that has failed."""
    ends = time.monotonic() + LONGEST_S
    while not met():
        assert time.monotonic() < ends, f"waited for {what() if callable(what) else what}"
        meanwhile()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A file of keys and a key that opens everything."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, key_file.create(path, "operators", SCOPES)


@pytest.fixture(scope="module")
def triton(triton_server_factory, tmp_path_factory):
    """With the default model, and one of which the gateway has no copy."""
    needs("prometheus", "promtool")
    folder = tmp_path_factory.mktemp("models")
    for name in ("glimpse_flow", "ststnet"):
        (folder / name).symlink_to(ROOT / "model_repository" / name)
    return triton_server_factory(folder)


@pytest.fixture(scope="module")
def service(triton, authority, key, tmp_path_factory):
    """Encrypted, with keys, a shadow model and a fall-back, over Triton; one live stream at a time."""
    folder = tmp_path_factory.mktemp("service")
    leaf = authority.issue_cert("127.0.0.1")
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "tls.key").chmod(0o600)
    (folder / "models").mkdir()
    (folder / "models" / "glimpse_flow").symlink_to(ROOT / "model_repository" / "glimpse_flow")
    trusted = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with serving(
        folder / "log",
        asking={"verify": trusted, "headers": {"authorization": f"Bearer {key[1]}"}},
        GLIMPSE_TLS__CERTIFICATE=str(folder / "tls.crt"),
        GLIMPSE_TLS__KEY=str(folder / "tls.key"),
        GLIMPSE_ACCESS__KEYS_FILE=str(key[0]),
        GLIMPSE_BACKEND__KIND="triton",
        GLIMPSE_BACKEND__TRITON_ADDRESS=triton.grpc_address,
        GLIMPSE_BACKEND__REPOSITORY=str(folder / "models"),
        GLIMPSE_BACKEND__FALLBACK="local",
        GLIMPSE_BACKEND__FALLBACK_AFTER_SECONDS="1",
        GLIMPSE_SHADOW__MODEL="ststnet",
        GLIMPSE_LIVE__MAX_STREAMS="1",
        # Nobody listens there, so that spans are lost.
        GLIMPSE_TELEMETRY__OTLP_ENDPOINT="http://127.0.0.1:9",
        GLIMPSE_TELEMETRY__OTLP_TIMEOUT_SECONDS="0.5",
    ) as running:
        yield running


def work(service, authority_file, key):
    """Clips, wrong requests, a client that leaves, a live stream and one too many."""
    assert service.analyze(CLIP.read_bytes()).status_code == 200
    assert service.analyze(CLIP.read_bytes(), model="nobody").status_code == 404
    assert service.analyze(b"no clip at all").status_code == 415
    with suppress(ZeroDivisionError):
        service.client.post("/v1/analyze", content=_broken_off(), headers={"content-type": "video/mp4"})
    with Client(service.grpc, api_key=key, tls=Tls(authority_file)) as stub:
        video = VideoFile(CLIP)
        with stub.stream(StreamOptions(frame_rate=video.rate)) as stream:
            for _ in stream.follow(video):
                pass
    _one_stream_too_many(service, authority_file, key)


def _one_stream_too_many(service, authority_file, key):
    end = threading.Event()

    def opening():
        yield options(frame_rate=30)
        end.wait(LONGEST_S)

    credentials = grpc.ssl_channel_credentials(authority_file.read_bytes())
    with grpc.secure_channel(service.grpc, credentials) as channel:
        stub = pb_grpc.MicroExpressionsStub(channel)
        metadata = (("authorization", f"Bearer {key}"),)
        first = stub.Live(opening(), metadata=metadata)
        assert next(first).WhichOneof("part") == "opened"
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.Live(iter([options(frame_rate=30)]), metadata=metadata))
        end.set()
        list(first)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def _broken_off():
    yield CLIP.read_bytes()[:1000]
    raise ZeroDivisionError


def outage(service, triton):
    """Triton stands still: what has a copy is answered by it, what has none is not. Then it is gone."""
    os.killpg(triton.pid, signal.SIGSTOP)
    try:
        assert service.analyze(CLIP.read_bytes()).json()["model"]["backend"] == "local"
        late = service.analyze(CLIP.read_bytes(), model="ststnet", deadline_s="8")
        assert late.status_code in {503, 504}
    finally:
        os.killpg(triton.pid, signal.SIGKILL)


def test_everything_that_is_asked_of_prometheus_has_an_answer(service, triton, authority, key, tmp_path):
    """Each panel and each recorded rule has data after a minute of load and an outage, but for what is listed with its
    reason; no rule fails to be evaluated.
    """
    with scraping(tmp_path, service, triton, authority, key[1]) as prometheus:
        key_file.create(key[0], "another", ["metrics"])
        wanted = {title: query for title, query in queries().items() if not any(name in query for name in NOT_HERE)}
        of_outages = ("glimpse_fallbacks", "glimpse_inference_errors", "glimpse_breaker", "glimpse_reload")
        open_ = {title: query for title, query in wanted.items() if not any(name in query for name in of_outages)}

        def answered(some):
            for title in [title for title, query in some.items() if prometheus.has(query)]:
                del some[title]
            return not some

        until(
            lambda: answered(open_),
            lambda: f"data of {sorted(open_)}",
            lambda: work(service, tmp_path / "ca.crt", key[1]),
        )
        assert {target["health"] for target in prometheus.targets().values()} == {"up"}
        outage(service, triton)
        rest = {title: query for title, query in wanted.items() if any(name in query for name in of_outages)}
        until(lambda: answered(rest), lambda: f"data of {sorted(rest)}", lambda: service.analyze(CLIP.read_bytes()))
        assert [(rule["name"], rule["lastError"]) for rule in prometheus.rules() if rule["health"] != "ok"] == []


def test_promtool_has_nothing_to_say_of_the_live_metrics(service, authority, key):
    """Names, units and help texts as Prometheus recommends, with every series of the load there."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=service.client.get("/metrics").content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
