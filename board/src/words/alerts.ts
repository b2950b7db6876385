import type { Alert, Silence } from '../api/alerts';
import type { Standing } from './statuses';
import { shownTime } from './times';

const SEVERITIES = ['critical', 'warning', 'info', null];

/** Firing before pending, the most severe first, of those the oldest. */
export function gravestFirst(alerts: Alert[]): Alert[] {
  const rank = (alert: Alert) => (alert.state === 'firing' ? 0 : 10) + SEVERITIES.indexOf(alert.severity);
  return [...alerts].sort((one, other) => rank(one) - rank(other) || (one.since ?? 0) - (other.since ?? 0));
}

export function standingOfAlert(alert: Alert): Standing {
  return alert.severity === 'critical' || alert.severity === 'warning' ? alert.severity : 'none';
}

/** `2 firing, 1 pending`. */
export function countedStates(alerts: Alert[]): string {
  const counted = (['firing', 'pending'] as const).map((state) => {
    const count = alerts.filter((alert) => alert.state === state).length;
    return count > 0 ? [`${count} ${state}`] : [];
  });
  return counted.flat().join(', ');
}

/** Why nobody is told of it; null where people are. `title` is that of a KPI. */
export function quietWords(
  alert: Alert,
  silences: Silence[],
  zone: string,
  title: (kpi: string) => string,
): string | null {
  const told: string[] = [];
  if (alert.mutedBy) {
    const of = alert.mutedBy.kpi === alert.kpi ? '' : ` of ${title(alert.mutedBy.kpi)}`;
    told.push(`Muted by ${alert.mutedBy.name}${of}, which says it already.`);
  }
  if (alert.silencedBy !== null) told.push(silencedWords(alert.silencedBy, silences, zone));
  return told.length > 0 ? told.join(' ') : null;
}

function silencedWords(name: string, silences: Silence[], zone: string): string {
  const silence = silences.find((one) => one.id === name);
  if (!silence) return `Silenced by ${name} of the catalog.`;
  const by = silence.by === null ? '' : ` by ${silence.by}`;
  const until = silence.until === null ? '' : ` until ${shownTime(silence.until, zone)}`;
  return `Silenced${by}${until}: ${silence.comment}`;
}
