"""How the server is, what it serves, and what it has counted."""

from __future__ import annotations

from fastapi import APIRouter, Response

import rankloom
from rankloom.serving import schemas
from rankloom.serving.problems import problem
from rankloom.serving.routes.parts import ServerOf, problems
from rankloom.serving.service import uses

router = APIRouter()


@router.get("/health")
async def health() -> schemas.Status:
    """Whether the process answers."""
    return schemas.Status(status="ok", version=rankloom.__version__)


@router.get("/ready", response_model=schemas.Status, responses=problems(503))
async def ready(server: ServerOf) -> Response | schemas.Status:
    """Whether requests are welcome: models are loaded, and the server is not about to end."""
    if not server.ready:
        return problem(503, "the server is about to end", stage="serve")
    live = server.service.live
    return schemas.Status(status="ready", version=rankloom.__version__, documents=None if live is None else len(live))


@router.get("/v1/pipelines", responses=problems())
async def pipelines(server: ServerOf) -> list[schemas.PipelineModel]:
    """The pipelines that are served, and what each is for."""
    return [
        schemas.PipelineModel(
            name=name, uses=list(uses(batcher)), stages=[stage.name for stage in batcher.plan.pipeline.stages]
        )
        for name, batcher in server.service.batchers.items()
    ]


@router.get(
    "/metrics",
    response_class=Response,
    responses=problems() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(server: ServerOf) -> Response:
    """Counters and histograms, as Prometheus reads them."""
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/v1/reload", responses=problems())
async def reload(server: ServerOf) -> schemas.Status:
    """Read the configuration file again; requests under way go on by the old one."""
    await server.reload()
    return schemas.Status(status="reloaded", version=rankloom.__version__)
