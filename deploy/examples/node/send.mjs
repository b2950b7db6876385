// Sends orders to the source's topic with kafkajs.
//
//   npm ci
//   STREAMGAUGE_BROKERS=localhost:9092 node send.mjs
import { Kafka, logLevel, Partitioners } from "kafkajs";

const topic = "examples.orders";
const brokers = (process.env.STREAMGAUGE_BROKERS ?? "localhost:9092").split(",");
const kafka = new Kafka({ clientId: "shop", brokers, logLevel: logLevel.WARN });

// The partition of a key is the one that Kafka's own clients choose: all senders of a source have to agree on it,
// since an order that is sent twice is recognised within its partition.
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });

const orders = [1, 2, 3].map((number) => ({
  order_id: `node-${number}`,
  ordered_at: new Date().toISOString(),
  channel: "node",
  amount: "7.05", // as text: every digit arrives as it is
}));

await producer.connect();
try {
  // acks -1: acknowledged by every in-sync replica. A retry may write an order twice; with its identity it counts once.
  await producer.send({
    topic,
    acks: -1,
    messages: orders.map((order) => ({ key: order.order_id, value: JSON.stringify(order) })),
  });
  console.log(`sent ${orders.length} orders`);
} finally {
  await producer.disconnect();
}
