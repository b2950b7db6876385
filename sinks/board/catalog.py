"""The routes of what the catalog says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from sinks.board import shapes
from sinks.board.alerts import active_alerts
from sinks.board.answers import answer, encode, next_link
from sinks.board.facts import CatalogFacts, findings
from sinks.board.judging import Judgement
from sinks.board.mirror import Mirror
from sinks.board.problems import ProblemError
from sinks.board.queries import KpiName, dimensions_of
from sinks.names import CATALOG_PATH, FINDINGS_PATH, KPI_PATH, KPIS_PATH

_MOST_KPIS: Final = 1_000  # on a page
_MOST_KPIS_EVER: Final = 1_000_000


def catalog_routes(facts: CatalogFacts, mirror: Mirror, judgement: Judgement) -> APIRouter:
    router = APIRouter(tags=["catalog"])

    def series(kpi: str) -> int:
        return len(mirror.kpis[kpi].series)

    @router.get(
        CATALOG_PATH,
        summary="The catalog that this process was started with",
        responses={200: {"model": shapes.Catalog}},
    )
    async def catalog(request: Request) -> Response:
        dimensions_of(request)
        return answer(request, encode(facts.about()))

    @router.get(KPIS_PATH, summary="The KPIs, in the order of the catalog", responses={200: {"model": shapes.Kpis}})
    async def kpis(
        request: Request,
        goal: str | None = None,
        owner: str | None = None,
        category: str | None = None,
        indicator: str | None = None,
        limit: Annotated[int, Query(ge=1, le=_MOST_KPIS)] = 100,
        cursor: Annotated[
            int | None, Query(ge=0, le=_MOST_KPIS_EVER, description="Where to go on: `next` of the page before.")
        ] = None,
    ) -> Response:
        dimensions_of(request)
        asked = {"goal": goal, "owner": owner, "category": category, "indicator": indicator}
        found = [
            name
            for name, kpi in facts.catalog.kpis.items()
            if all(text is None or getattr(kpi, key) == text for key, text in asked.items())
        ]
        start = cursor or 0
        page = found[start : start + limit]
        next_ = str(start + limit) if start + limit < len(found) else None
        now = datetime.now(UTC)
        body = encode({"kpis": [facts.listed(name, series(name), now) for name in page], "next": next_})
        return answer(request, body, headers=next_link(request, next_))

    @router.get(
        KPI_PATH,
        summary="A KPI: what it says in plain words, and its part of the catalog",
        responses={200: {"model": shapes.Described}},
    )
    async def kpi(request: Request, kpi: KpiName) -> Response:
        if kpi not in facts.kpis:
            raise ProblemError(404, f"there is no KPI {kpi!r}; {KPIS_PATH} lists them")
        dimensions_of(request)
        try:
            active = [alert for alert in await active_alerts(mirror) if alert.get("kpi") == kpi]
        except ProblemError:  # the rest is known all the same
            active = None
        now = datetime.now(UTC)
        described = facts.described(kpi, series(kpi), now, active, await judgement.verdict(now))
        return answer(request, encode(described))

    @router.get(FINDINGS_PATH, summary="Advice on the catalog", responses={200: {"model": shapes.Findings}})
    async def advice(request: Request) -> Response:
        dimensions_of(request)
        return answer(request, encode(findings(await judgement.verdict(datetime.now(UTC)))))

    return router
