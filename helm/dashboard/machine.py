"""Rows on what the service runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helm.dashboard.panel import RATE, TRITON, Panel, S, rate, recorded

_SPACE = "glimpse_worker_address_space_bytes"
_LIMIT = "glimpse_worker_address_space_limit_bytes"

ROWS: Mapping[str, Sequence[Panel]] = {
    "Workers": (
        Panel("What do they do?", (("{{state}}", f"sum by (state) (glimpse_workers{{{S}}})"),), stacked=True),
        Panel(
            "Why are they replaced?",
            (("{{reason}}", f"sum by (reason) (increase(glimpse_worker_restarts_total{{{S}}}[{RATE}]))"),),
        ),
        Panel(
            "How much memory do they hold?",
            (
                ("workers of {{workers}}", f"sum by (workers) (glimpse_worker_memory_bytes{{{S}}})"),
                ("gateways", f"sum(process_resident_memory_bytes{{{S}}})"),
            ),
            "bytes",
            "Pages that processes share count for each.",
            stacked=True,
        ),
        Panel(
            "How near are they to their limit?",
            (
                (
                    "address space, {{workers}}",
                    f"max by (workers) ({_SPACE}{{{S}}} / on (namespace, job, instance) group_left () {_LIMIT}{{{S}}})",
                ),
            ),
            "percentunit",
            bad=0.9,
        ),
        Panel(
            "How near are containers to theirs?",
            (("{{instance}}", f"glimpse_container_memory_bytes{{{S}}} / glimpse_container_memory_limit_bytes{{{S}}}"),),
            "percentunit",
            "Nothing is shown where a container is not limited, or its control group is not of version 2.",
            bad=0.9,
        ),
        Panel(
            "What confines them?",
            (("{{layer}} of {{workers}}", f"min by (layer, workers) (glimpse_sandbox{{{S}}})"),),
            about="0 where some instance lacks the layer.",
            kind="stat",
            bad=1,
        ),
        Panel(
            "How many processors do gateways use?", (("{{instance}}", rate("process_cpu_seconds_total", "instance")),)
        ),
        Panel(
            "How many files do gateways hold open?",
            (("{{instance}}", f"process_open_fds{{{S}}} / process_max_fds{{{S}}}"),),
            "percentunit",
            bad=0.8,
        ),
        Panel(
            "Since when do they run?",
            (("{{instance}}", f"time() - process_start_time_seconds{{{S}}}"),),
            "s",
            kind="stat",
        ),
    ),
    "Triton (nothing where models run in the gateway)": (
        Panel(
            "Which calls are turned away?",
            (("{{target}}", f"max by (target) (glimpse_breaker_state{{{S}}})"),),
            about="0 calls go through, 1 one tries, 2 they are turned away. Nothing until a circuit has changed.",
            bad=2,
        ),
        Panel(
            "How many Tritons answer?",
            (("{{instance}} {{state}}", f"glimpse_triton_replicas{{{S}}}"),),
            about="Of those that the address stands for.",
        ),
        Panel(
            "How often is it asked again?",
            (("{{outcome}}", rate("glimpse_backend_retries_total", "outcome")),),
            "reqps",
        ),
        Panel(
            "How often does the local copy answer?",
            (("{{model}}: {{reason}}", rate("glimpse_fallbacks_total", "model", "reason")),),
            "reqps",
            "Nothing is shown until it has.",
        ),
        Panel(
            "How many requests does it answer?",
            (
                ("{{model}} answered", rate("nv_inference_request_success", "model", having=TRITON)),
                ("{{model}} failed", rate("nv_inference_request_failure", "model", having=TRITON)),
            ),
            "reqps",
        ),
        Panel("How many events are computed at once?", (("{{model}}", recorded("triton:batch_size:mean", TRITON)),)),
        Panel(
            "Do requests wait longer than they are computed?",
            (("{{model}}", recorded("triton:queue_compute:ratio", TRITON)),),
            about="Time in the queue for each second of computing.",
            warn=1,
            bad=2,
        ),
        Panel("How many wait?", (("{{model}}", recorded("triton:pending_requests:sum", TRITON)),), bad=32),
    ),
    "GPU (nothing where Triton has none)": (
        Panel("How busy are they?", (("{{gpu_uuid}}", f"nv_gpu_utilization{{{TRITON}}}"),), "percentunit"),
        Panel(
            "How full is their memory?",
            (("{{gpu_uuid}}", f"nv_gpu_memory_used_bytes{{{TRITON}}} / nv_gpu_memory_total_bytes{{{TRITON}}}"),),
            "percentunit",
            bad=0.95,
        ),
        Panel("How much power do they take?", (("{{gpu_uuid}}", f"nv_gpu_power_usage{{{TRITON}}}"),), "watt"),
    ),
}
