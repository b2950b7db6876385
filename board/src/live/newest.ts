import type { Value } from '../api/values';

/**
 * Whether `value` takes the place of `held`: of two values of a series the one with the higher (window end, progress,
 * revision) is the newer, whatever order they arrive in. Values of different definitions cannot be compared so; there
 * the one that came later counts, as the store's own order has already decided between them.
 */
export function isNewer(value: Value, held: Value | undefined): boolean {
  if (held === undefined || value.definition !== held.definition) return true;
  if (value.end !== held.end) return value.end > held.end;
  if (value.progress !== held.progress) return value.progress > held.progress;
  return value.revision > held.revision;
}
