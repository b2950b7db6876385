import type { Kpi, Objective } from '../api/catalog';
import { NULL, type Value } from '../api/values';
import { rounded, roundedNumber } from './numbers';

/** What values are held to. */
type Held = Pick<Kpi, 'objectives'>;

/** What an objective asks of a value, as numbers for drawing; null where a side is free. */
export interface Bounds {
  lower: number | null;
  upper: number | null;
  /** Beyond these a miss is critical. */
  warnLower: number | null;
  warnUpper: number | null;
}

/**
 * The objective that a series is held to in a window that ends at `end`: of those that apply, the one with the most
 * conditions, then the latest first day, then the last written.
 */
export function objectiveOf(kpi: Held, dims: Record<string, string | null>, end: number): Objective | null {
  let held: Objective | null = null;
  for (const objective of kpi.objectives) {
    const applies =
      Object.entries(objective.where).every(([name, text]) => (dims[name] ?? NULL) === (text ?? NULL)) &&
      (objective.validFrom === null || Date.parse(objective.validFrom) < end);
    if (applies && (held === null || outranks(objective, held))) held = objective;
  }
  return held;
}

function outranks(objective: Objective, held: Objective): boolean {
  const conditions = Object.keys(objective.where).length - Object.keys(held.where).length;
  if (conditions !== 0) return conditions > 0;
  return (objective.validFrom ?? '') >= (held.validFrom ?? '');
}

export function boundsOf(objective: Objective): Bounds {
  const [value, slack] = [Number(objective.value), Number(objective.warnWithin)];
  const lower = objective.op === 'lte' ? null : value;
  const upper = objective.op === 'lte' ? value : objective.op === 'between' ? Number(objective.upper) : null;
  return {
    lower,
    upper,
    warnLower: lower === null ? null : lower - Math.abs(lower) * slack,
    warnUpper: upper === null ? null : upper + Math.abs(upper) * slack,
  };
}

/** `at least 380,000 USD`, `1 to 2 %`. */
export function objectiveWords(objective: Objective, unit: string | null): string {
  if (objective.op === 'between') {
    return `${roundedNumber(objective.value, unit)} to ${rounded(objective.upper ?? objective.value, unit)}`;
  }
  return `${objective.op === 'gte' ? 'at least' : 'at most'} ${rounded(objective.value, unit)}`;
}

/** What a value aims at, from its objective or else from the target that came with it. */
export function targetWords(kpi: Held, value: Value): string | null {
  const objective = objectiveOf(kpi, value.dims, value.end);
  if (objective) return objectiveWords(objective, value.unit);
  return value.target === null ? null : rounded(value.target, value.unit);
}

/** The bounds that a value has missed, as they are written: it must not look as if it had met them. */
export function missedBounds(kpi: Held, value: Value): string[] {
  if (value.status === null || value.status === 'ok') return [];
  const objective = objectiveOf(kpi, value.dims, value.end);
  const bounds = objective ? [objective.value, objective.upper] : [value.target];
  return bounds.filter((bound) => bound !== null);
}

/**
 * How far a value is from what it is held to, as a share of it: above 0 where it missed that, below where there is room.
 * Without a target the favorable direction decides; null where nothing does.
 */
export function shortfall(kpi: Held & Pick<Kpi, 'favorable'>, value: Value): number | null {
  if (value.value === null) return null;
  const number = Number(value.value);
  const objective = objectiveOf(kpi, value.dims, value.end);
  if (!objective) return kpi.favorable === 'up' ? -number : kpi.favorable === 'down' ? number : null;
  const { lower, upper } = boundsOf(objective);
  const missed = [
    lower === null ? null : (lower - number) / size(lower),
    upper === null ? null : (number - upper) / size(upper),
  ];
  return Math.max(...missed.filter((one) => one !== null));
}

function size(bound: number): number {
  return Math.abs(bound) || 1;
}

/** `82 % of pace, forecast 931 k (880 k to 982 k)` of a value that is still filling; null without pacing. */
export function paceWords(value: Value): string | null {
  const { share, forecast, low, high } = value.pace ?? {};
  if (!share || !forecast) return null;
  const near = Math.round(Number(share) * 1e6) / 1e4;
  const percent = near < 100 ? Math.floor(near) : Math.ceil(near);
  const within = low && high && low !== high ? ` (${rounded(low, value.unit)} to ${rounded(high, value.unit)})` : '';
  return `${percent}\u00a0% of pace, forecast ${rounded(forecast, value.unit)}${within}`;
}

/** The reason for a status with the bounds it names in the value's unit: the engine names shares as shares. */
export function reasonWords(value: Value): string | null {
  if (value.statusReason === null || value.unit !== 'ratio') return value.statusReason;
  const within = /^within (\S+) to (\S+)$/.exec(value.statusReason);
  if (within) return `within ${roundedNumber(within[1] ?? '', 'ratio')} to ${rounded(within[2] ?? '', 'ratio')}`;
  const beyond = /^(.* %) (above|below) (-?[\d.]+)$/.exec(value.statusReason);
  return beyond ? `${beyond[1]} ${beyond[2]} ${rounded(beyond[3] ?? '', 'ratio')}` : value.statusReason;
}
