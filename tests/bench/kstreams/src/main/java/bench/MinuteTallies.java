package bench;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Orders in event-time windows of a minute by record key, each window written once, when it is final, 5 s after its end.
 *
 * <p>{@code java -cp bench-kstreams.jar bench.MinuteTallies region} (count, sum and average per region) or {@code
 * customer} (count and sum per customer). From the environment: BROKERS, TOPIC, OUT, GROUP, STATE_DIR, THREADS, COMMIT_MS, CACHE_MB,
 * STORE (memory or rocksdb), KEEP_MINUTES, SETTINGS ("name=value;name=value", any of Kafka Streams).
 */
public final class MinuteTallies {
  private static final Duration SIZE = Duration.ofMinutes(1);
  private static final Duration GRACE = Duration.ofSeconds(5);
  private static final Duration RETENTION = Duration.ofMinutes(Long.parseLong(setting("KEEP_MINUTES", "10")));

  private MinuteTallies() {}

  public static void main(String[] arguments) throws InterruptedException {
    String by = arguments.length == 1 ? arguments[0] : "region";
    KafkaStreams streams = new KafkaStreams(topology(by), properties());
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        failure -> {
          failure.printStackTrace();
          ended.countDown();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    ended.await();
    System.exit(1);
  }

  private static Topology topology(String by) {
    StreamsBuilder builder = new StreamsBuilder();
    // Keys stay bytes: the same bytes are the record's, the store's and the changelog's.
    TimeWindowedKStream<Bytes, Order> windows =
        builder.stream(
                setting("TOPIC", "orders"),
                Consumed.with(Serdes.Bytes(), new Order.OrderSerde()).withTimestampExtractor(new Order.EventTime()))
            .groupByKey(Grouped.with(Serdes.Bytes(), new Order.OrderSerde()))
            .windowedBy(TimeWindows.ofSizeAndGrace(SIZE, GRACE));
    KTable<Windowed<Bytes>, Tally> tallies =
        windows
            .aggregate(() -> Tally.NONE, (key, order, tally) -> tally.plus(order), stored())
            // Emitting on window close instead leaves the last windows unwritten until further orders come.
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
    boolean perRegion = by.equals("region");
    tallies.toStream()
        .map((window, tally) -> KeyValue.pair(window.key(), json(perRegion, text(window.key()), window.window().start(), tally)))
        .to(setting("OUT", "orders.out"), Produced.with(Serdes.Bytes(), Serdes.String()));
    return builder.build(properties());
  }

  private static Materialized<Bytes, Tally, WindowStore<Bytes, byte[]>> stored() {
    Materialized<Bytes, Tally, WindowStore<Bytes, byte[]>> store =
        setting("STORE", "memory").equals("memory")
            ? Materialized.as(Stores.inMemoryWindowStore("tallies", RETENTION, SIZE, false))
            : Materialized.as(Stores.persistentWindowStore("tallies", RETENTION, SIZE, false));
    return store.withKeySerde(Serdes.Bytes()).withValueSerde(new Tally.TallySerde());
  }

  private static String text(Bytes key) {
    return new String(key.get(), StandardCharsets.UTF_8);
  }

  private static String json(boolean perRegion, String key, long start, Tally tally) {
    String rest = ",\"window_start\":" + start + ",\"count\":" + tally.count() + ",\"sum\":" + tally.sum();
    if (perRegion) {
      return "{\"region\":\"" + key + "\"" + rest + ",\"avg\":" + tally.cents() / 100.0 / tally.count() + "}";
    }
    return "{\"customer_id\":" + key + rest + "}";
  }

  private static Properties properties() {
    Map<String, Object> settings = new TreeMap<>();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("GROUP", "bench-kstreams"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("BROKERS", "localhost:9092"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, setting("THREADS", "2"));
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, setting("COMMIT_MS", "1000"));
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
    settings.put(StreamsConfig.STATE_DIR_CONFIG, setting("STATE_DIR", "state"));
    settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
    settings.put(
        StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.toString(Long.parseLong(setting("CACHE_MB", "10")) << 20));
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    settings.put(StreamsConfig.consumerPrefix("max.poll.records"), "5000");
    for (String pair : setting("SETTINGS", "").split(";")) {
      int equals = pair.indexOf('=');
      if (equals > 0) {
        settings.put(pair.substring(0, equals), pair.substring(equals + 1));
      }
    }
    Properties properties = new Properties();
    properties.putAll(settings);
    return properties;
  }

  private static String setting(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }
}
