import { expect, test } from 'vitest';
import type { Kpi, Objective } from '../src/api/catalog';
import { readKpi, readKpiDetail } from '../src/api/catalog';
import { parseExact } from '../src/api/json';
import { axisNumber, cut, digitsBehind, exact, plain, rounded, shifted, signedShare } from '../src/words/numbers';
import { lengthWords, periodOf } from '../src/words/periods';
import { ruleWords } from '../src/words/rules';
import { isBetter, samplesWords, seriesTitle, standingWords, stateWords } from '../src/words/statuses';
import {
  boundsOf,
  missedBounds,
  objectiveOf,
  objectiveWords,
  paceWords,
  reasonWords,
  shortfall,
} from '../src/words/targets';
import { axisMark, knownZone, shownAge, shownLength, shownSpan } from '../src/words/times';
import { value } from './values';

const flat = (text: string) => text.replaceAll('\u00a0', ' ');

test.each([
  ['1213440.55', 'EUR', '1,213,440.55 EUR'],
  ['12345678901234567890.123456789', null, '12,345,678,901,234,567,890.123456789'],
  ['-0.50', 'EUR', '−0.50 EUR'],
  ['0.142043167527', 'ratio', '14.2043167527 %'],
  ['1', 'ratio', '100 %'],
  ['0.19', 'ratio', '19 %'],
  ['1.5e-7', null, '0.00000015'],
  ['2E+3', 'baskets', '2,000 baskets'],
])('%s %s in full is %s', (number, unit, shown) => {
  expect(flat(exact(number, unit))).toBe(shown);
});

test.each([
  ['1213440.55', 'EUR', '1,213,441 EUR'],
  ['12345678.9', 'EUR', '12.35 M EUR'],
  ['9999.995', 'EUR', '10,000 EUR'],
  ['29.5', 'USD', '29.50 USD'],
  ['2013', 'households', '2,013 households'],
  ['43', null, '43'],
  ['0', 'EUR', '0 EUR'],
  ['0.00', 'EUR', '0 EUR'],
  ['0.123456', null, '0.123'],
  ['0.0000123456', null, '0.0000123'],
  ['-0.0000123456', null, '−0.0000123'],
  ['0.175155', 'ratio', '17.52 %'],
  ['0.9999', 'ratio', '99.99 %'],
  ['0.0142', 'ratio', '1.42 %'],
  ['1.23456', 'ratio', '123.5 %'],
  ['98765432109.8', 'EUR', '98.77 B EUR'],
])('%s %s at a glance is %s', (number, unit, shown) => {
  expect(flat(rounded(number, unit))).toBe(shown);
});

test.each([
  ['0.998957', 'ratio', ['0.999'], '99.896 %'],
  ['0.9983', 'ratio', ['0.999'], '99.83 %'],
  ['76999.6', 'EUR', ['77000'], '76,999.6 EUR'],
  ['34.004', 'EUR', ['34'], '34.004 EUR'],
  ['34', 'EUR', ['34'], '34 EUR'],
  ['1.9999', null, ['1', '2'], '1.9999'],
])('%s %s that missed %s is not rounded to it: %s', (number, unit, bounds, shown) => {
  expect(flat(rounded(number, unit, bounds))).toBe(shown);
});

test.each([
  ['0.055', '+5.5 %'],
  ['-0.516404', '−51.6 %'],
  ['3', '+300 %'],
  ['0', '±0 %'],
  ['0.0001', '+0 %'],
  ['-0.0001', '−0 %'],
])('a change of %s is %s', (share, shown) => {
  expect(flat(signedShare(share))).toBe(shown);
});

test.each([
  ['1.5', 2, '150'],
  ['0.05', 2, '5'],
  ['12', -3, '0.012'],
  ['-12.34', 1, '-123.4'],
  ['0', 2, '0'],
])('%s by ten to the power of %i is %s', (text, places, shown) => {
  expect(shifted(text, places)).toBe(shown);
});

test.each([
  ['2.005', 2, '2.01'],
  ['-2.005', 2, '-2.01'],
  ['0.4', 0, '0'],
  ['-0.4', 0, '0'],
  ['999.999', 1, '1000'],
])('%s cut to %i digits is %s', (text, digits, shown) => {
  expect(cut(text, digits)).toBe(shown);
});

