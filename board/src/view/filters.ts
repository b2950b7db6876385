import type { Kpi } from '../api/catalog';
import { STANDINGS, type Standing } from '../words/statuses';

/** What of the overview is shown. It lives in the address, so that a link shows the same. */
export interface Filters {
  search: string;
  goal: string;
  owner: string;
  category: string;
  indicator: string;
  status: Standing | '';
  /** Dimension values, `dim.region=EU` in the address. */
  dims: Record<string, string>;
}

export const NO_FILTERS: Filters = {
  search: '',
  goal: '',
  owner: '',
  category: '',
  indicator: '',
  status: '',
  dims: {},
};

const FACETS = ['goal', 'owner', 'category', 'indicator'] as const;

export function readFilters(query: URLSearchParams): Filters {
  const filters: Filters = { ...NO_FILTERS, dims: {}, search: query.get('q') ?? '' };
  for (const facet of FACETS) filters[facet] = query.get(facet) ?? '';
  filters.status = STANDINGS.find((standing) => standing === query.get('status')) ?? '';
  for (const [name, text] of query) if (name.startsWith('dim.')) filters.dims[name.slice(4)] = text;
  return filters;
}

/** Only what is set, in a fixed order: the same filters make the same address. */
export function filtersQuery(filters: Filters): URLSearchParams {
  const query = new URLSearchParams();
  if (filters.search) query.set('q', filters.search);
  for (const facet of FACETS) if (filters[facet]) query.set(facet, filters[facet]);
  if (filters.status) query.set('status', filters.status);
  for (const name of Object.keys(filters.dims).sort()) {
    if (filters.dims[name]) query.set(`dim.${name}`, filters.dims[name]);
  }
  return query;
}

export function isFiltered(filters: Filters): boolean {
  return filtersQuery(filters).size > 0;
}

/** Whether the KPI itself passes; its values' status is looked at elsewhere. */
export function passes(kpi: Kpi, filters: Filters): boolean {
  if (!FACETS.every((facet) => !filters[facet] || (kpi[facet] ?? '') === filters[facet])) return false;
  if (!Object.keys(filters.dims).every((name) => kpi.groupBy.includes(name))) return false;
  const words = filters.search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${kpi.name} ${kpi.title} ${kpi.description ?? ''} ${kpi.owner ?? ''}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

/** Whether a series has these dimension values; `text` of a missing one is as the API writes it. */
export function hasDims(dims: Record<string, string | null>, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([name, text]) => (dims[name] ?? '__null__') === text);
}
