"""Rows on what is seen, and whether it is still what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helm.dashboard.panel import Panel, S, hour_and_week, quantile, rate, recorded

ROWS: Mapping[str, Sequence[Panel]] = {
    "What does it see?": (
        Panel(
            "Which events?",
            (("{{label}} ({{kind}})", rate("glimpse_events_total", "label", "kind")),),
            "ops",
            stacked=True,
        ),
        Panel(
            "How sure is it?",
            tuple(
                (f"{{{{model}}}} p{share}", quantile(share / 100, "glimpse_confidence", "model")) for share in (10, 50)
            ),
            "percentunit",
        ),
        Panel(
            "How many answers does it withhold?",
            (("{{model}}", rate("glimpse_abstained_total", "model")),),
            "ops",
        ),
        Panel(
            "How good is the evidence?", (("{{grade}}", rate("glimpse_evidence_total", "grade")),), "ops", stacked=True
        ),
        Panel(
            "How many faces has a clip?",
            (
                (
                    "mean",
                    f"{rate('glimpse_faces_per_clip_sum', 'job')} / {rate('glimpse_faces_per_clip_count', 'job')}",
                ),
            ),
        ),
        Panel(
            "How long are clips?",
            (("p50", quantile(0.5, "glimpse_clip_seconds")), ("p95", quantile(0.95, "glimpse_clip_seconds"))),
            "s",
        ),
    ),
    "Has it drifted?": (
        Panel(
            "How far are the labels from those of the week?",
            (("{{model}}", recorded("model:glimpse_label_share:distance1h")),),
            "percentunit",
            "Total variation distance of the shares of the hour and of the week. Fewer than 50 events say nothing.",
            bad=0.25,
        ),
        Panel("Which share has each label?", hour_and_week("label:glimpse_events:share", "{{label}}"), "percentunit"),
        Panel(
            "Is it as sure as in the week?", hour_and_week("model:glimpse_confidence:mean", "{{model}}"), "percentunit"
        ),
        Panel("Does it withhold as much?", hour_and_week("model:glimpse_abstained:ratio", "{{model}}"), "percentunit"),
        Panel("Is the evidence as good?", hour_and_week("grade:glimpse_evidence:share", "{{grade}}"), "percentunit"),
        Panel(
            "How large are the faces?",
            (
                ("p10", quantile(0.1, "glimpse_face_iod_pixels", over="1h")),
                ("p50", quantile(0.5, "glimpse_face_iod_pixels", over="1h")),
            ),
            "px",
            "Distance of the eye centres. Evidence is fair below 60 and poor below 35.",
        ),
        Panel(
            "How sharp are they?",
            (
                ("p10", quantile(0.1, "glimpse_face_sharpness", over="1h")),
                ("p50", quantile(0.5, "glimpse_face_sharpness", over="1h")),
            ),
            about="Variance of the Laplacian. Evidence is fair below 8 and poor below 3.",
        ),
        Panel(
            "How fast are the cameras?",
            (
                ("p10", quantile(0.1, "glimpse_clip_fps", over="1h")),
                ("p50", quantile(0.5, "glimpse_clip_fps", over="1h")),
            ),
            about="Frames per second of clips. Evidence is fair below 50 and poor below 25.",
        ),
        Panel(
            "Does the shadow model agree?",
            (("{{shadow}} {{outcome}}", rate("glimpse_shadow_events_total", "shadow", "outcome")),),
            "ops",
            "Nothing is shown without a shadow model.",
            stacked=True,
        ),
        Panel(
            "How far off is it?",
            (("{{shadow}}, p95", quantile(0.95, "glimpse_shadow_distance", "shadow")),),
            "percentunit",
        ),
        Panel("Can it be asked?", (("{{shadow}}", f"min by (shadow) (glimpse_shadow_up{{{S}}})"),), kind="stat", bad=1),
    ),
}
