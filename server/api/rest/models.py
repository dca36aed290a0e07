"""`GET /v1/models`: what can be asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, TypeAdapter
from starlette.responses import Response

from server.api.gateway import Gateway
from server.api.rest import answers, openapi
from server.types import ModelInfo


class ModelList(BaseModel):
    """Every model, by name; `default` is that of requests which name none."""

    models: list[ModelInfo]
    default: str


_LIST: TypeAdapter[ModelList] = TypeAdapter(ModelList)
_ONE: TypeAdapter[ModelInfo] = TypeAdapter(ModelInfo)


def router() -> APIRouter:
    """The two routes about models."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models", summary="All models, servable or not", **openapi.MODELS)
    async def models(request: Request) -> Response:
        """A model that is not servable is listed with the reason."""
        gateway: Gateway = request.state.gateway
        models = list(await gateway.analyzer.models())
        listed = ModelList.model_construct(models=models, default=gateway.facts.default_model)
        return Response(_LIST.dump_json(listed), media_type=answers.JSON)

    @routes.get("/v1/models/{name}", summary="One model with its contract and card", **openapi.MODEL)
    async def model(request: Request, name: Annotated[str, Path(max_length=256)]) -> Response:
        """Versions, recipe, labels, contract and model card."""
        gateway: Gateway = request.state.gateway
        return Response(_ONE.dump_json(await gateway.analyzer.model(name)), media_type=answers.JSON)

    return routes
