"""Every name that other programs and people may rely on, in one place: topics, headers, Redis keys, metrics.

``NAME`` in the comments is the catalog's name. The names are a promise: changing one breaks dashboards and readers.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

# --- Kafka -----------------------------------------------------------------------------------------------------------

DeadLetterHeader = Literal[
    "kpi.errors.topic",
    "kpi.errors.partition",
    "kpi.errors.offset",
    "kpi.errors.stage",
    "kpi.errors.reason",
    "kpi.errors.message",
]
DEAD_LETTER_HEADERS: Final[tuple[DeadLetterHeader, ...]] = (
    "kpi.errors.topic",
    "kpi.errors.partition",
    "kpi.errors.offset",
    "kpi.errors.stage",
    "kpi.errors.reason",
    "kpi.errors.message",
)


def dead_letter_topic(source_topic: str) -> str:
    return f"{source_topic}.dlq"


def partials_topic(name: str) -> str:
    return f"{name}.partials"


def values_topic(name: str) -> str:
    return f"{name}.values"


def definitions_topic(name: str) -> str:
    return f"{name}.definitions"


def alerts_topic(name: str) -> str:
    return f"{name}.alerts"


def silences_topic(name: str) -> str:
    """Silences made by command: key the silence's id, value its JSON object; compacted, one partition."""
    return f"{name}.silences"


def notifications_changelog(name: str) -> str:
    """What receivers were told, by ``<receiver>|<alert key>``."""
    return changelog_topic(name, "notifications")


def alerts_group(name: str) -> str:
    """The consumer group of those workers that could deliver: one of them does."""
    return f"{name}-alerts"


def changelog_topic(name: str, table: str) -> str:
    return f"{name}-{table}-changelog"


def consumer_group(name: str) -> str:
    """Consumer group and application id: two catalogs can run beside each other."""
    return name


# --- Redis -----------------------------------------------------------------------------------------------------------
# The braces are literal: a cluster hashes what is between them only, so all keys of a KPI share a slot.


def redis_prefix(name: str, kpi: str) -> str:
    """What the keys of one KPI begin with; the rest is one of the kinds below."""
    return f"kpi:{name}:{{{kpi}}}:"


def redis_key(name: str, kpi: str, kind: Literal["index", "rank", "newest", "updates"]) -> str:
    """A key of all series of a KPI together:

    - ``index``: sorted set, dims by window end in epoch milliseconds
    - ``rank``: sorted set, dims of the newest window by value; the folded rest (`__other__`) is not ranked
    - ``newest``: string, which window the rank is of, as the first two parts of the order of values
    - ``updates``: stream, capped, every change of any series; entries hold ``dims`` and ``json``
    """
    return f"{redis_prefix(name, kpi)}{kind}"


def redis_series_key(name: str, kpi: str, kind: Literal["current", "history"], dims: str) -> str:
    """A key of one series:

    - ``current``: hash, the fields of its newest value
    - ``history``: stream, capped, the values of past windows; entries hold ``order`` and ``json``
    """
    return f"{redis_prefix(name, kpi)}{kind}:{dims}"


def redis_alerts(name: str) -> str:
    """Hash: the alerts that are pending or firing, by their key in Kafka, with ``muted_by`` and ``silenced_by``."""
    return f"kpi:{name}:alerts"


def redis_silences(name: str) -> str:
    """Hash: the silences made by command that have not ended, by their id."""
    return f"kpi:{name}:silences"


# --- Prometheus ------------------------------------------------------------------------------------------------------

KPI_VALUE: Final = "streamgauge_kpi_value"
KPI_TARGET: Final = "streamgauge_kpi_target"
KPI_STATUS: Final = "streamgauge_kpi_status"
KPI_PACE: Final = "streamgauge_kpi_pace"
KPI_EXPECTED: Final = "streamgauge_kpi_expected"
KPI_FORECAST: Final = "streamgauge_kpi_forecast"
KPI_SAMPLES: Final = "streamgauge_kpi_samples"
KPI_REVISION: Final = "streamgauge_kpi_revision"
KPI_COMPARE_VALUE: Final = "streamgauge_kpi_compare_value"
KPI_COMPARE_CHANGE: Final = "streamgauge_kpi_compare_change"
KPI_WINDOW_END: Final = "streamgauge_kpi_window_end_timestamp_seconds"
KPI_WATERMARK: Final = "streamgauge_kpi_watermark_timestamp_seconds"
KPI_INFO: Final = "streamgauge_kpi_info"
KPI_LABEL: Final = "kpi"
CATALOG_LABEL: Final = "catalog"
STATUS_NUMBERS: Final[dict[str, str]] = {"ok": "0", "warning": "1", "critical": "2"}

RECORDED_SERIES: Final = "kpi:series"
RECORDED_FIRING: Final = "kpi:firing_value"


