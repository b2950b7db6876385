import { expect, test } from 'vitest';
import { readKpi } from '../src/api/catalog';
import { NO_FILTERS, filtersQuery, hasDims, isFiltered, passes, readFilters, type Filters } from '../src/view/filters';
import { meantBy } from '../src/view/meant';
import { pageOf } from '../src/view/pages';
import { sliceOf } from '../src/view/rows';
import { found, readSorting, sorted, sortingText } from '../src/view/sorting';
import { value } from './values';

test('filters and their address are the same thing', () => {
  const filters: Filters = {
    search: 'sales & more',
    goal: 'grow',
    owner: 'ceo',
    category: 'functional/finance',
    indicator: 'leading',
    status: 'critical',
    dims: { region: 'EU', store: '__null__' },
  };
  const query = filtersQuery(filters);
  expect(readFilters(new URLSearchParams(query.toString()))).toEqual(filters);
  expect(query.toString()).toContain('category=functional%2Ffinance&indicator=leading&status=critical&dim.region=EU');
});

test('without filters the address has none, and unknown words are no filters', () => {
  expect(filtersQuery(NO_FILTERS).toString()).toBe('');
  expect(isFiltered(readFilters(new URLSearchParams('status=purple&x=1')))).toBe(false);
});

const SALES = readKpi({ name: 'sales', title: 'Sales, today', goal: 'grow', owner: 'ceo', group_by: ['region'] });

test.each([
  [{}, true],
  [{ goal: 'grow', owner: 'ceo' }, true],
  [{ goal: 'other' }, false],
  [{ search: 'TODAY sal' }, true],
  [{ search: 'tomorrow' }, false],
  [{ dims: { region: 'EU' } }, true],
  [{ dims: { store: '1' } }, false],
])('a KPI against %o: %s', (filters, passing) => {
  expect(passes(SALES, { ...NO_FILTERS, ...filters })).toBe(passing);
});

test('series by their dimension values, and the missing one', () => {
  expect(hasDims({ region: 'EU', store: null }, { region: 'EU' })).toBe(true);
  expect(hasDims({ region: 'EU', store: null }, { store: '__null__' })).toBe(true);
  expect(hasDims({ region: 'EU' }, { region: 'US' })).toBe(false);
});

test.each([
  [0, { start: 0, end: 18, above: 0, below: 982 * 40 }],
  [400, { start: 2, end: 28, above: 80, below: 972 * 40 }],
  [40_000, { start: 992, end: 1000, above: 992 * 40, below: 0 }],
  [99_999_999, { start: 1000, end: 1000, above: 40_000, below: 0 }],
  [-50, { start: 0, end: 18, above: 0, below: 982 * 40 }],
])('of a thousand rows, scrolled to %i, these are in the document', (scrolled, slice) => {
  expect(sliceOf(1000, 40, scrolled, 400)).toEqual(slice);
});

test('the rows in the document and the gaps make up the whole, wherever one scrolls', () => {
  for (const count of [0, 1, 17, 1000]) {
    for (let scrolled = 0; scrolled < count * 40; scrolled += 33) {
      const { start, end, above, below } = sliceOf(count, 40, scrolled, 400);
      expect(above + (end - start) * 40 + below).toBe(count * 40);
      expect(start * 40).toBeLessThanOrEqual(scrolled);
      expect(end * 40).toBeGreaterThanOrEqual(Math.min(count * 40, scrolled + 400));
    }
  }
});

const ROWS = [
  value({ series: 'a', dims: { store: '10' }, value: '2', status: 'ok', change: '0.5' }),
  value({ series: 'b', dims: { store: '9' }, value: null, status: null, change: null }),
  value({ series: 'c', dims: { store: null }, value: '30', status: 'critical', change: '-0.5' }),
  value({ series: 'd', dims: { store: '__other__' }, value: '4', status: 'ok', change: '0.1' }),
];
const order = (text: string) =>
  sorted(ROWS, readSorting(text, ['store']), { objectives: [], favorable: null }).map((one) => one.series);

test.each([
  ['value', ['a', 'd', 'c', 'b']],
  ['-value', ['c', 'd', 'a', 'b']],
  ['status', ['c', 'd', 'a', 'b']],
  ['-change', ['a', 'd', 'c', 'b']],
  ['dim.store', ['c', 'b', 'a', 'd']],
  ['-dim.store', ['d', 'a', 'b', 'c']],
])('sorted by %s, rows without a value come last', (text, series) => {
  expect(order(text)).toEqual(series);
});

test('the sorting lives in the address, and what is none is the worst first', () => {
  for (const text of ['value', '-value', 'dim.store', '-age']) {
    expect(sortingText(readSorting(text, ['store']))).toBe(text);
  }
  for (const text of [null, '', 'dim.other', '--value']) {
    expect(readSorting(text, ['store'])).toEqual({ by: 'status', descending: false });
  }
});

test('search looks at every dimension value, whatever the case', () => {
  expect(found(ROWS, 'OTHER').map((one) => one.series)).toEqual(['d']);
  expect(found(ROWS, '').length).toBe(4);
});

test('of the same status the one that is furthest from its target comes first', () => {
  const held = { op: 'gte', value: '0.999', upper: null, where: {}, validFrom: null, warnWithin: '0.001' } as const;
  const rows = ['0.9989', '0.9983', null, '0.9988'].map((number, nth) =>
    value({ series: `${nth}`, value: number, status: number === null ? null : 'warning' }),
  );
  const of = (sorting: string) => sorted(rows, readSorting(sorting, []), { objectives: [held], favorable: 'up' });
  expect(of('status').map((one) => one.value)).toEqual(['0.9983', '0.9988', '0.9989', null]);
  expect(of('-status').map((one) => one.value)).toEqual([null, '0.9989', '0.9988', '0.9983']);
});

test.each([
  ['/kpi/sales%5F30d', { name: 'kpi', kpi: 'sales_30d' }],
  ['/kpi/%zz', { name: 'unknown', path: '/kpi/%zz' }],
  ['/kpi/', { name: 'unknown', path: '/kpi/' }],
  ['/foo/bar', { name: 'unknown', path: '/foo/bar' }],
])('%s is a page of its own, or none', (path, page) => {
  expect(pageOf(path)).toEqual(page);
});

test('KPIs that a wrong name may have meant', () => {
  const kpis = ['sales_30d', 'sales_by_region_7d', 'uptime_30d'].map((name) => readKpi({ name, title: name }));
  const meant = (name: string) => meantBy(name, kpis).map((kpi) => kpi.name);
  expect(meant('sales_30')).toEqual(['sales_30d', 'sales_by_region_7d']);
  expect(meant('Uptime')).toEqual(['uptime_30d']);
  expect(meant('churn')).toEqual([]);
});
