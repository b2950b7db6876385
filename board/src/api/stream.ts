import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { API, ApiError } from './client';
import { Members, parseExact } from './json';
import { readValue, readValues, type Value } from './values';

export interface Beat {
  /** The service's clock, epoch milliseconds. */
  now: number;
  redis: boolean;
  lagMs: number;
}

/** A part of all current values of one KPI. */
export interface Part {
  kpi: string;
  first: boolean;
  last: boolean;
  values: Value[];
}

export interface Listener {
  opened(): void;
  /** The service's wish for how long to stay away after a connection has ended. */
  retry(milliseconds: number): void;
  snapshot(part: Part): void;
  value(value: Value): void;
  beat(beat: Beat): void;
}

/**
 * Reads the stream of values of these KPIs (of all where there are none) until it ends. `remember` is given
 * each event's id.
 *
 * With `after`, such an id, it goes on from there; what it repeats, `isNewer` sorts out. Throws
 * ApiError where the service refuses, TypeError where the connection breaks, AbortError when `signal` says so.
 */
export async function readStream(
  kpis: string[],
  after: string | null,
  signal: AbortSignal,
  listener: Listener,
  remember: (id: string) => void,
): Promise<void> {
  const query = new URLSearchParams(kpis.map((kpi) => ['kpi', kpi]));
  const headers: Record<string, string> = { accept: 'text/event-stream' };
  if (after !== null) headers['last-event-id'] = after;
  const answer = await fetch(`${API}/stream?${query.toString()}`, {
    headers,
    signal,
    cache: 'no-store',
    credentials: 'same-origin',
  });
  if (!answer.ok || !answer.body) throw new ApiError(answer.status, `The service answered ${answer.status}.`);
  listener.opened();
  const parser = createParser({
    onRetry: (milliseconds) => listener.retry(milliseconds),
    onEvent: (event) => {
      told(event, listener);
      if (event.id) remember(event.id);
    },
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parser.feed(value);
  }
}

function told(event: EventSourceMessage, listener: Listener): void {
  const json = parseExact(event.data);
  if (event.event === 'snapshot') {
    const part = new Members(json);
    listener.snapshot({
      kpi: part.text('kpi') ?? '',
      first: part.flag('first') ?? true,
      last: part.flag('last') ?? true,
      values: readValues(part.list('values')),
    });
  } else if (event.event === 'value') {
    const value = readValue(json);
    if (value) listener.value(value);
  } else if (event.event === 'beat') {
    listener.beat(readBeat(json));
  }
}

/** A lag that is null is not known: nothing is behind that anybody knows of. */
export function readBeat(json: unknown): Beat {
  const beat = new Members(json);
  return {
    now: beat.time('now') ?? Date.now(),
    redis: beat.flag('redis') ?? true,
    lagMs: beat.number('lag_ms') ?? 0,
  };
}