def recorded(metric: str) -> str:
    """A KPI's gauge as the generated rules record it, without what tells workers apart: ``kpi:value``."""
    return f"kpi:{metric.removeprefix('streamgauge_kpi_')}"


EventOutcome = Literal["accepted", "duplicate", "late", "invalid"]
EVENTS: Final = "streamgauge_events_total"
CONSUMER_LAG: Final = "streamgauge_consumer_lag_records"
WATERMARK_DELAY: Final = "streamgauge_watermark_delay_seconds"
BATCH_SECONDS: Final = "streamgauge_batch_seconds"
FLUSH_SECONDS: Final = "streamgauge_flush_seconds"
SERIES: Final = "streamgauge_series"
SERIES_FOLDED: Final = "streamgauge_series_folded_total"
SinkName = Literal["redis", "prometheus", "kafka"]
WriteOutcome = Literal["written", "failed", "dropped"]
ValueState = Literal["open", "closed", "revised"]
VALUE_STATES: Final[tuple[ValueState, ...]] = ("open", "closed", "revised")
VALUES: Final = "streamgauge_values_total"
SINK_WRITES: Final = "streamgauge_sink_writes_total"
SINK_QUEUE: Final = "streamgauge_sink_queue_rows"
BUILD_INFO: Final = "streamgauge_build_info"

ALERTS: Final = "streamgauge_alerts"
NotificationOutcome = Literal["sent", "failed", "dropped"]
NOTIFICATIONS: Final = "streamgauge_notifications_total"
NOTIFICATION_QUEUE: Final = "streamgauge_notification_queue"
NOTIFICATION_SUCCESS: Final = "streamgauge_notification_last_success_timestamp_seconds"

HTTP_REQUESTS: Final = "streamgauge_http_requests_total"
HTTP_SECONDS: Final = "streamgauge_http_request_seconds"
HTTP_STREAMS: Final = "streamgauge_http_streams"
BOARD_CONNECTED: Final = "streamgauge_board_redis_connected"
BOARD_LAG: Final = "streamgauge_board_lag_seconds"
GatewayOutcome = Literal["accepted", "refused", "failed"]
GATEWAY_EVENTS: Final = "streamgauge_gateway_events_total"

# --- Grafana ---------------------------------------------------------------------------------------------------------

DashboardKind = Literal["overview", "engine", "kpi"]
DASHBOARD_TAG: Final = "streamgauge-generated"
_UID_LENGTH: Final = 40  # Grafana takes no longer one


def dashboard_uid(kind: DashboardKind, catalog: str, kpi: str = "") -> str:
    """What a dashboard is found by, and the name of its file; at most 40 of a to z, 0 to 9, ``_`` and ``-``.

    Different names never share one, not even where upper and lower case are the same: a KPI's name has no ``-``, so
    the last one begins it; what is too long or has capitals ends in a hash, behind a kind of its own.
    """
    plain = f"sg-{kind}-{catalog}" + (f"-{kpi}" if kpi else "")
    if len(plain) <= _UID_LENGTH and plain.islower():
        return plain
    digits = hashlib.sha256(f"{kind}/{catalog}/{kpi}".encode()).hexdigest()[:20]
    return f"sg-x-{(kpi or catalog).lower()[:14]}-{digits}"


# --- HTTP ------------------------------------------------------------------------------------------------------------

METRICS_PATH: Final = "/metrics"
LIVE_PATH: Final = "/livez"
READY_PATH: Final = "/readyz"

API: Final = "/api/v1"
CATALOG_PATH: Final = f"{API}/catalog"
KPIS_PATH: Final = f"{API}/kpis"
KPI_PATH: Final = f"{API}/kpis/{{kpi}}"
VALUES_PATH: Final = f"{KPI_PATH}/values"
TOP_PATH: Final = f"{KPI_PATH}/top"
HISTORY_PATH: Final = f"{KPI_PATH}/history"
ALERTS_PATH: Final = f"{API}/alerts"
SILENCES_PATH: Final = f"{API}/silences"
SILENCE_PATH: Final = f"{SILENCES_PATH}/{{id}}"
FINDINGS_PATH: Final = f"{API}/findings"
STREAM_PATH: Final = f"{API}/stream"
SESSION_PATH: Final = f"{API}/session"
EVENTS_PATH: Final = f"{API}/events/{{source}}"
OPENAPI_PATH: Final = "/openapi.json"
PAGE_PATHS: Final = ("/", "/kpi/{rest:path}", "/wall", "/alerts")  # all one page, which reads the path itself

SESSION_COOKIE: Final = "streamgauge_session"
READ: Final = "read"
SILENCE: Final = "silence"


def send_right(source: str) -> str:
    """The right to send events to a source of the catalog."""
    return f"send:{source}"
