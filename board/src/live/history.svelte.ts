import { loadHistory } from '../api/client';
import type { Value } from '../api/values';
import { isNewer } from './newest';
import type { KpiValues } from './values.svelte';

/** One value for each window end, the newest, oldest window first. */
export function byWindow(...sources: Iterable<Value>[]): Value[] {
  const newest = new Map<number, Value>();
  for (const source of sources) {
    for (const value of source) if (isNewer(value, newest.get(value.end))) newest.set(value.end, value);
  }
  return [...newest.values()].sort((a, b) => a.end - b.end);
}

/** The values of one series' past windows: read once, then kept up by what the stream brings. */
export class History {
  state = $state<'loading' | 'here' | 'failed'>('loading');
  private read = $state.raw<Value[]>([]);
  private readonly passed: ReadonlyMap<number, Value>;
  private readonly values: KpiValues;
  private readonly kpi: string;
  private readonly dims: Record<string, string>;
  private readonly series: string;

  constructor(kpi: string, dims: Record<string, string>, series: string, values: KpiValues) {
    [this.kpi, this.dims, this.series, this.values] = [kpi, dims, series, values];
    this.passed = values.keepPast(series);
  }

  async load(from?: number): Promise<void> {
    try {
      this.read = await loadHistory(this.kpi, this.dims, from);
      this.state = 'here';
    } catch {
      this.state = 'failed';
    }
  }

  /** Up to the current window. Follows the KPI's values. */
  get points(): Value[] {
    void this.values.version;
    const current = this.values.series.get(this.series);
    return byWindow(this.read, this.passed.values(), current ? [current] : []);
  }
}
