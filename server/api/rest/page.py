"""`/`: the page, and the files under `/web/` that it is made of."""

from __future__ import annotations

import hashlib
import importlib.resources
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

_PACKAGE, _FOLDER = "server", "web"
_INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Clips and pictures that the page itself holds are blobs; nothing may come from, or go to, anywhere else.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:;"
    " connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def router() -> APIRouter:
    """The page and its files. Browsers keep them, and ask by their hash whether they still hold."""
    routes = APIRouter(include_in_schema=False)
    files = dict(_files(importlib.resources.files(_PACKAGE) / _FOLDER))

    @routes.get("/")
    def page(request: Request) -> Response:
        return _answer(request, files, _INDEX)

    @routes.get("/web/{name:path}")
    def file(request: Request, name: str) -> Response:
        return _answer(request, files, name)

    return routes


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files(each, f"{prefix}{each.name}/")
        elif _type_of(each.name):
            yield prefix + each.name, each


def _type_of(name: str) -> str:
    return next((kind for ending, kind in _TYPES.items() if name.endswith(ending)), "")


def _answer(request: Request, files: Mapping[str, Traversable], name: str) -> Response:
    if name not in files:
        raise HTTPException(404)
    content = files[name].read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if name == _INDEX:
        headers["Content-Security-Policy"] = _POLICY
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=_type_of(name), headers=headers)
