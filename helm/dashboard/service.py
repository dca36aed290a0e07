"""Rows on requests: whether they are answered, how quickly, and what holds them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helm.dashboard.panel import Panel, S, quantile, rate, recorded

_FAILED, _ALL = (
    f"sum_over_time(job:{name}:rate5m{{{S}}}[30d])" for name in ("glimpse_requests_failed", "glimpse_requests")
)

ROWS: Mapping[str, Sequence[Panel]] = {
    "Is it up?": (
        Panel(
            "How many instances run?",
            (("{{version}}", f"count by (version) (glimpse_build_info{{{S}}})"),),
            kind="stat",
            wide=4,
        ),
        Panel(
            "Do the models answer?",
            (("least of all instances", f"min(glimpse_backend_up{{{S}}})"),),
            about="1 where every instance's last probe, a real inference, was answered.",
            kind="stat",
            bad=1,
            wide=4,
        ),
        Panel(
            "How many alerts fire?",
            (("firing", 'count(ALERTS{alertname=~"Glimpse.*", alertstate="firing"}) or vector(0)'),),
            kind="stat",
            warn=1,
            bad=3,
            wide=4,
        ),
        Panel(
            "How much of the error budget is left?",
            (
                (
                    "of 30 days",
                    f"1 - {_FAILED} / ({_ALL} > 0) / 0.005",
                ),
            ),
            "percentunit",
            "0.5 % of the requests for work may fail.",
            kind="stat",
            bad=0,
            wide=4,
        ),
        Panel(
            "When does the certificate end?",
            (("first of all instances", f"min(glimpse_certificate_expiry_timestamp_seconds{{{S}}}) - time()"),),
            "s",
            "Nothing is shown where the service does not encrypt.",
            kind="stat",
            bad=14 * 86400,
            wide=4,
        ),
        Panel(
            "Can new keys and certificates be used?",
            (("{{what}}", f"min by (what) (glimpse_reload_successful{{{S}}})"),),
            about="0 where what was read last is wrong, and the one before it serves on. Nothing until something was.",
            kind="stat",
            bad=1,
            wide=4,
        ),
        Panel(
            "What is asked for, and how is it answered?",
            (("{{route}} {{status}}", rate("glimpse_requests_total", "route", "status")),),
            "reqps",
        ),
        Panel(
            "How much of the work fails?",
            (("{{job}}", recorded("job:glimpse_request_errors:ratio_rate5m")),),
            "percentunit",
            "Probes, documents and metrics are no work; refusals are no failures.",
            bad=0.005,
        ),
        Panel(
            "How often are keys and certificates read anew?",
            (("{{what}} {{outcome}}", rate("glimpse_reloads_total", "what", "outcome")),),
            "ops",
            "Nothing is shown until they were.",
        ),
        Panel(
            "How many spans of traces are lost?",
            (("{{reason}}", rate("glimpse_trace_spans_dropped_total", "reason")),),
            "ops",
            "Nothing is shown where no traces are sent.",
        ),
        Panel(
            "Who asks?",
            (
                (
                    "{{caller}} {{outcome}}",
                    f"topk(10, {rate('glimpse_requests_by_caller_total', 'caller', 'outcome')})",
                ),
            ),
            "reqps",
        ),
    ),
    "Is it slow?": (
        Panel(
            "How long do requests take?",
            tuple(
                (f"{{{{route}}}} p{share}", recorded(f"route:glimpse_request_seconds:p{share}_5m"))
                for share in (50, 95, 99)
            ),
            "s",
            "From the first byte to the last of the answer; live streams as long as they last.",
            bad=30,
        ),
        Panel(
            "How long do they wait?",
            (("for a {{kind}}, p99", recorded("kind:glimpse_wait_seconds:p99_5m")),),
            "s",
            "request: from the end of the upload to admission; worker: from there to a worker.",
            warn=5,
        ),
        Panel(
            "How long is a second of video worked on?",
            (("{{job}}", recorded("job:glimpse_seconds_per_clip_second:ratio_rate5m")),),
            "s",
            "Independent of how long clips are, unlike the times of requests.",
        ),
    ),
    "Where does the time go?": (
        Panel(
            "Which stage takes how much of it?",
            (("{{stage}}", recorded("stage:glimpse_stage_seconds:share5m")),),
            "percentunit",
            stacked=True,
        ),
        Panel(
            "How long does the backend take?",
            (("{{model}} on {{backend}}, p95", quantile(0.95, "glimpse_inference_seconds", "model", "backend")),),
            "s",
        ),
        Panel(
            "Which calls of the backend fail?",
            (("{{model}} {{code}}", rate("glimpse_inference_errors_total", "model", "code")),),
            "reqps",
            "Nothing is shown until one has failed.",
        ),
    ),
    "Is it saturated?": (
        Panel(
            "How full are the queues?",
            (("for a {{kind}}", f"max by (kind) (glimpse_queue_depth{{{S}}} / glimpse_queue_limit{{{S}}})"),),
            "percentunit",
            "The fullest of all instances. At 100 % the next request is refused.",
            warn=0.5,
            bad=0.8,
        ),
        Panel("What is worked on?", (("{{kind}}", f"sum by (kind) (glimpse_inflight{{{S}}})"),)),
        Panel("What is refused, and why?", (("{{reason}}", rate("glimpse_rejected_total", "reason")),), "reqps"),
        Panel(
            "Who leaves before the answer?", (("during {{kind}}", rate("glimpse_cancelled_total", "kind")),), "reqps"
        ),
        Panel(
            "How large are uploads?",
            tuple(
                (f"{{{{kind}}}} p{share}", quantile(share / 100, "glimpse_upload_bytes", "kind")) for share in (50, 95)
            ),
            "bytes",
        ),
        Panel(
            "How late is the event loop?",
            (("{{instance}}, p99", recorded("instance:glimpse_loop_lag_seconds:p99_5m")),),
            "s",
            "What holds it up holds up every request.",
            bad=0.25,
        ),
    ),
    "Live": (
        Panel(
            "How many streams are open?",
            (
                ("open", f"sum(glimpse_live_streams{{{S}}})"),
                ("at most", f"sum(glimpse_live_streams_limit{{{S}}})"),
            ),
        ),
        Panel(
            "What becomes of their frames?",
            (("{{outcome}}", rate("glimpse_live_frames_total", "outcome")),),
            "ops",
            stacked=True,
        ),
        Panel(
            "How many are dropped?",
            (("{{job}}", recorded("job:glimpse_live_frames_dropped:ratio_rate5m")),),
            "percentunit",
            bad=0.05,
        ),
        Panel(
            "How late are the answers?",
            tuple((f"p{share}", recorded(f"job:glimpse_live_lag_seconds:p{share}_5m")) for share in (50, 95, 99)),
            "s",
            bad=0.5,
        ),
    ),
}
