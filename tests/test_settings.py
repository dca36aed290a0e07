"""The settings tree and its environment variables."""

import os

import pytest
from pydantic import ValidationError

from server.errors import ConfigurationError
from server.settings import Settings, load, rows
from server.settings.workers import available_cpus

NAMES = [row.name for row in rows(load({}))]


def test_without_variables_the_defaults_hold():
    """An empty environment is a valid configuration."""
    tree = load({})
    assert (tree.server.host, tree.server.port) == ("127.0.0.1", 8080)
    assert tree.limits.upload_bytes == 256 * 2**20
    assert tree.limits.frame_pixels >= 4096 * 2304
    assert tree.workers.count == available_cpus()
    assert all(row.value == row.default for row in rows(tree))


@pytest.mark.parametrize(
    ("name", "text", "group", "field", "value"),
    [
        ("GLIMPSE_SERVER__PORT", "0", "server", "port", 0),
        ("glimpse_limits__clip_seconds", "12.5", "limits", "clip_seconds", 12.5),
        ("GLIMPSE_BACKEND__KIND", "triton", "backend", "kind", "triton"),
        ("GLIMPSE_BACKEND__PROVIDERS", "A, B", "backend", "providers", ("A", "B")),
        ("GLIMPSE_BACKEND__REQUIRED_MODELS", "a, b", "backend", "required_models", ("a", "b")),
        ("GLIMPSE_BACKEND__TRITON_ADDRESS", "dns:///triton:8001", "backend", "triton_address", "dns:///triton:8001"),
    ],
)
def test_a_variable_sets_its_field(name, text, group, field, value):
    """One variable, one field, whatever the case of its name."""
    assert getattr(getattr(load({name: text}), group), field) == value


