import { Members } from './json';
import { oneOf, readDims } from './values';

export interface Goal {
  name: string;
  title: string;
  owner: string | null;
}

export interface Catalog {
  name: string;
  title: string;
  goals: Goal[];
  timezone: string;
  definition: string;
}

export interface Objective {
  op: 'gte' | 'lte' | 'between';
  value: string;
  upper: string | null;
  where: Record<string, string | null>;
  validFrom: string | null;
  /** A share of the bound. */
  warnWithin: string;
}

export interface Review {
  every: string;
  last: string;
  due: string | null;
  overdue: boolean;
}

export interface Window {
  type: string;
  words: string;
  /** The catalog's words for the sizes: `30d`, `1h`, `month`. */
  sizes: Record<string, string>;
}

export interface Kpi {
  name: string;
  title: string;
  description: string | null;
  type: string;
  goal: string | null;
  owner: string | null;
  category: string | null;
  indicator: string | null;
  favorable: 'up' | 'down' | 'range' | null;
  unit: string | null;
  groupBy: string[];
  window: Window;
  /** Its days and hours are those of this zone. */
  timezone: string;
  /** How far back the compared window lies: `30d`. */
  compare: string | null;
  objectives: Objective[];
  review: Review | null;
  labels: [string, string][];
  definition: string;
  seriesCount: number;
}

export interface KpiDetail extends Kpi {
  words: string;
  yaml: string;
  /** Names of what it is made of. */
  metrics: string[];
  findings: Finding[];
  place: string | null;
  alerts: Rule[];
}

/** A rule that may fire, as the catalog has it: lengths of time as it writes them, `15m`. */
export interface Rule {
  name: string;
  severity: string | null;
  /** What raises it, as `below`, and the bounds or other words of it. */
  condition: string;
  bounds: string[];
  recover: string | null;
  holds: string | null;
  minSample: number | null;
  summary: string | null;
  /** Prometheus judges it, so its state is not known here. */
  elsewhere: boolean;
}

export interface Finding {
  rule: string;
  subject: string;
  severity: string;
  message: string;
  why: string | null;
  change: string | null;
}

export interface Findings {
  findings: Finding[];
  /** 0 to 100 of each goal. */
  scores: Record<string, number>;
}

export function readCatalog(json: unknown): Catalog {
  const members = new Members(json);
  const name = members.text('name') ?? '';
  return {
    name,
    title: members.text('title') ?? name,
    goals: members.list('goals').map((one) => {
      const goal = new Members(one);
      const goalName = goal.text('name') ?? '';
      return { name: goalName, title: goal.text('title') ?? goalName, owner: goal.text('owner') };
    }),
    timezone: members.text('timezone') ?? 'UTC',
    definition: members.text('loaded_definition') ?? '',
  };
}

export function readKpi(json: unknown): Kpi {
  const members = new Members(json);
  const name = members.text('name') ?? '';
  const window = members.object('window') ?? new Members(null);
  const review = members.object('review');
  const sizes: Record<string, string> = {};
  for (const [key, size] of window.entries()) if (typeof size === 'string') sizes[key] = size;
  return {
    name,
    title: members.text('title') ?? name,
    description: members.text('description'),
    type: members.text('type') ?? 'simple',
    goal: members.text('goal'),
    owner: members.text('owner'),
    category: members.text('category'),
    indicator: members.text('indicator'),
    favorable: oneOf(members.text('favorable'), ['up', 'down', 'range']),
    unit: members.text('unit'),
    groupBy: members.texts('group_by'),
    window: { type: window.text('type') ?? '', words: window.text('words') ?? '', sizes },
    timezone: members.text('timezone') ?? 'UTC',
    compare: members.text('compare') ?? members.object('compare')?.text('offset_window') ?? null,
    objectives: members.list('objectives').map(readObjective),
    review: review && {
      every: review.text('every') ?? '',
      last: review.text('last') ?? '',
      due: review.text('due'),
      overdue: review.flag('overdue') ?? false,
    },
    labels: (members.object('labels')?.entries() ?? []).map(([label, text]) => [label, String(text)]),
    definition: members.text('definition') ?? '',
    seriesCount: members.number('series') ?? 0,
  };
}

function readObjective(json: unknown): Objective {
  const members = new Members(json);
  return {
    op: oneOf(members.text('op'), ['gte', 'lte', 'between']) ?? 'gte',
    value: members.text('value') ?? '0',
    upper: members.text('upper'),
    where: readDims(members.object('where')),
    validFrom: members.text('valid_from'),
    warnWithin: members.text('warn_within') ?? '0.1',
  };
}

export function readKpiDetail(json: unknown): KpiDetail {
  const members = new Members(json);
  const [file, line] = [members.text('file'), members.text('line')];
  return {
    ...readKpi(json),
    words: members.text('words') ?? '',
    yaml: members.text('yaml') ?? '',
    metrics: members.list('metrics').flatMap((metric) => new Members(metric).text('name') ?? []),
    findings: members.list('findings').map(readFinding),
    place: file && (line ? `${file}:${line}` : file),
    alerts: members.list('alerts').map(readRule),
  };
}

function readRule(json: unknown): Rule {
  const members = new Members(json);
  const when = members.object('when');
  const [condition = '', bounds = null] = when?.entries().find(([name]) => name !== 'recover') ?? [];
  return {
    name: members.text('alert') ?? 'alert',
    severity: members.text('severity'),
    condition,
    bounds: flat(bounds),
    recover: when?.text('recover') ?? null,
    holds: members.text('for'),
    minSample: members.number('min_sample'),
    summary: members.object('annotations')?.text('summary') ?? null,
    elsewhere: members.text('evaluator') === 'prometheus',
  };
}

function flat(member: unknown): string[] {
  if (member === null || member === undefined || member === true) return [];
  if (Array.isArray(member)) return member.flatMap(flat);
  if (typeof member !== 'object') return [String(member)];
  return Object.entries(member).flatMap(([name, one]) => [name.replaceAll('_', ' '), ...flat(one)]);
}

export function readFinding(json: unknown): Finding {
  const members = new Members(json);
  return {
    rule: members.text('rule') ?? '',
    subject: members.text('subject') ?? '',
    severity: members.text('severity') ?? 'info',
    message: members.text('message') ?? '',
    why: members.text('why'),
    change: members.text('change'),
  };
}

export function readFindings(json: unknown): Findings {
  const members = new Members(json);
  const scores: Record<string, number> = {};
  const found = members.object('scores');
  for (const [goal] of found?.entries() ?? []) scores[goal] = found?.number(goal) ?? 0;
  return { findings: members.list('findings').map(readFinding), scores };
}
