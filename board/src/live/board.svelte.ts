import type { Alert, Silence } from '../api/alerts';
import { ApiError, loadAlerts, loadCatalog, loadFindings, loadKpis, loadSilences, startSession } from '../api/client';
import type { Catalog, Findings, Goal, Kpi } from '../api/catalog';
import { gravestFirst } from '../words/alerts';
import { Connection } from './connection.svelte';
import { Values } from './values.svelte';

const ALERTS_EVERY_MS = 3_000; // an answer that has not changed costs next to nothing
const RETRY_MS = 5_000;
const FINDINGS_EVERY_MS = 300_000; // the service does not judge more often

/** KPIs that serve one goal. */
export interface Group {
  goal: Goal;
  kpis: Kpi[];
}

/** What the service says: the catalog, and values that follow it. */
class Board {
  readonly values = new Values();
  readonly connection = new Connection(this.values, () => {
    this.generation += 1;
    void this.load();
  });
  /** Grows whenever a lost connection is back: what was read before it may have holes since. */
  generation = $state(0);
  catalog = $state.raw<Catalog | null>(null);
  kpis = $state.raw<Kpi[]>([]);
  findings = $state.raw<Findings>({ findings: [], scores: {} });
  /** The gravest first; null while nothing is known of them. */
  alerts = $state.raw<Alert[] | null>(null);
  /** They could not be read the last time: these were known before. */
  alertsOld = $state(false);
  silences = $state.raw<Silence[]>([]);
  /** Why the catalog is not here; null when it is, or on its way. */
  failure = $state<string | null>(null);
  /** The service wants to know who is there. */
  locked = $state(false);

  private retrying: ReturnType<typeof setTimeout> | undefined;

  get zone(): string {
    return this.catalog?.timezone ?? 'UTC';
  }

  /** In the order of the catalog; KPIs without a goal come last. */
  get groups(): Group[] {
    const goals = this.catalog?.goals ?? [];
    const named = new Set(goals.map((goal) => goal.name));
    const groups = goals.map((goal) => ({ goal, kpis: this.kpis.filter((kpi) => kpi.goal === goal.name) }));
    const rest = this.kpis.filter((kpi) => kpi.goal === null || !named.has(kpi.goal));
    groups.push({ goal: { name: '', title: 'Without a goal', owner: null }, kpis: rest });
    return groups.filter((group) => group.kpis.length > 0);
  }

  kpi(name: string): Kpi | undefined {
    return this.kpis.find((kpi) => kpi.name === name);
  }

  start(): () => void {
    void this.load();
    const ends = this.connection.start();
    const timers = [
      setInterval(() => void this.loadAlerts(), ALERTS_EVERY_MS),
      setInterval(() => void this.loadFindings(), FINDINGS_EVERY_MS),
    ];
    return () => {
      timers.forEach(clearInterval);
      ends();
    };
  }

  /** The catalog, which a restart of the service may have changed. Tries again when the connection is back. */
  async load(): Promise<void> {
    try {
      [this.catalog, this.kpis] = await Promise.all([loadCatalog(), loadKpis()]);
      this.failure = null;
      this.locked = false;
      clearTimeout(this.retrying);
    } catch (error) {
      this.failed(error);
    }
    await Promise.all([this.loadAlerts(), this.loadFindings()]);
  }

  /** Throws ApiError where the token is not accepted. */
  async signIn(token: string): Promise<void> {
    await startSession(token);
    this.locked = false;
    await this.load();
    this.connection.admitted();
  }

  private async loadAlerts(): Promise<void> {
    if (this.locked || document.visibilityState === 'hidden') return;
    try {
      const [alerts, silences] = await Promise.all([loadAlerts(), loadSilences()]);
      this.alerts = gravestFirst(alerts);
      this.silences = silences;
      this.alertsOld = false;
    } catch {
      this.alertsOld = true; // why, the connection tells; the last known alerts stay
    }
  }

  /** Later than the rest: the service may have to read the past of all values first. */
  private async loadFindings(): Promise<void> {
    if (this.locked || document.visibilityState === 'hidden') return;
    try {
      this.findings = await loadFindings();
    } catch {
      // Nobody waits for them; the last known ones stay.
    }
  }

  private failed(error: unknown): void {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) {
      this.locked = true;
      return;
    }
    this.failure = error.message;
    clearTimeout(this.retrying);
    this.retrying = setTimeout(() => void this.load(), RETRY_MS);
  }
}

export const board = new Board();
