import { expect, test } from 'vitest';
import {
  SILENT_AFTER_MS,
  condition,
  dataAge,
  isCurrent,
  oldAfter,
  retryAfter,
  type Signs,
} from '../src/live/condition';

const NOW = 1_000_000;
const WELL: Signs = {
  open: true,
  beaten: true,
  lastSign: NOW,
  failures: 0,
  paused: false,
  refused: false,
  redis: true,
  lagMs: 3,
};

test.each([
  ['beats come', {}, 'live'],
  ['before the first attempt ended', { open: false, beaten: false }, 'connecting'],
  ['open, but nothing has come yet', { beaten: false }, 'connecting'],
  ['reconnected, but nothing has come yet', { beaten: false, failures: 1 }, 'disconnected'],
  ['the connection was refused or broke', { open: false, failures: 1 }, 'disconnected'],
  ['silence just below the limit', { lastSign: NOW - SILENT_AFTER_MS }, 'live'],
  ['silence beyond it', { lastSign: NOW - SILENT_AFTER_MS - 1 }, 'disconnected'],
  ['open and silent from the start', { beaten: false, lastSign: NOW - SILENT_AFTER_MS - 1 }, 'disconnected'],
  ['the service lost Redis', { redis: false }, 'store-lost'],
  ['the service lags', { lagMs: 6_000 }, 'behind'],
  ['lost Redis comes before a lag', { redis: false, lagMs: 6_000 }, 'store-lost'],
  ['nobody looks', { paused: true, open: false }, 'paused'],
  ['a token is asked for', { refused: true, open: false, failures: 1 }, 'refused'],
] as const)('%s: %o is %s', (_, signs, found) => {
  expect(condition({ ...WELL, ...signs }, NOW)).toBe(found);
});

test('only a live or a slow connection shows current values', () => {
  const all = ['connecting', 'live', 'behind', 'store-lost', 'disconnected', 'paused', 'refused'] as const;
  expect(all.filter(isCurrent)).toEqual(['live', 'behind']);
});

test('the age of data is counted from the newest event, and unknown without one', () => {
  expect(dataAge(NOW - 5, NOW)).toBe(5);
  expect(dataAge(null, NOW)).toBeNull();
});

test('attempts come from what the service asked for to ten seconds apart, never all at once', () => {
  for (const failures of [0, 1, 2, 3, 5, 50]) {
    const [least, most] = [retryAfter(failures, 1_000, 0), retryAfter(failures, 1_000, 1)];
    expect(least).toBeLessThan(most);
    expect(least).toBeGreaterThanOrEqual(750);
    expect(most).toBeLessThanOrEqual(10_000);
  }
  expect(retryAfter(1, 2_000, 1)).toBe(2_000);
});

test.each([
  ['a minute', 60_000, 15 * 60_000],
  ['an hour', 3_600_000, 2 * 3_600_000],
  ['a month', 30 * 86_400_000, 86_400_000],
])('data of a KPI that moves on every %s is old after a while that fits', (_, period, after) => {
  expect(oldAfter(period)).toBe(after);
});