def test_what_the_caller_gives_wins():
    """Options of the command line stand above the environment, field by field."""
    tree = load({"GLIMPSE_SERVER__PORT": "1", "GLIMPSE_SERVER__HOST": "0.0.0.0"}, server={"port": 2})
    assert (tree.server.host, tree.server.port) == ("0.0.0.0", 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GLIMPSE_SERVER__HOST", ""),
        ("GLIMPSE_SERVER__PORT", "-1"),
        ("GLIMPSE_SERVER__PORT", "65536"),
        ("GLIMPSE_SERVER__PORT", "http"),
        ("GLIMPSE_SERVER__SOCKET_MESSAGE_BYTES", "65535"),
        ("GLIMPSE_SERVER__ALLOWED_ORIGINS", "lab.example"),
        ("GLIMPSE_SERVER__ALLOWED_ORIGINS", "https://lab.example/page"),
        ("GLIMPSE_SERVER__REQUEST_DEADLINE_SECONDS", "0"),
        ("GLIMPSE_SERVER__REQUEST_DEADLINE_SECONDS", "3601"),
        ("GLIMPSE_SERVER__REQUEST_DEADLINE_SECONDS", "nan"),
        ("GLIMPSE_SERVER__DRAIN_SECONDS", "-1"),
        ("GLIMPSE_LIMITS__UPLOAD_BYTES", "1023"),
        ("GLIMPSE_LIMITS__UPLOAD_BYTES", str(2**40)),
        ("GLIMPSE_LIMITS__CLIP_SECONDS", "0"),
        ("GLIMPSE_LIMITS__CLIP_SECONDS", "inf"),
        ("GLIMPSE_LIMITS__CLIP_FRAMES", "0"),
        ("GLIMPSE_LIMITS__FRAME_PIXELS", "1"),
        ("GLIMPSE_LIMITS__CLIP_PIXELS", "1"),
        ("GLIMPSE_LIMITS__INDEX_ENTRIES", "1"),
        ("GLIMPSE_LIMITS__SCANS", "0"),
        ("GLIMPSE_LIMITS__FACES", "0"),
        ("GLIMPSE_LIMITS__FACES", "257"),
        ("GLIMPSE_LIMITS__INFLIGHT", "0"),
        ("GLIMPSE_LIMITS__QUEUED", "-1"),
        ("GLIMPSE_LIMITS__BUFFERED_BYTES", "0"),
        ("GLIMPSE_LIMITS__UPLOAD_IDLE_SECONDS", "0"),
        ("GLIMPSE_LIMITS__UPLOAD_BYTES_PER_SECOND", "0"),
        ("GLIMPSE_LIMITS__UPLOADS", "0"),
        ("GLIMPSE_SERVER__HEADER_SECONDS", "0"),
        ("GLIMPSE_SERVER__HEADER_BYTES", "100"),
        ("GLIMPSE_SERVER__ANSWER_SECONDS", "0"),
        ("GLIMPSE_SERVER__CONNECTIONS", "0"),
        ("GLIMPSE_SERVER__GRPC_IDLE_SECONDS", "0"),
        ("GLIMPSE_SERVER__GRPC_PORT", "65536"),
        ("GLIMPSE_SERVER__GRPC_MESSAGE_BYTES", "1024"),
        ("GLIMPSE_SERVER__GRPC_KEEPALIVE_SECONDS", "0"),
        ("GLIMPSE_SERVER__GRPC_REFLECTION", "perhaps"),
        ("GLIMPSE_LIVE__MAX_STREAMS", "0"),
        ("GLIMPSE_LIVE__TENANT_SHARE", "0"),
        ("GLIMPSE_LIVE__FRAMES_PER_SECOND", "-1"),
        ("GLIMPSE_LIVE__IDLE_SECONDS", "0"),
        ("GLIMPSE_LIVE__BUFFER_FRAMES", "0"),
        ("GLIMPSE_LIVE__BUFFER_BYTES", "0"),
        ("GLIMPSE_LIVE__STORE_BYTES", "1024"),
        ("GLIMPSE_LIVE__INFERENCE_SECONDS", "0"),
        ("GLIMPSE_LIVE__ANSWER_SECONDS", "0"),
        ("GLIMPSE_WORKERS__COUNT", "0"),
        ("GLIMPSE_WORKERS__MEMORY_BYTES", "1"),
        ("GLIMPSE_WORKERS__CPU_SECONDS", "0"),
        ("GLIMPSE_WORKERS__SANDBOX", "perhaps"),
        ("GLIMPSE_WORKERS__SPARE", "-1"),
        ("GLIMPSE_BACKEND__KIND", "torch"),
        ("GLIMPSE_BACKEND__TRITON_ADDRESS", "http://triton:8001/"),
        ("GLIMPSE_BACKEND__COMPUTE_CAPABILITY", "RTX 3090"),
        ("GLIMPSE_BACKEND__TENSORRT_VERSION", "10"),
        ("GLIMPSE_BACKEND__THREADS", "0"),
        ("GLIMPSE_BACKEND__PROVIDERS", ""),
        ("GLIMPSE_BACKEND__DEFAULT_MODEL", "../x"),
        ("GLIMPSE_BACKEND__REPOSITORY", ""),
        ("GLIMPSE_SERVER__SAMPLES", "samples"),
        ("GLIMPSE_BACKEND__REQUIRED_MODELS", "good,../bad"),
        ("GLIMPSE_BACKEND__FALLBACK", "triton"),
        ("GLIMPSE_BACKEND__FALLBACK_AFTER_SECONDS", "0"),
        ("GLIMPSE_BACKEND__FALLBACK_CONCURRENCY", "0"),
        ("GLIMPSE_ANALYSIS__MIN_FACE_COVERAGE", "1.1"),
        ("GLIMPSE_ANALYSIS__MIN_FACE_COVERAGE", "-0.1"),
        ("GLIMPSE_SHADOW__MODEL", "../x"),
        ("GLIMPSE_SHADOW__MODEL", "mllm"),
        ("GLIMPSE_SHADOW__SHARE", "1.1"),
        ("GLIMPSE_SHADOW__DEADLINE_SECONDS", "0"),
        ("GLIMPSE_SHADOW__QUEUE", "0"),
        ("GLIMPSE_SHADOW__EXTRACTION_SECONDS", "-1"),
        ("GLIMPSE_SHADOW__WHOLE_MOVEMENT", "perhaps"),
        ("GLIMPSE_SERVER__ALLOWED_HOSTS", "https://lab.example"),
        ("GLIMPSE_SERVER__ALLOWED_HOSTS", "lab.example:8080"),
        ("GLIMPSE_TLS__CERTIFICATE", "tls.crt"),
        ("GLIMPSE_TLS__KEY", "tls.key"),
        ("GLIMPSE_TLS__CLIENT_CA", "ca.crt"),
        ("GLIMPSE_TLS__CLIENT_MODE", "perhaps"),
        ("GLIMPSE_TLS__CLIENT_SCOPES", "Two Words"),
        ("GLIMPSE_TLS__MINIMUM_VERSION", "1.1"),
        ("GLIMPSE_TLS__HANDSHAKE_SECONDS", "0"),
        ("GLIMPSE_BACKEND__TRITON_CA", "ca.crt"),
        ("GLIMPSE_BACKEND__TRITON_CERTIFICATE", "tls.crt"),
        ("GLIMPSE_BACKEND__TRITON_KEY", "tls.key"),
        ("GLIMPSE_TELEMETRY__LOG_LEVEL", "loud"),
        ("GLIMPSE_TELEMETRY__LOG_FORMAT", "xml"),
        ("GLIMPSE_TELEMETRY__OTLP_ENDPOINT", "collector:4317"),
        ("GLIMPSE_TELEMETRY__OTLP_ENDPOINT", "grpc://collector:4317"),
        ("GLIMPSE_TELEMETRY__OTLP_ENDPOINT", "http://collector:4317/v1/traces"),
        ("GLIMPSE_TELEMETRY__OTLP_ENDPOINT", "http://collector:port"),
        ("GLIMPSE_TELEMETRY__OTLP_CA", "ca.crt"),
        ("GLIMPSE_TELEMETRY__OTLP_HEADERS", "two words"),
        ("GLIMPSE_TELEMETRY__OTLP_HEADERS", "grpc-timeout=1"),
        ("GLIMPSE_TELEMETRY__OTLP_HEADERS_FILE", "relative/path"),
        ("GLIMPSE_TELEMETRY__OTLP_INSECURE", "perhaps"),
        ("GLIMPSE_TELEMETRY__OTLP_TIMEOUT_SECONDS", "0"),
        ("GLIMPSE_TELEMETRY__OTLP_FLUSH_SECONDS", "-1"),
        ("GLIMPSE_TELEMETRY__TRACE_SHARE", "1.1"),
        ("GLIMPSE_TELEMETRY__TRACE_CONTEXT", "trust"),
        ("GLIMPSE_TELEMETRY__TRACE_QUEUE_SPANS", "1"),
        ("GLIMPSE_TELEMETRY__SERVICE_NAME", "two words"),
        ("GLIMPSE_TELEMETRY__RESOURCE_ATTRIBUTES", "no equals sign"),
        ("GLIMPSE_BACKEND__DEFAULT_MODEL", "mllm"),
        ("GLIMPSE_MLLM__BASE_URL", "llm.example/v1"),
        ("GLIMPSE_MLLM__BASE_URL", "ftp://llm.example/v1"),
        ("GLIMPSE_MLLM__BASE_URL", "https://llm.example/v1?key=x"),
        ("GLIMPSE_MLLM__BASE_URL", "https://llm.example:port/v1"),
        ("GLIMPSE_MLLM__SEND_FACES", "perhaps"),
        ("GLIMPSE_MLLM__ALLOW_HTTP", "perhaps"),
        ("GLIMPSE_MLLM__API_KEY", "two words"),
        ("GLIMPSE_MLLM__API_KEY_FILE", "relative/path"),
        ("GLIMPSE_MLLM__MODEL", "two words"),
        ("GLIMPSE_MLLM__DEADLINE_SECONDS", "0"),
        ("GLIMPSE_MLLM__CONCURRENCY", "0"),
        ("GLIMPSE_MLLM__EVENTS_PER_CLIP", "0"),
        ("GLIMPSE_MLLM__REQUESTS_PER_HOUR", "0"),
        ("GLIMPSE_MLLM__TOKENS_PER_DAY", "1"),
        ("GLIMPSE_MLLM__DAY_USD", "-1"),
        ("GLIMPSE_MLLM__INPUT_MILLION_TOKENS_USD", "-1"),
        ("GLIMPSE_MLLM__OUTPUT_MILLION_TOKENS_USD", "nan"),
        ("GLIMPSE_MLLM__IMAGE_PX", "256"),
        ("GLIMPSE_MLLM__FLOW_PICTURE", "3"),
        ("GLIMPSE_MLLM__REPEATS", "10"),
        ("GLIMPSE_MLLM__CONFIDENCE_CAP", "0.3"),
        ("GLIMPSE_ACCESS__REQUIRE_AUTH", "perhaps"),
        ("GLIMPSE_ACCESS__KEYS_FILE", "a\x00b"),
        ("GLIMPSE_ACCESS__OPEN_METRICS", "perhaps"),
        ("GLIMPSE_ACCESS__RELOAD_SECONDS", "0"),
        ("GLIMPSE_ACCESS__JWT_ISSUER", "two words"),
        ("GLIMPSE_ACCESS__JWT_AUDIENCE", "two words"),
        ("GLIMPSE_ACCESS__JWT_JWKS", "jwks.json"),
        ("GLIMPSE_ACCESS__JWT_JWKS", "ftp://login.example/jwks"),
        ("GLIMPSE_ACCESS__JWT_JWKS", "https://user:password@login.example/jwks"),
        ("GLIMPSE_ACCESS__JWT_ALGORITHMS", "HS256"),
        ("GLIMPSE_ACCESS__JWT_ALGORITHMS", "none"),
        ("GLIMPSE_ACCESS__JWT_ALGORITHMS", ""),
        ("GLIMPSE_ACCESS__JWT_LEEWAY_SECONDS", "601"),
        ("GLIMPSE_ACCESS__JWT_REQUIRE_NBF", "perhaps"),
        ("GLIMPSE_ACCESS__JWT_SCOPE_CLAIMS", ""),
        ("GLIMPSE_ACCESS__JWT_SCOPE_PREFIX", "two words"),
        ("GLIMPSE_ACCESS__JWT_REQUESTS_PER_SECOND", "-1"),
        ("GLIMPSE_ACCESS__JWT_BURST", "-1"),
        ("GLIMPSE_ACCESS__JWT_LIVE_STREAMS", "-1"),
        ("GLIMPSE_ACCESS__JWKS_FRESH_SECONDS", "0"),
        ("GLIMPSE_ACCESS__JWKS_STALE_SECONDS", "0"),
        ("GLIMPSE_ACCESS__JWKS_PAUSE_SECONDS", "0"),
        ("GLIMPSE_ACCESS__JWKS_TIMEOUT_SECONDS", "0"),
        ("GLIMPSE_ADMIN__HOST", ""),
        ("GLIMPSE_ADMIN__PORT", "65536"),
        ("GLIMPSE_CLIENT__API_KEY", "two words"),
        ("GLIMPSE_CLIENT__TOKEN", "two words"),
        ("GLIMPSE_CLIENT__ALLOW_PLAINTEXT", "perhaps"),
    ],
)
def test_a_value_out_of_bounds_is_named(name, text):
    """The message holds the variable and what it was set to."""
    with pytest.raises(ConfigurationError) as refused:
        load({name: text})
    assert refused.value.message.startswith(f"{name}: ")
    assert "\n" not in refused.value.message


