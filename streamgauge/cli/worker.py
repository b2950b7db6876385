"""`streamgauge worker`: events in, values out."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.cli.failures import reaching_kafka, refused, unreachable, usage
from streamgauge.cli.loading import usable_catalog
from streamgauge.cli.options import (
    ALERTS,
    Alertmanagers,
    BoardUrl,
    CatalogPath,
    DataDir,
    GrafanaUrl,
    Host,
    ReceiversFile,
    duration,
    memory,
    option,
    with_connections,
)

if TYPE_CHECKING:
    from sinks.redis.connection import RedisAddress
    from streamgauge.settings import KafkaAddress

DEFAULT_DATA = Path(".streamgauge") / "worker"


class Store(StrEnum):
    """What a worker keeps of its changelogs: nothing, or copies on disk, so that a restart reads what came since."""

    MEMORY = "memory"
    ROCKSDB = "rocksdb"


def add_to(app: typer.Typer) -> None:
    app.command(
        "worker",
        epilog="Example: streamgauge worker retail.yaml --brokers localhost:9092 --redis redis://localhost:6379",
    )(worker)


@with_connections
def worker(
    catalog: CatalogPath,
    kafka: KafkaAddress,
    redis: RedisAddress | None = None,
    data_dir: DataDir = DEFAULT_DATA,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, option("port", "The port of /metrics, /livez and /readyz.", metavar="PORT", min=0, max=65535)
    ] = 9108,
    flush_interval: Annotated[
        float,
        option("flush-interval", "How often what was folded is made durable.", parser=duration, metavar="DURATION"),
    ] = "500ms",  # type: ignore[assignment]
    store: Annotated[
        Store,
        option(
            "store",
            "With rocksdb, copies of the changelogs in the data directory make restarts read less.",
            metavar="memory|rocksdb",
        ),
    ] = Store.MEMORY,
    dedupe_memory: Annotated[
        int,
        option(
            "dedupe-memory",
            "What ids for deduplication may take in memory, all partitions of the worker together; more of them go to "
            "files in the data directory.",
            parser=memory,
            metavar="SIZE",
        ),
    ] = "512MiB",  # type: ignore[assignment]
    receivers: ReceiversFile = None,
    alertmanager: Alertmanagers = None,
    board_url: BoardUrl = None,
    grafana_url: GrafanaUrl = None,
    alert_max_age: Annotated[
        float,
        option(
            "alert-max-age",
            "Nobody is told of an alert that is older than this by the clock, as in a replay.",
            parser=duration,
            metavar="DURATION",
            rich_help_panel=ALERTS,
        ),
    ] = "15m",  # type: ignore[assignment]
    alert_group_wait: Annotated[
        float,
        option(
            "alert-group-wait",
            "How long an alert waits that another one could mute.",
            parser=duration,
            metavar="DURATION",
            rich_help_panel=ALERTS,
        ),
    ] = "10s",  # type: ignore[assignment]
    roll_back_from: Annotated[
        str | None,
        option(
            "roll-back-from",
            "Go back to this catalog, which was in use before: ID is that of the one in use now, as the refusal says.",
            metavar="ID",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fold events into values: one worker of as many as there are partitions.

    Without --redis the values go to Kafka and Prometheus only. One worker of all tells receivers of alerts. Runs until
    SIGTERM or Ctrl-C; then flushes, commits and leaves within ten seconds.
    """
    from sinks.alerting.content import Links
    from sinks.errors import SinkError
    from streamgauge.catalog_files import CatalogUnreadable, catalog_texts
    from streamgauge.receivers import checked_address, open_receivers, read_receivers
    from streamgauge.settings import SettingsError
    from streams.alerting.decisions import Bounds
    from streams.alerting.following import AlertSettings
    from streams.worker import REFUSALS, WorkerSettings, run_worker

    def as_it_is_now() -> list[tuple[str, str]]:
        try:
            return catalog_texts(catalog)
        except CatalogUnreadable:  # changed all the same
            return []

    if store is Store.ROCKSDB and find_spec("rocksdict") is None:
        raise usage("--store rocksdb needs rocksdict, which is not installed: pip install 'streamgauge[rocksdb]'")
    found = usable_catalog(catalog)
    try:
        alerts = AlertSettings(
            open_receivers(read_receivers(receivers, alertmanager or ())),
            Links(found.name, checked_address("board-url", board_url), checked_address("grafana-url", grafana_url)),
            Bounds(max_age_us=round(alert_max_age * 1_000_000), group_wait_us=round(alert_group_wait * 1_000_000)),
        )
    except SettingsError as error:
        raise usage(str(error)) from error
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage(f"--data-dir {data_dir}: {error.strerror or error}") from error
    settings = WorkerSettings(
        catalog=found,
        files=catalog_texts(catalog),
        reread=as_it_is_now,
        brokers=kafka.brokers,
        security=kafka.security,
        redis=redis,
        data_dir=data_dir,
        host=host,
        port=port,
        flush_interval=flush_interval,
        local_copies=store is Store.ROCKSDB,
        dedupe_memory_bytes=dedupe_memory,
        alerts=alerts,
        roll_back_from=roll_back_from,
    )
    with reaching_kafka(kafka):
        try:
            run_worker(settings)
        except SinkError as error:
            raise unreachable(str(error)) from error
        except REFUSALS as error:
            raise refused(str(error)) from error
