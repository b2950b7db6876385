import type { Kpi } from '../api/catalog';
import type { Status, Value } from '../api/values';
import { OTHER } from '../api/values';

/** A value's standing: its status, or why it has none. */
export type Standing = Status | 'none';

export const STANDINGS: readonly Standing[] = ['critical', 'warning', 'ok', 'none'];

export const STANDING_WORDS: Record<Standing, string> = {
  ok: 'On target',
  warning: 'Warning',
  critical: 'Critical',
  none: 'No status',
};

/** What a value without a status lacks: it is not over yet, or there is nothing to hold it to. */
export function standingWords(value: Value): string {
  if (value.status !== null) return STANDING_WORDS[value.status];
  if (value.value === null) return 'No value';
  return value.target === null ? 'No target' : 'Not over yet';
}

/** `head of merchandising`, of the catalog's `head_of_merchandising`. */
export function spoken(name: string): string {
  return name.replaceAll('_', ' ');
}

export function standingOf(value: Value | undefined): Standing {
  return value?.status ?? 'none';
}

/** Which comes first where the worst is shown first. */
export function gravity(standing: Standing): number {
  return STANDINGS.indexOf(standing);
}

export function stateWords(value: Value): string {
  if (value.state === 'open') return 'filling';
  if (value.state === 'closed') return 'closed';
  const times = value.revision - 1;
  return times > 1 ? `revised ${times} times` : 'revised';
}

const REASONS: Record<string, string> = {
  no_data: 'no data in this window',
  zero_denominator: 'nothing to divide by',
  incomplete_history: 'the history is not complete',
};

/** What to look at where a KPI has no value. */
export const NO_VALUE_YET = 'No event that it counts has come, or no worker counts by this catalog.';

/** What `samples` counts. */
export function samplesWords(kpi: Pick<Kpi, 'type'>, metrics: string[] = []): string {
  if (kpi.type === 'simple') return 'events behind the value';
  const named = metrics.length > 1 ? `: ${listed(metrics)}` : '';
  return `events behind the value, of the one metric with the fewest${named}`;
}

function listed(words: string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}

/** Why there is no value, or what to know of the one there is. */
export function reasonOf(value: Value): string | null {
  return value.reason === null ? null : (REASONS[value.reason] ?? value.reason.replaceAll('_', ' '));
}

/** `GROCERY`, `EU · paid`; what is missing and what was folded have words of their own. */
export function seriesTitle(dims: Record<string, string | null>): string {
  const shown = Object.values(dims).map(dimensionWord);
  return shown.length > 0 ? shown.join(' · ') : 'all';
}

export function dimensionWord(text: string | null): string {
  if (text === null) return '(none)';
  if (text.trim() === '') return '(empty)';
  return text === OTHER ? 'all others' : text;
}

/** Whether a change is to the good; null where that says nothing. */
export function isBetter(change: string | null, favorable: 'up' | 'down' | 'range' | null): boolean | null {
  const size = change === null ? 0 : Number(change);
  if (size === 0 || favorable === null || favorable === 'range') return null;
  return size > 0 === (favorable === 'up');
}
