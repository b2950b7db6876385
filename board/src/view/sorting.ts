import type { Kpi } from '../api/catalog';
import type { Value } from '../api/values';
import { dimensionWord, gravity, standingOf } from '../words/statuses';
import { shortfall } from '../words/targets';

/** What a breakdown is sorted by: a column of every KPI, or a dimension as `dim.region`. */
export type Column = 'value' | 'target' | 'status' | 'change' | 'samples' | 'age' | `dim.${string}`;

export interface Sorting {
  by: Column;
  descending: boolean;
}

const COLUMNS = ['value', 'target', 'status', 'change', 'samples', 'age'] as const;

/** `value`, `-value` for descending, as an address has it. */
export function readSorting(text: string | null, groupBy: string[]): Sorting {
  const descending = text?.startsWith('-') ?? false;
  const name = descending ? (text ?? '').slice(1) : (text ?? '');
  const known =
    COLUMNS.find((one) => one === name) ?? groupBy.map((one) => `dim.${one}` as const).find((one) => one === name);
  return known ? { by: known, descending } : { by: 'status', descending: false };
}

export function sortingText(sorting: Sorting): string {
  return (sorting.descending ? '-' : '') + sorting.by;
}

/**
 * Sorted copies; what has nothing to be sorted by comes last either way, and equals keep an order of their own. Of the
 * same status, who is further from the target comes first.
 */
export function sorted(values: Value[], sorting: Sorting, kpi: Pick<Kpi, 'objectives' | 'favorable'>): Value[] {
  const sign = sorting.descending ? -1 : 1;
  const keys = values.map((value) => ({
    value,
    key: keyOf(value, sorting.by),
    short: sorting.by === 'status' ? shortfall(kpi, value) : null,
  }));
  keys.sort((a, b) => {
    if (a.key === null || b.key === null) {
      if (a.key !== b.key) return a.key === null ? 1 : -1;
    } else {
      const order =
        typeof a.key === 'number' && typeof b.key === 'number'
          ? a.key - b.key
          : COLLATOR.compare(String(a.key), String(b.key));
      if (order !== 0) return sign * order;
    }
    if (a.short !== null && b.short !== null && a.short !== b.short) return sign * (b.short - a.short);
    return descendingValue(a.value, b.value) || COLLATOR.compare(a.value.series, b.value.series);
  });
  return keys.map(({ value }) => value);
}

const COLLATOR = new Intl.Collator('en', { numeric: true });

function descendingValue(a: Value, b: Value): number {
  return Number(b.value ?? -Infinity) - Number(a.value ?? -Infinity) || 0;
}

function keyOf(value: Value, by: Column): number | string | null {
  switch (by) {
    case 'value':
      return value.value === null ? null : Number(value.value);
    case 'target':
      return value.target === null ? null : Number(value.target);
    case 'status':
      return gravity(standingOf(value));
    case 'change':
      return value.change === null ? null : Number(value.change);
    case 'samples':
      return value.samples;
    case 'age':
      return value.watermark === null ? null : -value.watermark;
    default:
      return dimensionWord(value.dims[by.slice('dim.'.length)] ?? null);
  }
}

/** Series with all these words in their dimension values. */
export function found(values: Value[], search: string): Value[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return values;
  return values.filter((value) => {
    const text = Object.values(value.dims).map(dimensionWord).join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