test('exponents are written out', () => {
  expect(plain('-1.25e3')).toBe('-1250');
  expect(plain('12.50')).toBe('12.50');
});

test('the marks of an axis share their digits', () => {
  expect([0.75, 1, 1.25].map((mark) => axisNumber(mark, 0.25))).toEqual(['0.75', '1.00', '1.25']);
  expect(axisNumber(340_000, 20_000)).toBe('340,000');
});

const ZONE = 'Europe/Amsterdam';
const at = (text: string) => Date.parse(text);

test.each([
  ['a day', '2026-11-24T00:00:00+01:00', '2026-11-25T00:00:00+01:00', '24 Nov'],
  ['the day with 25 hours', '2026-10-25T00:00:00+02:00', '2026-10-26T00:00:00+01:00', '25 Oct'],
  ['a week', '2026-11-16T00:00:00+01:00', '2026-11-23T00:00:00+01:00', '16 Nov – 22 Nov'],
  ['an hour', '2026-11-24T13:00:00+01:00', '2026-11-24T14:00:00+01:00', '24 Nov, 13:00 – 14:00'],
  ['the last hour of a day', '2026-11-24T23:00:00+01:00', '2026-11-25T00:00:00+01:00', '24 Nov, 23:00 – 24:00'],
  ['a year', '2025-11-26T00:00:00+01:00', '2026-11-26T00:00:00+01:00', '26 Nov 2025 – 25 Nov 2026'],
  [
    'a year to the hour',
    '2025-11-25T14:00:00+01:00',
    '2026-11-25T14:00:00+01:00',
    '25 Nov 2025, 14:00 – 25 Nov 2026, 14:00',
  ],
  ['30 days to the hour', '2026-10-25T14:00:00+01:00', '2026-11-24T14:00:00+01:00', '25 Oct, 14:00 – 24 Nov, 14:00'],
])('a window of %s', (_, start, end, shown) => {
  expect(shownSpan(at(start), at(end), ZONE)).toBe(shown);
});

test('an unknown zone is read as UTC', () => {
  expect(knownZone('Atlantis/Capital')).toBe('UTC');
});

test('axis marks are days where the day changes, and hours within it', () => {
  const [midnight, noon] = [at('2026-11-24T00:00:00+01:00'), at('2026-11-24T12:00:00+01:00')];
  expect([axisMark(midnight, 3_600_000, ZONE), axisMark(noon, 3_600_000, ZONE)]).toEqual(['24 Nov', '12:00']);
});

