import { readAlert, readSilence, type Alert, type Silence } from './alerts';
import {
  readCatalog,
  readFindings,
  readKpi,
  readKpiDetail,
  type Catalog,
  type Findings,
  type Kpi,
  type KpiDetail,
} from './catalog';
import { Members, parseExact } from './json';
import { readValues, type Value } from './values';

export const API = '/api/v1';

/** An answer that is not what was asked for. `status` 0: nothing answered. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export async function loadCatalog(): Promise<Catalog> {
  return readCatalog(await get('/catalog'));
}

export async function loadKpis(): Promise<Kpi[]> {
  return (await pages('/kpis', { limit: '1000' }, 'kpis')).map(readKpi);
}

export async function loadKpi(name: string): Promise<KpiDetail> {
  return readKpiDetail(await get(`/kpis/${encodeURIComponent(name)}`));
}

export async function loadFindings(): Promise<Findings> {
  return readFindings(await get('/findings'));
}

export async function loadAlerts(): Promise<Alert[]> {
  return new Members(await get('/alerts')).list('alerts').map(readAlert);
}

/** Those made by command, or over HTTP; the catalog has others. */
export async function loadSilences(): Promise<Silence[]> {
  return new Members(await get('/silences')).list('silences').map(readSilence);
}

/** Newest values of the past windows of one series, oldest first; `from` in epoch milliseconds. */
export async function loadHistory(kpi: string, dims: Record<string, string>, from?: number): Promise<Value[]> {
  const query = from === undefined ? dims : { ...dims, from: new Date(from).toISOString() };
  return readValues(new Members(await get(`/kpis/${encodeURIComponent(kpi)}/history`, query)).list('values'));
}

/** Ends in a session cookie that scripts cannot read. Throws ApiError. */
export async function startSession(token: string): Promise<void> {
  await request('/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  });
}

async function pages(path: string, query: Record<string, string>, member: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Members = new Members(await get(path, cursor ? { ...query, cursor } : query));
    found.push(...page.list(member));
    cursor = page.text('next');
  }
  return found;
}

async function get(path: string, query: Record<string, string> = {}): Promise<unknown> {
  const asked = new URLSearchParams(query).toString();
  const answer = await request(asked ? `${path}?${asked}` : path, {});
  return parseExact(await answer.text());
}

async function request(path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(API + path, { ...init, credentials: 'same-origin' });
  } catch {
    throw new ApiError(0, 'The service does not answer.');
  }
  if (!answer.ok) throw new ApiError(answer.status, await problemOf(answer));
  return answer;
}

/** What a problem document (RFC 9457) says. */
async function problemOf(answer: Response): Promise<string> {
  try {
    const problem = new Members(parseExact(await answer.text()));
    return problem.text('detail') ?? problem.text('title') ?? `The service answered ${answer.status}.`;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}