def test_every_setting_has_bounds_that_were_tried():
    """A new setting comes with a case in the list of wrong values."""
    [mark] = test_a_value_out_of_bounds_is_named.pytestmark
    assert set(NAMES) == {name for name, _ in mark.args[1]}


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"BASE_URL": "http://llm.example/v1"}, ["BASE_URL", "ALLOW_HTTP"]),
        ({"BASE_URL": "http://10.0.0.1/v1"}, ["BASE_URL", "ALLOW_HTTP"]),
        ({"BASE_URL": "http://localhost.example/v1"}, ["BASE_URL", "ALLOW_HTTP"]),
        ({"API_KEY": "sk-secret-key", "API_KEY_FILE": "/run/key"}, ["API_KEY_FILE"]),
        ({"DAY_USD": "5"}, ["DAY_USD"]),
        ({"REPEATS": "9", "API_KEY": "sk-secret-key"}, ["REQUESTS_PER_HOUR"]),
        ({"BASE_URL": "https://llm.example/v1", "CONCURRENCY": "16"}, ["CONCURRENCY"]),
    ],
)
def test_settings_of_the_endpoint_that_do_not_fit_together_are_named(variables, names):
    """The sentence begins with one of them, and holds no value of the others, such as a key."""
    with pytest.raises(ConfigurationError) as refused:
        load({f"GLIMPSE_MLLM__{name}": value for name, value in variables.items()})
    assert refused.value.message.startswith(f"GLIMPSE_MLLM__{names[0]}: ")
    assert all(f"GLIMPSE_MLLM__{name}" in refused.value.message for name in names)
    assert "sk-secret" not in refused.value.message


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"ACCESS__JWT_ISSUER": "https://login.example"}, "ACCESS__JWT_ISSUER"),
        ({"ACCESS__JWT_AUDIENCE": "glimpse"}, "ACCESS__JWT_ISSUER"),
        ({"ACCESS__JWKS_FRESH_SECONDS": "600", "ACCESS__JWKS_STALE_SECONDS": "60"}, "ACCESS__JWKS_STALE_SECONDS"),
        ({"CLIENT__API_KEY": "secret-key", "CLIENT__TOKEN": "secret-token"}, "CLIENT__TOKEN"),
    ],
)
def test_settings_of_access_that_do_not_fit_together_are_named(variables, first):
    """The sentence begins with one of them, and holds no key."""
    with pytest.raises(ConfigurationError) as refused:
        load({f"GLIMPSE_{name}": value for name, value in variables.items()})
    assert refused.value.message.startswith(f"GLIMPSE_{first}: ")
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["TLS__CERTIFICATE"], "TLS__KEY"),
        (["TLS__KEY"], "TLS__CERTIFICATE"),
        (["TLS__CLIENT_CA"], "TLS__CERTIFICATE"),
        (["BACKEND__TRITON_KEY"], "BACKEND__TRITON_CERTIFICATE"),
        (["BACKEND__TRITON_CERTIFICATE", "BACKEND__TRITON_KEY"], "BACKEND__TRITON_CA"),
    ],
)
def test_half_an_encryption_is_refused(given, missing):
    """The file that is missing is named."""
    with pytest.raises(ConfigurationError, match=f"GLIMPSE_{missing}"):
        load({f"GLIMPSE_{name}": "/some/file" for name in given})


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"OTLP_ENDPOINT": "http://collector:4317", "OTLP_HEADERS": "api-key=secret"}, "OTLP_ENDPOINT"),
        ({"OTLP_ENDPOINT": "http://collector:4317", "OTLP_HEADERS_FILE": "/run/secret"}, "OTLP_ENDPOINT"),
        ({"OTLP_HEADERS": "api-key=secret", "OTLP_HEADERS_FILE": "/run/secret"}, "OTLP_HEADERS_FILE"),
        ({"OTLP_ENDPOINT": "http://collector:4317", "OTLP_CA": "/etc/ca.crt"}, "OTLP_CA"),
        ({"OTLP_HEADERS": "api key=secret"}, "OTLP_HEADERS"),
        ({"OTLP_ENDPOINT": "https://user:secret@collector:4317"}, "OTLP_ENDPOINT"),
    ],
)
def test_settings_of_traces_that_do_not_fit_together_are_named(variables, first):
    """The sentence says which, and holds no credential; on this machine, encrypted or allowed, headers may be sent."""
    with pytest.raises(ConfigurationError, match=f"GLIMPSE_TELEMETRY__{first}: ") as refused:
        load({f"GLIMPSE_TELEMETRY__{name}": value for name, value in variables.items()})
    assert "=secret" not in refused.value.message
    assert "user:secret" not in refused.value.message
    sent = {"otlp_headers": "api-key=secret"}
    for ways in (
        {"otlp_endpoint": "https://collector"},
        {"otlp_endpoint": "http://[::1]:4317"},
        {"otlp_endpoint": "http://collector", "otlp_insecure": True},
    ):
        tree = load({}, telemetry=sent | ways)
        assert "secret" not in repr(tree) + repr(list(rows(tree)))