test.each([
  [999, '0 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [7_200_000, '2 h'],
  [90_000_000, '25 h'],
  [200_000_000, '2 days'],
  [-5, '0 s'],
])('%i ms is %s', (length, shown) => {
  expect(shownLength(length)).toBe(shown);
});

test('data may be ahead of the clock, which a few seconds are not', () => {
  expect(shownAge(-7_200_000)).toBe('2 h ahead of the clock');
  expect(shownAge(-3_000)).toBe('0 s old');
  expect(shownAge(12_400)).toBe('12 s old');
});

test.each([
  [{ slide: '1h', size: '30d' }, 3_600_000],
  [{ step: '5m', grain_to_date: 'month' }, 300_000],
  [{ size: '7d' }, 604_800_000],
  [{ grain: 'week' }, 604_800_000],
])('windows %o follow each other by %i ms', (sizes, period) => {
  expect(periodOf({ type: '', words: '', sizes })).toBe(period);
});

test('lengths in words', () => {
  expect(['30d', '1w', '1 month', '12h'].map(lengthWords)).toEqual(['30 days', '1 week', '1 month', '12 hours']);
});

test('states and standings', () => {
  expect(stateWords(value({ state: 'open' }))).toBe('filling');
  expect(stateWords(value({ state: 'closed', revision: 1 }))).toBe('closed');
  expect(stateWords(value({ state: 'revised', revision: 2 }))).toBe('revised');
  expect(stateWords(value({ state: 'revised', revision: 4 }))).toBe('revised 3 times');
  expect(standingWords(value())).toBe('On target');
  expect(standingWords(value({ status: null }))).toBe('Not over yet');
  expect(standingWords(value({ status: null, target: null }))).toBe('No target');
  expect(standingWords(value({ status: null, value: null }))).toBe('No value');
});

test('series by their dimension values', () => {
  expect(seriesTitle({})).toBe('all');
  expect(seriesTitle({ region: 'EU', store: null, kind: '__other__' })).toBe('EU · (none) · all others');
});

test.each([
  ['0.1', 'up', true],
  ['0.1', 'down', false],
  ['-0.1', 'down', true],
  ['-0.1', 'range', null],
  ['0', 'up', null],
  [null, 'up', null],
  ['0.1', null, null],
] as const)('a change of %s where %s is better: %s', (change, favorable, better) => {
  expect(isBetter(change, favorable)).toBe(better);
});

function kpi(...objectives: Partial<Objective>[]): Kpi {
  const whole = { op: 'gte', value: '1', upper: null, where: {}, validFrom: null, warnWithin: '0.1' } as const;
  return { ...readKpi({ name: 'k' }), objectives: objectives.map((one) => ({ ...whole, ...one })) };
}

test('the objective with the most conditions holds, then the latest, then the last written', () => {
  const found = kpi(
    { value: '1' },
    { value: '2', validFrom: '2026-01-01' },
    { value: '3', where: { region: 'EU' } },
    { value: '4', where: { region: 'EU' } },
    { value: '5', where: { region: 'US', kind: 'a' } },
  );
  expect(objectiveOf(found, { region: 'EU' }, at('2026-06-01T00:00:00Z'))?.value).toBe('4');
  expect(objectiveOf(found, { region: 'US' }, at('2026-06-01T00:00:00Z'))?.value).toBe('2');
  expect(objectiveOf(found, { region: 'US' }, at('2025-06-01T00:00:00Z'))?.value).toBe('1');
  expect(objectiveOf(kpi(), {}, 0)).toBeNull();
});

test('bounds and the zone of a warning beyond them', () => {
  const bounds = (objective: Partial<Objective>) => boundsOf(kpi(objective).objectives[0] as Objective);
  expect(bounds({ op: 'gte', value: '200' })).toEqual({ lower: 200, warnLower: 180, upper: null, warnUpper: null });
  expect(bounds({ op: 'lte', value: '-10' })).toEqual({ lower: null, warnLower: null, upper: -10, warnUpper: -9 });
  expect(bounds({ op: 'between', value: '1', upper: '2', warnWithin: '0.5' })).toEqual({
    lower: 1,
    warnLower: 0.5,
    upper: 2,
    warnUpper: 3,
  });
});

test('objectives in words, with the unit', () => {
  const words = (objective: Partial<Objective>, unit: string) =>
    flat(objectiveWords(kpi(objective).objectives[0] as Objective, unit));
  expect(words({ op: 'gte', value: '380000' }, 'USD')).toBe('at least 380,000 USD');
  expect(words({ op: 'lte', value: '0.155' }, 'ratio')).toBe('at most 15.50 %');
  expect(words({ op: 'between', value: '0.01', upper: '0.02' }, 'ratio')).toBe('1 to 2 %');
});

test.each([
  ['within 0.01 to 0.02', 'ratio', 'within 1 to 2 %'],
  ['3.4 % above 0.02', 'ratio', '3.4 % above 2 %'],
  ['1.1 % above target', 'ratio', '1.1 % above target'],
  ['within 7 to 10', 'USD', 'within 7 to 10'],
])('the reason "%s" of a value in %s', (statusReason, unit, shown) => {
  expect(flat(reasonWords(value({ statusReason, unit })) ?? '')).toBe(shown);
});

test.each([
  [
    '{"when":{"below":950000,"recover":1000000},"for":"1h"}',
    'EUR',
    'below 950,000 EUR for 1 hour, until it is back at 1,000,000 EUR',
  ],
  [
    '{"when":{"recover":0.1,"above":0.125},"min_sample":1000}',
    'ratio',
    'above 12.5 %, until it is back at 10 %, with 1,000 samples or more',
  ],
  ['{"when":{"outside":[1,2]},"for":"2d"}', null, 'outside of 1 to 2 for 2 days'],
  ['{"when":{"pace_below":"90%"},"for":"6h"}', 'EUR', 'below 90 % of its pace for 6 hours'],
  ['{"when":{"pace_below":0.9}}', 'EUR', 'below 90 % of its pace'],
  ['{"when":{"no_data":"15m"}}', null, 'no data 15m'],
  ['{"when":{"change":{"below":-0.2}}}', null, 'change below -0.2'],
  ['{"when":{"anomaly":true}}', null, 'anomaly'],
])('the rule %s', (json, unit, words) => {
  const [rule] = readKpiDetail(parseExact(`{"name":"k","alerts":[${json}]}`)).alerts;
  expect(rule && flat(ruleWords(rule, unit))).toBe(words);
});

test('numbers below each other have as many digits', () => {
  const column = ['77097.5', '76980.68', null, '78461'];
  expect(digitsBehind(column, 'EUR')).toBe(2);
  expect(column.map((one) => one && flat(exact(one, 'EUR', 2)))).toEqual([
    '77,097.50 EUR',
    '76,980.68 EUR',
    null,
    '78,461.00 EUR',
  ]);
  expect([digitsBehind(['0.0125', '0.5'], 'ratio'), flat(exact('0.5', 'ratio', 2))]).toEqual([2, '50.00 %']);
  expect([digitsBehind([], null), digitsBehind(['1', '-20'], null)]).toEqual([0, 0]);
});

test('what samples counts, of one metric and of several', () => {
  expect(samplesWords({ type: 'simple' }, ['sales'])).toBe('events behind the value');
  expect(samplesWords({ type: 'derived' })).toBe('events behind the value, of the one metric with the fewest');
  expect(samplesWords({ type: 'ratio' }, ['sales', 'refunds', 'costs'])).toMatch(/: sales, refunds or costs$/);
});

const bound = (op: Objective['op'], number: string, upper: string | null = null): Objective => ({
  op,
  value: number,
  upper,
  where: {},
  validFrom: null,
  warnWithin: '0.1',
});

test('how far a value is from its target, either way', () => {
  const of = (objectives: Objective[], number: string, favorable: Kpi['favorable'] = null) =>
    shortfall({ objectives, favorable }, value({ value: number }));
  expect(of([bound('gte', '100')], '90')).toBeCloseTo(0.1);
  expect(of([bound('gte', '100')], '120')).toBeCloseTo(-0.2);
  expect(of([bound('lte', '100')], '120')).toBeCloseTo(0.2);
  expect(of([bound('between', '100', '200')], '190')).toBeCloseTo(-0.05);
  expect(of([bound('lte', '0')], '3')).toBe(3);
  expect([of([], '5', 'up'), of([], '5', 'down'), of([], '5')]).toEqual([-5, 5, null]);
});

test('bounds matter to the digits of a value that missed them', () => {
  const kpi = { objectives: [bound('between', '1.5', '2')] };
  expect(missedBounds(kpi, value({ status: 'warning' }))).toEqual(['1.5', '2']);
  expect(missedBounds(kpi, value({ status: 'ok' }))).toEqual([]);
  expect(missedBounds({ objectives: [] }, value({ status: 'critical', target: '7' }))).toEqual(['7']);
});

test('pace in words, rounded away from 100 %', () => {
  const pace = { share: '0.82', expected: '1000', forecast: '931000', low: '880000', high: '982000' };
  const shown = (other: object) => flat(paceWords(value({ pace: { ...pace, ...other } })) ?? '');
  expect(shown({})).toBe(
    `82 % of pace, forecast ${flat(rounded('931000', 'EUR'))} (${flat(rounded('880000', 'EUR'))} to ${flat(rounded('982000', 'EUR'))})`,
  );
  expect(shown({ share: '0.9996', low: null, high: null })).toMatch(/^99 % of pace, forecast [^(]*$/);
  expect(shown({ share: '1.0004' })).toMatch(/^101 %/);
  expect(shown({ share: '1' })).toMatch(/^100 %/);
  expect(paceWords(value({ pace: { ...pace, share: null } }))).toBeNull();
  expect(paceWords(value())).toBeNull();
});
