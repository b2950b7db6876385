export type Page =
  | { name: 'overview' }
  | { name: 'kpi'; kpi: string }
  | { name: 'alerts' }
  | { name: 'wall' }
  | { name: 'unknown'; path: string };

export function pageOf(path: string): Page {
  if (path === '/') return { name: 'overview' };
  if (path === '/alerts') return { name: 'alerts' };
  if (path === '/wall') return { name: 'wall' };
  const found = /^\/kpi\/([^/]+)$/.exec(path);
  const kpi = found ? decoded(found[1] ?? '') : null;
  return kpi === null ? { name: 'unknown', path } : { name: 'kpi', kpi };
}

/** Null where it is not encoded as addresses are: people type them, and cut them off. */
function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