@pytest.mark.parametrize(
    "url", ["http://localhost:8000/v1", "http://127.0.0.1:1/v1", "http://[::1]/v1", "https://llm.example/v1/"]
)
def test_an_endpoint_of_this_machine_needs_no_encryption(url):
    """A slash at the end of the address does not matter."""
    assert load({"GLIMPSE_MLLM__BASE_URL": url}).mllm.base_url == url.rstrip("/")
    allowed = {"GLIMPSE_MLLM__BASE_URL": "http://llm.example/v1", "GLIMPSE_MLLM__ALLOW_HTTP": "true"}
    assert load(allowed).mllm.base_url == "http://llm.example/v1"


@pytest.mark.parametrize(
    ("name", "text"), [("API_KEY", "sk-secret key"), ("BASE_URL", "https://user:sk-secret@llm.example/v1")]
)
def test_a_secret_is_never_repeated(name, text):
    """Neither in the error that it causes, nor in the manual, nor in any representation."""
    with pytest.raises(ConfigurationError) as refused:
        load({f"GLIMPSE_MLLM__{name}": text})
    assert "sk-secret" not in refused.value.message
    tree = load({"GLIMPSE_MLLM__API_KEY": "sk-secret"})
    assert tree.mllm.api_key.get_secret_value() == "sk-secret"
    assert "sk-secret" not in repr(tree) + str(tree) + tree.model_dump_json() + repr(list(rows(tree)))
    shown = {row.name: row.value for row in rows(tree)}
    assert set(shown["GLIMPSE_MLLM__API_KEY"]) == {"*"}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("GLIMPSE_LIMITS__FACE", "GLIMPSE_LIMITS__FACES"),
        ("GLIMPSE_SERVER_PORT", "GLIMPSE_SERVER__PORT"),
        ("GLIMPSE_PORT", "GLIMPSE_SERVER__PORT"),
        ("GLIMPSE_LIMITS", "GLIMPSE_LIMITS__SCANS"),
    ],
)
def test_an_unknown_variable_fails_loudly(name, nearest):
    """A typing error never passes for the default, and the nearest name is offered."""
    with pytest.raises(ConfigurationError, match=rf"{name}: no such setting; did you mean {nearest}\?"):
        load({name: "1"})


