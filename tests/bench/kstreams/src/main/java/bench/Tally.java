package bench;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** How many orders and how many cents in all. */
record Tally(long count, long cents) {
  static final Tally NONE = new Tally(0, 0);

  Tally plus(Order order) {
    return new Tally(count + 1, cents + order.cents());
  }

  /** The sum with two fraction digits. */
  String sum() {
    long whole = Math.abs(cents);
    long rest = whole % 100;
    return (cents < 0 ? "-" : "") + whole / 100 + (rest < 10 ? ".0" : ".") + rest;
  }

  /** 16 bytes: count, cents. */
  static final class TallySerde implements Serde<Tally> {
    @Override
    public Serializer<Tally> serializer() {
      return (topic, tally) ->
          tally == null ? null : ByteBuffer.allocate(16).putLong(tally.count()).putLong(tally.cents()).array();
    }

    @Override
    public Deserializer<Tally> deserializer() {
      return (topic, bytes) -> {
        if (bytes == null) {
          return null;
        }
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        return new Tally(buffer.getLong(), buffer.getLong());
      };
    }
  }
}
