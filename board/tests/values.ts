import { parseExact } from '../src/api/json';
import { readValue, type Value } from '../src/api/values';

const OBJECT = `{"kpi": "revenue", "dims": {"region": "EU"}, "window": {"start": "2026-10-24T00:00:00+02:00",
 "end": "2026-11-23T00:00:00+01:00"}, "state": "open", "revision": 0, "progress": 918273645, "value": 1213440.55, "reason": null,
 "samples": 48211, "watermark": "2026-11-22T22:41:07Z", "definition": "9f2c41d07a3e", "unit": "EUR", "target": 1200000,
 "status": "ok", "status_reason": "1.1 % above target", "pace": null, "compare": {"value": 1150200.10, "change": 0.055},
 "final_after": "2026-11-24T00:00:00+01:00"}`;

/** The documented value object, with other members where they are given. */
export function value(other: Partial<Value> = {}): Value {
  const read = readValue(parseExact(OBJECT));
  if (!read) throw new Error('the documented object is not read as a value');
  return { ...read, ...other };
}
