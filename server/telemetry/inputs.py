"""The metrics of what comes in: how clips and the faces in them look, in numbers that belong to nobody.

A model that answers worse than it did has often been given something else than before: another camera, another codec,
smaller faces. These distributions show it.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

from server.types import Report

_FPS = (10, 15, 20, 24, 26, 31, 51, 61, 101, 121, 201, 241)
_CLIP_S = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_IOD_PX = (20, 35, 60, 80, 100, 130, 170, 220, 300)
_SHARPNESS = (1, 3, 8, 20, 50, 100, 200, 500, 1000)


class InputMetrics:
    """Distributions over clips and over the faces in them.

    The bounds of the evidence (`server.faces.quality`: 25 and 50 frames per second, 35 and 60 px, sharpness 3 and 8)
    lie on bounds of buckets, but for rates, which cameras hardly meet exactly.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._fps = Histogram("glimpse_clip_fps", "Frames per second of a clip.", buckets=_FPS, registry=registry)
        self._seconds = Histogram("glimpse_clip_seconds", "Length of a clip.", buckets=_CLIP_S, registry=registry)
        self._iod = Histogram(
            "glimpse_face_iod_pixels",
            "Distance of the eye centres of a face, median over its clip.",
            buckets=_IOD_PX,
            registry=registry,
        )
        self._sharpness = Histogram(
            "glimpse_face_sharpness",
            "Variance of the Laplacian of an aligned face in grey levels, median over its clip.",
            buckets=_SHARPNESS,
            registry=registry,
        )

    def observe(self, report: Report) -> None:
        """One clip was answered. What a minimal report leaves out is not counted either."""
        self._fps.observe(report.clip.fps)
        self._seconds.observe(report.clip.duration_s)
        for quality in (face.quality for face in report.faces):
            if quality is not None:
                self._iod.observe(quality.iod_px)
                self._sharpness.observe(quality.sharpness)
