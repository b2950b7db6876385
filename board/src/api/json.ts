import { parse } from 'lossless-json';

/**
 * JSON in which every number stays the text that it was written as: a double would lose digits of a decimal.
 * Throws SyntaxError.
 */
export function parseExact(text: string): unknown {
  return parse(text, undefined, (number) => number);
}

/** One object's members, read with the type that each is known to have; what is missing reads as null. */
export class Members {
  private readonly found: Record<string, unknown>;

  constructor(json: unknown) {
    this.found = json !== null && typeof json === 'object' && !Array.isArray(json) ? { ...json } : {};
  }

  text(name: string): string | null {
    const member = this.found[name];
    return typeof member === 'string' ? member : typeof member === 'boolean' ? String(member) : null;
  }

  /** A number that a double holds exactly enough: a count, a score. */
  number(name: string): number | null {
    const text = this.text(name);
    return text === null || text === '' || Number.isNaN(Number(text)) ? null : Number(text);
  }

  flag(name: string): boolean | null {
    const member = this.found[name];
    return typeof member === 'boolean' ? member : null;
  }

  /** Milliseconds since the epoch of an RFC 3339 time. */
  time(name: string): number | null {
    const text = this.text(name);
    const time = text === null ? NaN : Date.parse(text);
    return Number.isNaN(time) ? null : time;
  }

  object(name: string): Members | null {
    const member = this.found[name];
    return member !== null && typeof member === 'object' && !Array.isArray(member) ? new Members(member) : null;
  }

  list(name: string): unknown[] {
    const member = this.found[name];
    return Array.isArray(member) ? member : [];
  }

  texts(name: string): string[] {
    return this.list(name).filter((one) => typeof one === 'string');
  }

  entries(): [string, unknown][] {
    return Object.entries(this.found);
  }
}
