import type { Value } from '../api/values';
import { isNewer } from './newest';

/** As many as the store keeps of a series. */
const MOST_PAST = 500;

/** The current values of one KPI. Reading `version` makes a reader follow them, once a frame however much comes. */
export class KpiValues {
  readonly series = new Map<string, Value>();
  newestWatermark: number | null = null;
  version = $state(0);
  private readonly past = new Map<string, Map<number, Value>>();

  /** Whether anything changed that is shown. */
  take(value: Value): boolean {
    const held = this.series.get(value.series);
    if (!isNewer(value, held)) return held !== undefined && value.end < held.end && this.pass(value);
    if (held && held.end < value.end) this.pass(held);
    this.series.set(value.series, value);
    if (value.watermark !== null && value.watermark > (this.newestWatermark ?? -Infinity)) {
      this.newestWatermark = value.watermark;
    }
    return true;
  }

  /** These are all there are: what is not among them is gone. */
  replace(values: Value[]): void {
    this.series.clear();
    this.newestWatermark = null;
    for (const value of values) this.take(value);
  }

  /** From now on, the values that this series leaves behind are kept: by window end, the newest of each. */
  keepPast(series: string): ReadonlyMap<number, Value> {
    let kept = this.past.get(series);
    if (!kept) {
      kept = new Map();
      this.past.set(series, kept);
    }
    return kept;
  }

  private pass(value: Value): boolean {
    const kept = this.past.get(value.series);
    if (!kept || !isNewer(value, kept.get(value.end))) return false;
    kept.delete(value.end);
    kept.set(value.end, value);
    if (kept.size > MOST_PAST) kept.delete(kept.keys().next().value ?? 0);
    return true;
  }
}

/** The current values of all KPIs that the page follows. Changes reach the screen once a frame. */
export class Values {
  private readonly held = new Map<string, KpiValues>();
  private readonly changed = new Set<string>();
  private frame = 0;
  /** Changes with anything; for what looks at all KPIs together. */
  version = $state(0);

  of(kpi: string): KpiValues {
    let values = this.held.get(kpi);
    if (!values) {
      values = new KpiValues();
      this.held.set(kpi, values);
    }
    return values;
  }

  take(values: Iterable<Value>): void {
    for (const value of values) if (this.of(value.kpi).take(value)) this.touch(value.kpi);
  }

  /** All current values of a KPI at once. */
  replace(kpi: string, values: Value[]): void {
    this.of(kpi).replace(values);
    this.touch(kpi);
  }

  get newestWatermark(): number | null {
    let newest: number | null = null;
    for (const { newestWatermark } of this.held.values()) {
      if (newestWatermark !== null && newestWatermark > (newest ?? -Infinity)) newest = newestWatermark;
    }
    return newest;
  }

  private touch(kpi: string): void {
    this.changed.add(kpi);
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      for (const name of this.changed) this.of(name).version += 1;
      this.changed.clear();
      this.version += 1;
    });
  }
}
