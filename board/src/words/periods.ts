import type { Window } from '../api/catalog';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const UNITS: Record<string, number> = { s: 1_000, m: 60_000, h: HOUR, d: DAY, w: 7 * DAY };
const GRAINS: Record<string, number> = { day: DAY, week: 7 * DAY, month: 30 * DAY, quarter: 91 * DAY, year: 365 * DAY };

/** Milliseconds, about, between the ends of two windows after each other. */
export function periodOf(window: Window): number {
  const { slide, step, size, grain } = window.sizes;
  for (const text of [slide, step, size]) {
    const found = /^(\d+)([smhdw])$/.exec(text ?? '');
    if (found) return Number(found[1]) * (UNITS[found[2] ?? ''] ?? 0);
  }
  return GRAINS[grain ?? ''] ?? HOUR;
}

const LONG: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' };

/** `30 days`, of the catalog's `30d`; `1 month` stays as it is. */
export function lengthWords(text: string): string {
  const found = /^(\d+)\s*([smhdw])$/.exec(text);
  if (!found) return text;
  const word = LONG[found[2] ?? ''] ?? '';
  return found[1] === '1' ? `1 ${word}` : `${found[1]} ${word}s`;
}
