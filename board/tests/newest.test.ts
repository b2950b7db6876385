import { expect, test } from 'vitest';
import { byWindow } from '../src/live/history.svelte';
import { isNewer } from '../src/live/newest';
import { KpiValues } from '../src/live/values.svelte';
import { value } from './values';

test.each([
  ['a later window', { end: 2, progress: 1, revision: 0 }, { end: 1, progress: 9, revision: 9 }, true],
  ['an earlier window', { end: 1, progress: 9, revision: 9 }, { end: 2, progress: 1, revision: 0 }, false],
  ['more progress', { end: 1, progress: 2, revision: 0 }, { end: 1, progress: 1, revision: 5 }, true],
  ['less progress', { end: 1, progress: 1, revision: 5 }, { end: 1, progress: 2, revision: 0 }, false],
  ['a higher revision', { end: 1, progress: 1, revision: 2 }, { end: 1, progress: 1, revision: 1 }, true],
  ['the same again', { end: 1, progress: 1, revision: 1 }, { end: 1, progress: 1, revision: 1 }, false],
])('%s against what is held', (_, offered, held, newer) => {
  expect(isNewer(value(offered), value(held))).toBe(newer);
});

test('of another definition, the one that came later counts', () => {
  expect(isNewer(value({ definition: 'b', end: 1 }), value({ definition: 'a', end: 2 }))).toBe(true);
});

test('whatever the order of arrival, a series ends with its newest value', () => {
  const all = [1, 2, 3].flatMap((end) =>
    [1, 2].map((progress) => value({ end, progress, value: `${end}.${progress}` })),
  );
  for (let turn = 0; turn < all.length; turn += 1) {
    const values = new KpiValues();
    for (const one of [...all.slice(turn), ...all.slice(0, turn)]) values.take(one);
    expect(values.series.get('region=EU')?.value).toBe('3.2');
  }
});

test('what a replayed stream repeats changes nothing', () => {
  const values = new KpiValues();
  expect(values.take(value({ progress: 5 }))).toBe(true);
  expect(values.take(value({ progress: 5 }))).toBe(false);
  expect(values.take(value({ progress: 4 }))).toBe(false);
});

test('a whole picture takes away the series that are not in it', () => {
  const values = new KpiValues();
  values.take(value({ series: 'region=US' }));
  values.replace([value()]);
  expect([...values.series.keys()]).toEqual(['region=EU']);
});

test('the values that a followed series leaves behind are kept, each window once with its newest', () => {
  const values = new KpiValues();
  const past = values.keepPast('region=EU');
  values.take(value({ end: 1, progress: 1 }));
  values.take(value({ end: 1, progress: 2, state: 'closed' }));
  values.take(value({ end: 2, progress: 3 }));
  values.take(value({ end: 1, progress: 3, state: 'revised', revision: 2 }));
  values.take(value({ end: 3, progress: 4 }));
  expect([...past.values()].map((one) => [one.end, one.progress, one.state])).toEqual([
    [1, 3, 'revised'],
    [2, 3, 'open'],
  ]);
});

test('history has one value for each window, oldest first', () => {
  const found = byWindow(
    [value({ end: 2, progress: 1 }), value({ end: 1, progress: 1 })],
    [value({ end: 2, progress: 2, value: '7' })],
    [value({ end: 3, progress: 2 })],
  );
  expect(found.map((one) => one.end)).toEqual([1, 2, 3]);
  expect(found[1]?.value).toBe('7');
});
