import { expect, test } from 'vitest';
import { readKpi, readKpiDetail } from '../src/api/catalog';
import { parseExact } from '../src/api/json';
import { readBeat } from '../src/api/stream';
import { readValue, seriesOf } from '../src/api/values';
import { value } from './values';

test('a value keeps all digits of its decimals', () => {
  const read = readValue(
    parseExact(
      '{"kpi":"k","dims":{},"window":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"},' +
        '"value":12345678901234567890.123456789,"target":0.10,"compare":{"value":1e-7,"change":-0.5}}',
    ),
  );
  expect(read?.value).toBe('12345678901234567890.123456789');
  expect(read?.target).toBe('0.10');
  expect([read?.compared, read?.change]).toEqual(['1e-7', '-0.5']);
});

test('the documented value is read member by member', () => {
  expect(value()).toEqual({
    kpi: 'revenue',
    dims: { region: 'EU' },
    series: 'region=EU',
    start: Date.UTC(2026, 9, 23, 22),
    end: Date.UTC(2026, 10, 22, 23),
    state: 'open',
    revision: 0,
    progress: 918273645,
    value: '1213440.55',
    reason: null,
    samples: 48211,
    watermark: Date.UTC(2026, 10, 22, 22, 41, 7),
    definition: '9f2c41d07a3e',
    unit: 'EUR',
    target: '1200000',
    status: 'ok',
    statusReason: '1.1 % above target',
    compared: '1150200.10',
    change: '0.055',
    finalAfter: Date.UTC(2026, 10, 23, 23),
    pace: null,
  });
});

test.each([
  ['no window', '{"kpi":"k","dims":{}}'],
  ['no KPI', '{"window":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}}'],
  ['a list', '[]'],
  ['nothing', 'null'],
])('%s is not a value', (_, json) => {
  expect(readValue(parseExact(json))).toBeNull();
});

test('series are told apart by all their dimension values, and the missing one from its name', () => {
  const names = [
    seriesOf({}),
    seriesOf({ a: '1', b: '2' }),
    seriesOf({ a: '1,b=2' }),
    seriesOf({ a: null }),
    seriesOf({ a: 'null' }),
    seriesOf({ a: '' }),
  ];
  expect(new Set(names).size).toBe(names.length);
});

test('numbers as dimension values are the text that they are written with', () => {
  const read = readValue(
    parseExact(
      '{"kpi":"k","dims":{"store":31401,"open":true,"none":null},' +
        '"window":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}}',
    ),
  );
  expect(read?.dims).toEqual({ store: '31401', open: 'true', none: null });
});

test('a KPI is read with what may be missing', () => {
  const kpi = readKpi(parseExact('{"name":"k"}'));
  expect(kpi).toMatchObject({ name: 'k', title: 'k', groupBy: [], objectives: [], review: null, compare: null });
});

test('a KPI in full', () => {
  const kpi = readKpiDetail(
    parseExact(
      `{"name":"k","title":"K","group_by":["region"],"window":{"type":"hop","size":"30d","slide":"1h","words":"over 30 days"},
        "compare":{"offset_window":"30d"},"objectives":[{"op":"between","value":1.50,"upper":2,"where":{"region":"EU"},
        "valid_from":"2026-01-01","warn_within":0.05}],"review":{"every":"90d","last":"2026-10-01","due":"2026-12-30",
        "overdue":false},"labels":{"team":"a"},"definition":"abc","series":3,"words":"Sum.","yaml":"kpis:","findings":[],
        "file":"c.yaml","line":12,"alerts":[{"alert":"Low","severity":"critical","when":{"below":1},"for":"15m"}]}`,
    ),
  );
  expect(kpi.window).toEqual({
    type: 'hop',
    words: 'over 30 days',
    sizes: { type: 'hop', size: '30d', slide: '1h', words: 'over 30 days' },
  });
  expect(kpi.compare).toBe('30d');
  expect(kpi.objectives).toEqual([
    { op: 'between', value: '1.50', upper: '2', where: { region: 'EU' }, validFrom: '2026-01-01', warnWithin: '0.05' },
  ]);
  expect(kpi.place).toBe('c.yaml:12');
  expect(kpi.seriesCount).toBe(3);
  expect(kpi.alerts).toEqual([
    {
      name: 'Low',
      severity: 'critical',
      condition: 'below',
      bounds: ['1'],
      recover: null,
      holds: '15m',
      minSample: null,
      summary: null,
      elsewhere: false,
    },
  ]);
});

test.each([
  ['{"now":"2026-11-25T10:00:00Z","redis":true,"lag_ms":250}', true, 250],
  ['{"now":"2026-11-25T10:00:00Z","redis":false,"lag_ms":null}', false, 0],
])('the beat %s', (json, redis, lagMs) => {
  expect(readBeat(parseExact(json))).toEqual({ now: Date.UTC(2026, 10, 25, 10), redis, lagMs });
});
