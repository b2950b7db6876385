"""Sends orders to the source's topic with aiokafka alone: STREAMGAUGE_BROKERS=localhost:9092 python send.py"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer

TOPIC = "examples.orders"


async def main() -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ.get("STREAMGAUGE_BROKERS", "localhost:9092"),
        enable_idempotence=True,  # with acks=all: acknowledged means kept, and retries make no duplicates
    )
    async with producer:
        for number in range(1, 6):
            await send(producer, order(number))
    print("sent 5 orders")


def order(number: int) -> dict[str, Any]:
    return {
        "order_id": f"python-{number}",
        "ordered_at": datetime.now(UTC).isoformat(),
        "channel": "python",
        "amount": "12.34",  # as text: every digit arrives as it is
    }


async def send(producer: AIOKafkaProducer, event: dict[str, Any]) -> None:
    # The key is the identity: sent again, the event goes to the same partition, where it is recognised.
    await producer.send_and_wait(TOPIC, json.dumps(event).encode(), key=event["order_id"].encode())


if __name__ == "__main__":
    asyncio.run(main())
