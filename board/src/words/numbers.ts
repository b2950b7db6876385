/**
 * Numbers as people read them, from decimals given as text: `exact` keeps every digit, `rounded` those that matter at a
 * glance. Shares (unit `ratio`) are shown as percentages.
 */

const MINUS = '\u2212';
const NO_BREAK = '\u00a0';
const MOST_DIGITS = 12;

/** The number with all its digits and its unit: `1,213,440.55 EUR`, `14.8235 %`. */
export function exact(value: string, unit: string | null, leastDigits = 0): string {
  const text = unit === 'ratio' ? shifted(plain(value), 2) : plain(value);
  return withUnit(grouped(filled(text, leastDigits)), unit);
}

/** How many digits behind the point these numbers need, so that all of them can be written with as many. */
export function digitsBehind(values: (string | null)[], unit: string | null): number {
  const lengths = values.map((value) => {
    if (value === null) return 0;
    const text = unit === 'ratio' ? shifted(plain(value), 2) : plain(value);
    return (text.split('.')[1] ?? '').length;
  });
  return Math.max(0, ...lengths);
}

function filled(text: string, leastDigits: number): string {
  const [before = '', after = ''] = text.split('.');
  return after.length >= leastDigits ? text : `${before}.${after.padEnd(leastDigits, '0')}`;
}

/** The same with the digits that a glance needs: `1,213,441 EUR`, `14.82 %`, `12.35 M EUR`. */
export function rounded(value: string, unit: string | null, bounds: string[] = []): string {
  return withUnit(roundedNumber(value, unit, bounds), unit);
}

/** `rounded` without its unit. With as many more digits as it takes to tell the number from the `bounds` it missed. */
export function roundedNumber(value: string, unit: string | null, bounds: string[] = []): string {
  const text = unit === 'ratio' ? shifted(plain(value), 2) : plain(value);
  const others = bounds.map((bound) => (unit === 'ratio' ? shifted(plain(bound), 2) : plain(bound)));
  const size = Math.abs(Number(text));
  for (const [limit, places, letter] of [
    [1e15, 12, 'T'],
    [1e12, 12, 'T'],
    [1e10, 9, 'B'],
    [1e7, 6, 'M'],
  ] as const) {
    if (size >= limit) return grouped(cut(shifted(text, -places), 2)) + NO_BREAK + letter;
  }
  let digits = unit === 'ratio' ? digitsOfShare(size) : digitsOf(size);
  const hidden = () =>
    others.some((bound) => Number(bound) !== Number(text) && Number(cut(text, digits)) === Number(cut(bound, digits)));
  while (digits < MOST_DIGITS && hidden()) digits += 1;
  return grouped(cut(text, digits));
}

export function unitWord(unit: string | null): string {
  return unit === 'ratio' ? '%' : (unit ?? '');
}

/** A share as a change: `+5.5 %`, `−0.3 %`, `±0 %`. */
export function signedShare(share: string): string {
  const percent = shifted(plain(share), 2);
  const size = Math.abs(Number(percent));
  const text = cut(percent, size >= 100 ? 0 : 1);
  if (Number(text) === 0) return `${size === 0 ? '±' : Number(percent) > 0 ? '+' : MINUS}0${NO_BREAK}%`;
  return `${Number(text) > 0 ? '+' : ''}${grouped(text)}${NO_BREAK}%`;
}

/** The mark of an axis whose marks are `step` apart: all of them with the same digits. */
export function axisNumber(mark: number, step: number): string {
  if (Math.abs(mark) >= 1e7) return roundedNumber(String(mark), null);
  const digits = (plain(String(step)).split('.')[1] ?? '').length;
  return grouped(mark.toFixed(Math.min(digits, 12)));
}

/** A whole number with separators. */
export function whole(count: number): string {
  return grouped(String(Math.round(count)));
}

function withUnit(number: string, unit: string | null): string {
  const word = unitWord(unit);
  return word ? number + NO_BREAK + word : number;
}

function digitsOf(size: number): number {
  if (size >= 10_000 || size === 0) return 0;
  return size >= 1 ? 2 : Math.min(12, 2 - Math.floor(Math.log10(size)));
}

function digitsOfShare(percent: number): number {
  if (percent >= 100) return 1;
  return percent >= 0.1 ? 2 : digitsOf(percent);
}

/** A decimal without an exponent. */
export function plain(text: string): string {
  const found = /^(-?)(\d+)(?:\.(\d+))?[eE]([+-]?\d+)$/.exec(text);
  if (!found) return text;
  const [, sign = '', before = '', after = '', exponent = '0'] = found;
  return shifted(sign + before + (after ? `.${after}` : ''), Number(exponent));
}

/** The decimal times ten to the power of `places`, digit by digit. */
export function shifted(text: string, places: number): string {
  const negative = text.startsWith('-');
  const [before = '0', after = ''] = (negative ? text.slice(1) : text).split('.');
  const digits = before + after;
  const point = before.length + places;
  const padded = point <= 0 ? '0'.repeat(1 - point) + digits : digits.padEnd(point, '0');
  const place = Math.max(point, 1);
  const integer = padded.slice(0, place).replace(/^0+(?=\d)/, '');
  const fraction = padded.slice(place);
  return (negative ? '-' : '') + integer + (fraction ? `.${fraction}` : '');
}

/** Rounded half away from zero to at most `digits` behind the point; a fraction of zeros is left out. */
export function cut(text: string, digits: number): string {
  const negative = text.startsWith('-');
  const [before = '0', after = ''] = (negative ? text.slice(1) : text).split('.');
  if (!/^\d+$/.test(before)) return text;
  let scaled = BigInt(before + after.slice(0, digits).padEnd(digits, '0'));
  if ((after[digits] ?? '0') >= '5') scaled += 1n;
  const all = scaled.toString().padStart(digits + 1, '0');
  const integer = all.slice(0, all.length - digits);
  const fraction = digits > 0 ? all.slice(-digits) : '';
  const shown = /[1-9]/.test(fraction) ? `${integer}.${fraction}` : integer;
  return negative && /[1-9]/.test(shown) ? `-${shown}` : shown;
}

function grouped(text: string): string {
  const negative = text.startsWith('-');
  const [before = '', after] = (negative ? text.slice(1) : text).split('.');
  const integer = before.replace(/\B(?=(\d{3})+$)/g, ',');
  return (negative ? MINUS : '') + integer + (after ? `.${after}` : '');
}