def test_all_mistakes_are_told_at_once():
    """Nobody wants to start a service three times to read three messages."""
    with pytest.raises(ConfigurationError) as refused:
        load({"GLIMPSE_SERVER__PORT": "x", "GLIMPSE_LIMITS__FACES": "0"})
    assert "GLIMPSE_SERVER__PORT" in refused.value.message
    assert "GLIMPSE_LIMITS__FACES" in refused.value.message


def test_addresses_of_services_are_not_taken_for_settings():
    """Kubernetes sets such variables for a service that is named glimpse."""
    links = {
        "GLIMPSE_SERVICE_HOST": "10.0.0.1",
        "GLIMPSE_SERVICE_PORT": "8080",
        "GLIMPSE_SERVICE_PORT_HTTP": "8080",
        "GLIMPSE_PORT": "tcp://10.0.0.1:8080",
        "GLIMPSE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "GLIMPSE_PORT_8080_TCP_ADDR": "10.0.0.1",
        "GLIMPSE_TRITON_SERVICE_HOST": "10.0.0.2",
        "GLIMPSE_TRITON_PORT": "tcp://10.0.0.2:8001",
    }
    assert load(links) == load({})


def test_other_variables_do_not_matter():
    """Only the prefix is ours."""
    assert load({"PATH": "/bin", "XGLIMPSE_PORT": "1"}) == load({})


