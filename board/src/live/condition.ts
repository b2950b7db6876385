/** What the page may claim about the values on it. */
export type Condition = 'connecting' | 'live' | 'behind' | 'store-lost' | 'disconnected' | 'paused' | 'refused';

/** Beats come every two seconds; three missing ones are a lost connection. */
export const SILENT_AFTER_MS = 6_000;
/** A delay between Redis and the page that people would notice. */
export const BEHIND_MS = 5_000;
/** Nothing newer was counted for so long: worth saying. */
export const OLD_AFTER_MS = 15 * 60_000;
const OLD_AT_MOST_MS = 24 * 60 * 60_000;

/** The same of a KPI whose windows end `period` milliseconds apart: a slow one may be silent for longer. */
export function oldAfter(period: number): number {
  return Math.min(OLD_AT_MOST_MS, Math.max(OLD_AFTER_MS, 2 * period));
}

export interface Signs {
  /** The connection is open. */
  open: boolean;
  /** A beat has come over this connection: what came before it was the whole picture. */
  beaten: boolean;
  /** Local time of the last beat, or of the connection's opening. */
  lastSign: number;
  /** Attempts that failed in a row. */
  failures: number;
  /** It was given up on purpose, as the page is not looked at. */
  paused: boolean;
  /** The service asks who is there. */
  refused: boolean;
  /** Whether the service reached Redis at the last beat. */
  redis: boolean;
  /** How far the service is behind Redis. */
  lagMs: number;
}

export function condition(signs: Signs, now: number): Condition {
  if (signs.refused) return 'refused';
  if (signs.paused) return 'paused';
  if (!signs.open) return signs.failures > 0 ? 'disconnected' : 'connecting';
  if (now - signs.lastSign > SILENT_AFTER_MS) return 'disconnected';
  if (!signs.beaten) return signs.failures > 0 ? 'disconnected' : 'connecting';
  if (!signs.redis) return 'store-lost';
  return signs.lagMs > BEHIND_MS ? 'behind' : 'live';
}

/** Whether values shown now may be taken for the current ones. */
export function isCurrent(found: Condition): boolean {
  return found === 'live' || found === 'behind';
}

/** Milliseconds since the newest event counted; negative where the events are ahead of the clock, null where none was. */
export function dataAge(watermark: number | null, now: number): number | null {
  return watermark === null ? null : now - watermark;
}

/**
 * Milliseconds until the next attempt, after `failures` in a row: what the service asked for, doubled each time, ten
 * seconds at most, and not all pages at the same moment (`random` in [0, 1)).
 */
export function retryAfter(failures: number, asked: number, random: number): number {
  const whole = Math.min(10_000, asked * 2 ** Math.max(0, failures - 1));
  return whole * (0.75 + random / 4);
}
