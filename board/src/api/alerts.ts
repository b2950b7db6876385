import { Members } from './json';
import { oneOf, readDims } from './values';

/** An alert that is pending or firing. */
export interface Alert {
  name: string;
  kpi: string;
  dims: Record<string, string | null>;
  state: 'pending' | 'firing';
  severity: 'critical' | 'warning' | 'info' | null;
  since: number | null;
  /** Why, in words. */
  reason: string;
  value: string | null;
  bound: string | null;
  unit: string | null;
  /** Its condition has ended, and it goes on firing for a while. */
  recoveringSince: number | null;
  /** The alert that says it already, or the silence that covers it: then nobody is told. */
  mutedBy: { name: string; kpi: string } | null;
  silencedBy: string | null;
  summary: string | null;
  /** Only an address of the web. */
  runbook: string | null;
}

export interface Silence {
  id: string;
  comment: string;
  until: number | null;
  by: string | null;
}

export function readAlert(json: unknown): Alert {
  const members = new Members(json);
  const [name = '', kpi = ''] = members.text('muted_by')?.split('|') ?? [];
  const runbook = members.text('runbook_url');
  return {
    name: members.text('alert') ?? 'alert',
    kpi: members.text('kpi') ?? '',
    dims: readDims(members.object('dims')),
    state: oneOf(members.text('state'), ['pending', 'firing']) ?? 'firing',
    severity: oneOf(members.text('severity'), ['critical', 'warning', 'info']),
    since: members.time('since'),
    reason: members.text('reason') ?? '',
    value: members.text('value'),
    bound: members.text('bound'),
    unit: members.text('unit'),
    recoveringSince: members.time('recovering_since'),
    mutedBy: name ? { name, kpi } : null,
    silencedBy: members.text('silenced_by'),
    summary: members.object('annotations')?.text('summary') ?? null,
    runbook: runbook !== null && /^https?:\/\//i.test(runbook) ? runbook : null,
  };
}

export function readSilence(json: unknown): Silence {
  const members = new Members(json);
  return {
    id: members.text('id') ?? '',
    comment: members.text('comment') ?? '',
    until: members.time('until'),
    by: members.text('by'),
  };
}
