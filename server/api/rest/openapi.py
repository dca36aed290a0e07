"""The OpenAPI 3.1 document where the framework cannot know it: bodies read by hand, representations, problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from server.api.rest import problems
from server.api.rest.options import AnalyzeParameters, ModelParameters
from server.types import Classification, ModelInfo, Report


class Problem(BaseModel):
    """A problem document (RFC 9457); a problem may have further members, such as `option`, `setting` or `limit`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Address of the explanation, relative to this service.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable name of the problem.")
    stage: str = Field(description="Part of the analysis that noticed, or nothing.")
    request_id: str = Field(description="Also in the header X-Request-ID and in the log.")
    retryable: bool = Field(description="Whether the same request may succeed later.")


class Health(BaseModel):
    """The process answers."""

    status: str


class Ready(BaseModel):
    """Whether a request would be answered now, else why not."""

    ready: bool
    reasons: list[str]


_BINARY = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
_TEXTS = {
    "text/csv": {"schema": {"type": "string", "description": "The events, in the columns that `columns` chooses."}},
    "text/x-eaf+xml": {"schema": {"type": "string", "description": "ELAN Annotation Format 3.0."}},
    "application/x-ndjson": {"schema": {"type": "string", "description": "The events as JSON, one a line."}},
}
_PICTURES = ("image/png", "image/svg+xml", "application/pdf")
_HEADERS = {
    "X-Request-ID": {"description": "The id of this request: the caller's or a new one.", "schema": {"type": "string"}},
    "Glimpse-Model": {"description": "Model, version and backend that answered.", "schema": {"type": "string"}},
    "Server-Timing": {"description": "Milliseconds per stage.", "schema": {"type": "string"}},
}
_MODEL_EXAMPLE = {"name": "glimpse_flow", "version": "1", "recipe": "flow_uvs_28", "backend": "local"}
_ANSWER_EXAMPLE = {
    "label": "positive",
    "probabilities": {"negative": 0.08, "positive": 0.86, "surprise": 0.06},
    "confidence": 0.86,
    "abstained": False,
    "action_units": [{"au": 12, "intensity": 0.4, "side": "both", "confidence": 0.97}],
    "evidence": {"grade": "good", "reasons": []},
}
_REPORT_EXAMPLE = {
    "id": "6f1c2c0e8f7d4f0d9f0a6b6a1d6a3b52",
    "clip": {"duration_s": 2.0, "frames": 200, "fps": 100.0, "width": 640, "height": 480, "codec": "h264"},
    "faces": [],
    "events": [
        {
            "track_id": 1,
            "kind": "micro",
            "onset_s": 0.8,
            "apex_s": 0.96,
            "offset_s": 1.18,
            "onset_frame": 80,
            "apex_frame": 96,
            "offset_frame": 118,
            "regions": ["mouth_corner_left", "mouth_corner_right"],
            **_ANSWER_EXAMPLE,
        }
    ],
    "model": _MODEL_EXAMPLE,
    "timings_ms": {"decode": 96.0, "inference": 1.2},
    "warnings": [],
}
_CLASSIFICATION_EXAMPLE = {
    "id": "6f1c2c0e8f7d4f0d9f0a6b6a1d6a3b52",
    **_ANSWER_EXAMPLE,
    "model": _MODEL_EXAMPLE,
    "timings_ms": {"inference": 1.2},
    "warnings": [],
}


def _problem_responses(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    by_status: dict[int, list[problems.Explanation]] = defaultdict(list)
    for row in problems.explanations().values():
        by_status[row.status].append(row)
    return {
        status: {
            "description": "; ".join(row.title for row in by_status[status]),
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def _form(files: dict[str, str], parameters: type[ModelParameters]) -> dict[str, Any]:
    """The schema of a multipart body: its files, and the options as text fields."""
    properties: dict[str, Any] = {name: {**_BINARY, "description": text} for name, text in files.items()}
    for name, schema in parameters.model_json_schema()["properties"].items():
        choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
        properties[name] = {**choices[0], "description": schema["description"]}
    return {"type": "object", "properties": properties, "required": list(files), "additionalProperties": False}


def _body(form: dict[str, Any], *alone: str) -> dict[str, Any]:
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    content.update((media_type, {"schema": _BINARY}) for media_type in alone)
    return {"requestBody": {"required": True, "content": content}}


def _answer(model: type[Any], example: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "model": model,
        "description": "The answer.",
        "headers": _HEADERS,
        "content": {"application/json": {"example": example}, **(others or {})},
    }


ANALYZE: dict[str, Any] = {
    "responses": {
        200: _answer(
            Report,
            _REPORT_EXAMPLE,
            {
                **_TEXTS,
                **{kind: {"schema": _BINARY} for kind in (*_PICTURES, "video/mp4")},
                "text/event-stream": {
                    "schema": {"type": "string", "description": "Events `progress`, then one `report` or `problem`."},
                    "example": 'event: progress\ndata: {"stage": "decode", "done": 50, "total": 200}\n\n',
                },
            },
        ),
        **_problem_responses((400, 401, 403, 404, 406, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504)),
    },
    "openapi_extra": _body(
        _form({"clip": "The video file."}, AnalyzeParameters), "video/mp4", "video/*", "application/octet-stream"
    ),
}
RENDER: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The report in the form that was asked for.",
            "content": {
                **_TEXTS,
                **{kind: {"schema": _BINARY} for kind in _PICTURES},
            },
        },
        **_problem_responses((401, 403, 406, 408, 413, 415, 422, 429, 500, 503, 504)),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Report"}}},
        }
    },
}
CLASSIFY: dict[str, Any] = {
    "responses": {
        200: _answer(Classification, _CLASSIFICATION_EXAMPLE),
        **_problem_responses((400, 401, 403, 404, 406, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504)),
    },
    "openapi_extra": _body(
        _form({"onset": "The face at rest, a picture file.", "apex": "The same face at the height."}, ModelParameters)
    ),
}
LIVE: dict[str, Any] = {
    "status_code": 426,
    "responses": {
        426: {**_problem_responses((426,))[426], "headers": {"Upgrade": {"schema": {"type": "string"}}}},
    },
}
MODELS: dict[str, Any] = {
    "responses": {200: {"description": "All models."}, **_problem_responses((401, 403, 429, 500, 502, 503))}
}
MODEL: dict[str, Any] = {
    "responses": {
        200: {"model": ModelInfo, "description": "The model."},
        **_problem_responses((401, 403, 404, 422, 429, 500, 502, 503)),
    }
}
LIVEZ: dict[str, Any] = {"responses": {200: {"model": Health, "description": "The process answers."}}}
READYZ: dict[str, Any] = {
    "responses": {
        200: {"model": Ready, "description": "Ready."},
        503: {"model": Ready, "description": "Not ready, with the reasons."},
    }
}
METRICS: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The metrics.",
            "content": {
                kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")
            },
        },
        **_problem_responses((401, 403, 429, 503)),
    }
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the issuer (JWT)."},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}


def describe(app: FastAPI, *, open_to_all: Callable[[str], bool]) -> None:
    """Make `app` publish the document with the problem schema in it, and how to say who asks where one must."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            )
            schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
            _secure(schema, open_to_all)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _secure(schema: dict[str, Any], open_to_all: Callable[[str], bool]) -> None:
    closed = [operations for path, operations in schema["paths"].items() if not open_to_all(path)]
    if not closed:
        return
    schema["components"]["securitySchemes"] = _SCHEMES
    for operations in closed:
        for operation in operations.values():
            operation["security"] = [{name: []} for name in _SCHEMES]
