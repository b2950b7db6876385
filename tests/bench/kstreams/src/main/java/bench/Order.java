package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.processor.TimestampExtractor;

/** What the jobs need of an order: its time in epoch milliseconds and its amount in cents. */
record Order(long time, long cents) {
  private static final JsonFactory JSON = new JsonFactory();

  /** Reads the two members; what follows the second of them is not looked at. */
  static Order parse(byte[] json) {
    try (JsonParser parser = JSON.createParser(json)) {
      long time = 0;
      long cents = 0;
      int wanted = 2;
      parser.nextToken();
      while (wanted > 0) {
        String name = parser.nextFieldName();
        if (name == null) {
          throw new SerializationException("an order without ts or amount");
        }
        JsonToken token = parser.nextToken();
        switch (name) {
          case "ts" -> {
            time = parser.getLongValue();
            wanted--;
          }
          case "amount" -> {
            cents = cents(parser.getTextCharacters(), parser.getTextOffset(), parser.getTextLength());
            wanted--;
          }
          default -> {
            if (token.isStructStart()) {
              parser.skipChildren();
            }
          }
        }
      }
      return new Order(time, cents);
    } catch (IOException broken) {
      throw new SerializationException(broken);
    }
  }

  /** A plain decimal with at most two fraction digits, exactly. */
  private static long cents(char[] text, int start, int length) {
    long value = 0;
    int fraction = -1;
    boolean negative = false;
    for (int i = start; i < start + length; i++) {
      char c = text[i];
      if (c == '-') {
        negative = true;
      } else if (c == '.') {
        fraction = 0;
      } else if (c >= '0' && c <= '9') {
        value = value * 10 + (c - '0');
        if (fraction >= 0) {
          fraction++;
        }
      } else {
        throw new SerializationException("not a plain decimal: " + new String(text, start, length));
      }
    }
    for (int digits = Math.max(fraction, 0); digits < 2; digits++) {
      value *= 10;
    }
    return negative ? -value : value;
  }

  /** Orders are only read: nothing in the topology writes them anywhere. */
  static final class OrderSerde implements Serde<Order> {
    @Override
    public Serializer<Order> serializer() {
      return (topic, order) -> {
        throw new UnsupportedOperationException("orders are only read");
      };
    }

    @Override
    public Deserializer<Order> deserializer() {
      return (topic, bytes) -> bytes == null ? null : Order.parse(bytes);
    }
  }

  /** The order's own time, not the record's. */
  public static final class EventTime implements TimestampExtractor {
    @Override
    public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
      return record.value() instanceof Order order ? order.time() : partitionTime;
    }
  }
}
