"""`POST /v1/render`: a report that a client has, in another form, without its clip."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from python_multipart.multipart import parse_options_header
from starlette.responses import Response

from server.api.gateway import Gateway, until
from server.api.rest import answers, openapi, upload
from server.api.rest.negotiate import choose, plain, with_columns
from server.api.rest.options import CsvParameters
from server.api.rest.problems import ProtocolError
from server.secrecy import wipe


def router() -> APIRouter:
    """The one route."""
    routes = APIRouter(tags=["inference"])

    @routes.post("/v1/render", summary="Draw or write a report anew", **openapi.RENDER)
    async def render(request: Request, query: Annotated[CsvParameters, Query()]) -> Response:
        """Send a report as JSON, get it as a picture or in another format. Nothing is analysed."""
        gateway: Gateway = request.state.gateway
        media_type = choose(",".join(request.headers.getlist("accept")), plain(gateway.renderers))
        chosen = with_columns(media_type, query.columns, gateway.renderers)
        sent, _ = parse_options_header(request.headers.get("content-type"))
        if sent != answers.JSON.encode():
            raise ProtocolError(415, f"send a report as {answers.JSON}", headers={"Accept-Post": answers.JSON})
        deadline = gateway.deadline(request.state.arrived)
        with gateway.admission.enter("render") as ticket:
            body = await upload.whole(request, gateway, ticket, deadline=deadline)
            try:
                form = await until(lambda: upload.gone(request), gateway.redraw(ticket, body, chosen, deadline))
            finally:
                # A report may hold pictures of a face.
                wipe(body)
        if form is None:
            raise upload.ClientGone("render")
        return Response(form, headers={"Vary": "Accept"}, media_type=media_type)

    return routes
