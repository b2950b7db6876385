import type { Kpi } from '../api/catalog';

const MOST = 5;

/** KPIs whose names are like a name that there is not, the likest first: they share parts of it, or begin alike. */
export function meantBy(name: string, kpis: Kpi[]): Kpi[] {
  const wanted = partsOf(name);
  const likeness = (kpi: Kpi) => {
    const parts = [...partsOf(kpi.name), ...partsOf(kpi.title)];
    const shared = wanted.filter((one) => parts.some((part) => part.startsWith(one) || one.startsWith(part)));
    return shared.join('').length;
  };
  return kpis
    .map((kpi) => ({ kpi, like: likeness(kpi) }))
    .filter(({ like }) => like > 2)
    .sort((a, b) => b.like - a.like)
    .slice(0, MOST)
    .map(({ kpi }) => kpi);
}

function partsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((part) => part.length > 1);
}
