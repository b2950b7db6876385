import { Members } from './json';

export type Status = 'ok' | 'warning' | 'critical';
export type State = 'open' | 'closed' | 'revised';

/** A KPI's value as the engine publishes it. Decimals are texts with all their digits, times epoch milliseconds. */
export interface Value {
  kpi: string;
  /** In the catalog's order; a missing value is null. */
  dims: Record<string, string | null>;
  /** The dims as one text, the same for the same series. */
  series: string;
  start: number;
  end: number;
  state: State;
  revision: number;
  progress: number;
  value: string | null;
  reason: string | null;
  samples: number;
  watermark: number | null;
  definition: string;
  unit: string | null;
  target: string | null;
  status: Status | null;
  statusReason: string | null;
  compared: string | null;
  change: string | null;
  finalAfter: number | null;
  pace: Pace | null;
}

/** How a grain to date stands before its end. Null within it: nothing to say, or not enough history. */
export interface Pace {
  share: string | null;
  expected: string | null;
  forecast: string | null;
  low: string | null;
  high: string | null;
}

/** Null where it is not a value of a KPI. */
export function readValue(json: unknown): Value | null {
  const members = new Members(json);
  const window = members.object('window');
  const [kpi, start, end] = [members.text('kpi'), window?.time('start') ?? null, window?.time('end') ?? null];
  if (kpi === null || start === null || end === null) return null;
  const dims = readDims(members.object('dims'));
  const compare = members.object('compare');
  const pace = members.object('pace');
  return {
    kpi,
    dims,
    series: seriesOf(dims),
    start,
    end,
    state: oneOf(members.text('state'), ['open', 'closed', 'revised']) ?? 'open',
    revision: members.number('revision') ?? 0,
    progress: members.number('progress') ?? 0,
    value: members.text('value'),
    reason: members.text('reason'),
    samples: members.number('samples') ?? 0,
    watermark: members.time('watermark'),
    definition: members.text('definition') ?? '',
    unit: members.text('unit'),
    target: members.text('target'),
    status: oneOf(members.text('status'), ['ok', 'warning', 'critical']),
    statusReason: members.text('status_reason'),
    compared: compare?.text('value') ?? null,
    change: compare?.text('change') ?? null,
    finalAfter: members.time('final_after'),
    pace: pace && {
      share: pace.text('share'),
      expected: pace.text('expected'),
      forecast: pace.text('forecast'),
      low: pace.text('forecast_low'),
      high: pace.text('forecast_high'),
    },
  };
}

export function readValues(json: unknown[]): Value[] {
  return json.map(readValue).filter((value) => value !== null);
}

export function readDims(members: Members | null): Record<string, string | null> {
  const dims: Record<string, string | null> = {};
  for (const [name] of members?.entries() ?? []) dims[name] = members?.text(name) ?? null;
  return dims;
}

/** `region=EU,store=12`; `-` where there are no dimensions. */
export function seriesOf(dims: Record<string, string | null>): string {
  const pairs = Object.entries(dims).map(([name, value]) => `${name}=${encodeURIComponent(value ?? NULL)}`);
  return pairs.length > 0 ? pairs.join(',') : '-';
}

/** How a missing dimension value and the folded rest are written where only text fits. */
export const NULL = '__null__';
export const OTHER = '__other__';

export function oneOf<Word extends string>(text: string | null, words: readonly Word[]): Word | null {
  return words.find((word) => word === text) ?? null;
}