def test_the_tree_is_frozen():
    """No part of the service can change another's settings."""
    tree = load({})
    with pytest.raises(ValidationError):
        tree.server.port = 1
    with pytest.raises(ValidationError):
        tree.server = tree.server


def test_every_setting_has_a_description_and_says_its_unit():
    """The table is the manual."""
    for row in rows(load({})):
        assert row.description.endswith("."), row.name
    for group in Settings.model_fields:
        for name, info in type(getattr(load({}), group)).model_fields.items():
            if info.annotation is float:
                assert name.endswith(("_seconds", "_second", "_coverage", "_usd", "_cap", "share")), name


@pytest.mark.parametrize(
    ("quota", "share"),
    [("max 100000", 1.0), ("", 1.0), ("nonsense", 1.0), ("50000 100000", 0.0), ("1000000000 100000", 1.0)],
)
def test_processors_are_those_of_the_quota(tmp_path, quota, share):
    """A container has its quota's whole processors, one at least, and never more than it may run on."""
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert available_cpus(file) == max(1, int(share * len(os.sched_getaffinity(0))))
    assert available_cpus(tmp_path / "missing") == len(os.sched_getaffinity(0))


def test_a_quota_of_some_processors_counts_the_whole_ones(tmp_path, monkeypatch):
    """Of two and a half processors, two are counted."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert available_cpus(tmp_path / "cpu.max") == 2
