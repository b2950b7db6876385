import { expect, test } from 'vitest';
import { readAlert, readSilence, type Alert } from '../src/api/alerts';
import { parseExact } from '../src/api/json';
import { countedStates, gravestFirst, quietWords, standingOfAlert } from '../src/words/alerts';

function alert(json: string): Alert {
  return readAlert(parseExact(json));
}

const FULL = `{"alert":"SalesLow","kpi":"sales","dims":{"region":"EU","store":7},"state":"pending","severity":"warning",
  "since":"2026-11-25T09:00:00Z","recovering_since":null,"reason":"812.50 is below 1000","value":812.50,"bound":1000,
  "unit":"EUR","annotations":{"summary":"Look first"},"runbook_url":"https://wiki/sales",
  "muted_by":"SalesLow|all_sales|-","silenced_by":"3f9c1a7b20"}`;

test('an alert in full', () => {
  expect(alert(FULL)).toEqual({
    name: 'SalesLow',
    kpi: 'sales',
    dims: { region: 'EU', store: '7' },
    state: 'pending',
    severity: 'warning',
    since: Date.UTC(2026, 10, 25, 9),
    reason: '812.50 is below 1000',
    value: '812.50',
    bound: '1000',
    unit: 'EUR',
    recoveringSince: null,
    mutedBy: { name: 'SalesLow', kpi: 'all_sales' },
    silencedBy: '3f9c1a7b20',
    summary: 'Look first',
    runbook: 'https://wiki/sales',
  });
});

test.each(['javascript:alert(1)', 'data:text/html,x', '//wiki', 'wiki/sales'])('%s is no runbook', (address) => {
  expect(alert(JSON.stringify({ alert: 'A', runbook_url: address })).runbook).toBeNull();
});

test('firing comes before pending, then the most severe, then the oldest', () => {
  const made = [
    ['e', 'pending', 'critical', '09'],
    ['d', 'firing', 'info', '09'],
    ['b', 'firing', 'critical', '10'],
    ['c', 'firing', 'warning', '08'],
    ['a', 'firing', 'critical', '09'],
  ].map(([name, state, severity, hour]) =>
    alert(JSON.stringify({ alert: name, state, severity, since: `2026-11-25T${hour}:00:00Z` })),
  );
  expect(gravestFirst(made).map((one) => one.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(countedStates(made)).toBe('4 firing, 1 pending');
  expect(countedStates(made.slice(0, 1))).toBe('1 pending');
  expect(made.map(standingOfAlert)).toEqual(['critical', 'none', 'critical', 'warning', 'critical']);
});

const silence = readSilence(
  parseExact('{"id":"3f9c1a7b20","comment":"stocktaking","until":"2026-11-25T12:00:00Z","by":"duty"}'),
);

test.each([
  ['{}', null],
  ['{"muted_by":"Low|all_sales|-"}', 'Muted by Low of All sales, which says it already.'],
  ['{"kpi":"sales","muted_by":"Lower|sales|region=EU"}', 'Muted by Lower, which says it already.'],
  ['{"silenced_by":"nights"}', 'Silenced by nights of the catalog.'],
  ['{"silenced_by":"3f9c1a7b20"}', 'Silenced by duty until 25 Nov, 13:00: stocktaking'],
])('why nobody is told of %s', (json, words) => {
  expect(quietWords(alert(json), [silence], 'Europe/Amsterdam', () => 'All sales')).toBe(words);
});
