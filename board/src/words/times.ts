/** Times and lengths of time as people read them. Times are epoch milliseconds, shown in the catalog's time zone. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

type Shown = 'minute' | 'day' | 'day-of-year' | 'month' | 'year' | 'second' | 'clock';

const FORMS: Record<Shown, Intl.DateTimeFormatOptions> = {
  clock: { hour: '2-digit', minute: '2-digit' },
  minute: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  second: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  day: { day: 'numeric', month: 'short' },
  'day-of-year': { day: 'numeric', month: 'short', year: 'numeric' },
  month: { month: 'short', year: 'numeric' },
  year: { year: 'numeric' },
};

const formats = new Map<string, Intl.DateTimeFormat>();

export function shownTime(time: number, zone: string, shown: Shown = 'minute'): string {
  const key = `${shown} ${zone}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat('en-GB', { ...FORMS[shown], timeZone: knownZone(zone), hourCycle: 'h23' });
    formats.set(key, format);
  }
  return format.format(time);
}

/** A date of the catalog, as `2026-10-01`. */
export function shownDay(date: string): string {
  const time = Date.parse(date);
  return Number.isNaN(time) ? date : shownTime(time, 'UTC', 'day-of-year');
}

/** The mark of an axis at a time, where marks are `step` milliseconds apart: a day where the day changes, else hours. */
export function axisMark(time: number, step: number, zone: string): string {
  if (step >= 300 * DAY) return shownTime(time, zone, 'year');
  if (step >= 25 * DAY) return shownTime(time, zone, 'month');
  if (step >= DAY) return shownTime(time, zone, 'day');
  const clock = shownTime(time, zone, 'clock');
  return clock === '00:00' ? shownTime(time, zone, 'day') : clock;
}

/** UTC where the browser has not heard of the zone. */
export function knownZone(zone: string): string {
  try {
    return new Intl.DateTimeFormat('en-GB', { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    return 'UTC';
  }
}

/** A length of time in its largest unit: `12 s`, `3 min`, `2 h`, `5 days`. */
export function shownLength(milliseconds: number): string {
  const length = Math.max(0, milliseconds);
  if (length < MINUTE) return `${Math.floor(length / 1000)} s`;
  if (length < HOUR) return `${Math.floor(length / MINUTE)} min`;
  if (length < 2 * DAY) return `${Math.floor(length / HOUR)} h`;
  return `${Math.floor(length / DAY)} days`;
}

/** How old the data is: `12 s old`; events of a replay may be ahead of the clock. */
export function shownAge(age: number): string {
  if (age < -MINUTE) return `${shownLength(-age)} ahead of the clock`;
  return `${shownLength(age)} old`;
}

/** A window [start, end): whole days by their first and last day, within a day by its hours, else from time to time. */
export function shownSpan(start: number, end: number, zone: string): string {
  const years = end - start > 300 * DAY; // without them a window of a year seems to end before it starts
  const day = years ? 'day-of-year' : 'day';
  const [first, last] = [shownTime(start, zone, day), shownTime(end - 1, zone, day)];
  const midnight = (time: number) => shownTime(time, zone, 'clock') === '00:00';
  if (midnight(start) && midnight(end)) return first === last && end - start < 2 * DAY ? first : `${first} – ${last}`;
  if (years)
    return `${first}, ${shownTime(start, zone, 'clock')} – ${shownTime(end, zone, day)}, ${shownTime(end, zone, 'clock')}`;
  if (first === last && end - start < 2 * DAY) {
    const until = midnight(end) ? '24:00' : shownTime(end, zone, 'clock');
    return `${first}, ${shownTime(start, zone, 'clock')} – ${until}`;
  }
  return `${shownTime(start, zone)} – ${shownTime(end, zone)}`;
}
