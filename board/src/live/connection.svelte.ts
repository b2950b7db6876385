import { ApiError } from '../api/client';
import { readStream, type Listener, type Part } from '../api/stream';
import type { Value } from '../api/values';
import { clock } from '../view/clock.svelte';
import { condition, retryAfter, SILENT_AFTER_MS, type Condition, type Signs } from './condition';
import type { Values } from './values.svelte';

const ASKED_MS = 1_000;
/** A page that nobody looks at gives its connection back after so long. */
const HIDDEN_MS = 60_000;

/**
 * The connection that feeds `values`. It comes back by itself: after an error, after silence, when the network or the
 * reader returns, and then goes on after the last event it saw.
 */
export class Connection {
  /** Judged once a second, and at every sign. */
  condition = $state<Condition>('connecting');
  /** When the values were current last, by the service's clock; null before the first beat. */
  lastBeat = $state<number | null>(null);
  lagMs = $state(0);
  /** Local time of the next attempt; null while there is a connection. */
  nextAttempt = $state<number | null>(null);

  private readonly values: Values;
  private readonly reconnected: () => void;
  private readonly signs: Signs = {
    open: false,
    beaten: false,
    lastSign: 0,
    failures: 0,
    paused: false,
    refused: false,
    redis: true,
    lagMs: 0,
  };
  private kpis: string[] | null = null;
  private lastId: string | null = null;
  private reading: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private hiding: ReturnType<typeof setTimeout> | undefined;
  private asked = ASKED_MS;
  private readonly parts = new Map<string, Value[]>();

  /** `reconnected` is called when a lost connection, or Redis, is back: what else is on the page may have changed too. */
  constructor(values: Values, reconnected: () => void) {
    this.values = values;
    this.reconnected = reconnected;
  }

  start(): () => void {
    const judging = setInterval(() => this.judge(), 1_000);
    const hidden = () => this.looked();
    const online = () => this.again(0);
    document.addEventListener('visibilitychange', hidden);
    addEventListener('online', online);
    return () => {
      clearInterval(judging);
      document.removeEventListener('visibilitychange', hidden);
      removeEventListener('online', online);
      this.stop();
    };
  }

  /** Follow these KPIs, all where there are none. The values of others stay as they are. */
  follow(kpis: string[]): void {
    if (this.kpis?.join(' ') === kpis.join(' ')) return;
    this.kpis = kpis;
    this.lastId = null;
    this.signs.refused = false;
    this.again(0);
  }

  /** After somebody has said who they are. */
  admitted(): void {
    this.signs.refused = false;
    this.again(0);
  }

  private again(milliseconds: number): void {
    this.stop();
    if (this.kpis === null || this.signs.paused || this.signs.refused) return this.judge();
    if (milliseconds > 0) this.nextAttempt = Date.now() + milliseconds;
    this.timer = setTimeout(() => void this.read(), milliseconds);
    this.judge();
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.reading?.abort();
    this.reading = null;
    this.signs.open = false;
  }

  private async read(): Promise<void> {
    const reading = new AbortController();
    this.reading = reading;
    this.parts.clear();
    this.nextAttempt = null;
    let failed: unknown = null;
    try {
      await readStream(
        this.kpis ?? [],
        this.lastId,
        reading.signal,
        this.listener(reading),
        (id) => (this.lastId = id),
      );
    } catch (error) {
      failed = error;
    }
    if (this.reading !== reading) return; // another one has taken over
    this.signs.refused = failed instanceof ApiError && failed.status === 401;
    this.signs.failures += 1;
    this.again(retryAfter(this.signs.failures, this.asked, Math.random()));
  }

  private listener(reading: AbortController): Listener {
    const current = () => this.reading === reading;
    return {
      opened: () => {
        if (!current()) return;
        this.signs.open = true;
        this.signs.beaten = false;
        this.signs.lastSign = Date.now();
        this.judge();
      },
      retry: (milliseconds) => {
        this.asked = milliseconds;
      },
      snapshot: (part) => {
        if (current()) this.gather(part);
      },
      value: (value) => {
        if (current()) this.values.take([value]);
      },
      beat: (beat) => {
        if (!current()) return;
        this.signs.lastSign = Date.now();
        this.lastBeat = beat.now;
        const storeIsBack = beat.redis && !this.signs.redis;
        this.signs.redis = beat.redis;
        this.signs.lagMs = beat.lagMs;
        this.lagMs = beat.lagMs;
        clock.set(beat.now);
        if (storeIsBack || (!this.signs.beaten && this.signs.failures > 0)) this.reconnected();
        this.signs.beaten = true;
        this.signs.failures = 0;
        this.judge();
      },
    };
  }

  /** A KPI's values are replaced only when all of them are here: half of a picture would look like a loss. */
  private gather(part: Part): void {
    const gathered = part.first ? [] : (this.parts.get(part.kpi) ?? []);
    gathered.push(...part.values);
    this.parts.set(part.kpi, gathered);
    if (!part.last) return;
    this.parts.delete(part.kpi);
    this.values.replace(part.kpi, gathered);
  }

  private judge(): void {
    const now = Date.now();
    this.condition = condition(this.signs, now);
    if (this.signs.open && now - this.signs.lastSign > SILENT_AFTER_MS) {
      this.signs.failures += 1;
      this.again(retryAfter(this.signs.failures, this.asked, Math.random()));
    }
  }

  private looked(): void {
    clearTimeout(this.hiding);
    if (document.visibilityState === 'hidden') {
      this.hiding = setTimeout(() => {
        this.signs.paused = true;
        this.again(0);
      }, HIDDEN_MS);
    } else if (this.signs.paused) {
      this.signs.paused = false;
      this.again(0);
    }
  }
}
