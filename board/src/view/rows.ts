/** Rows of a long table that are in the document: those on the screen, and a few around them. */
export interface Slice {
  start: number;
  end: number;
  /** Pixels of the rows left out above and below. */
  above: number;
  below: number;
}

const AROUND = 8;

export function sliceOf(count: number, rowHeight: number, scrolled: number, height: number): Slice {
  const first = Math.floor(Math.max(0, scrolled) / rowHeight);
  const start = Math.max(0, Math.min(first - AROUND, count));
  const end = Math.min(count, first + Math.ceil(height / rowHeight) + AROUND);
  return {
    start,
    end: Math.max(start, end),
    above: start * rowHeight,
    below: (count - Math.max(start, end)) * rowHeight,
  };
}
