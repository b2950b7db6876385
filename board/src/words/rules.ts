import type { Rule } from '../api/catalog';
import { exact, whole } from './numbers';
import { lengthWords } from './periods';

/** `below 950,000 EUR for 1 hour, until it is back at 1,000,000 EUR`. */
export function ruleWords(rule: Rule, unit: string | null): string {
  const held = rule.holds === null ? '' : ` for ${lengthWords(rule.holds)}`;
  const parts = [`${conditionWords(rule, unit)}${held}`];
  if (rule.recover !== null) parts.push(`until it is back at ${exact(rule.recover, unit)}`);
  if (rule.minSample !== null) parts.push(`with ${whole(rule.minSample)} samples or more`);
  return parts.join(', ');
}

function conditionWords({ condition, bounds }: Rule, unit: string | null): string {
  const [first = '', second = ''] = bounds;
  switch (condition) {
    case 'below':
    case 'above':
      return `${condition} ${exact(first, unit)}`;
    case 'outside':
      return `outside of ${exact(first, unit)} to ${exact(second, unit)}`;
    case 'pace_below':
      return `below ${first.endsWith('%') ? first.replace(/\s*%$/, '\u00a0%') : exact(first, 'ratio')} of its pace`;
    default:
      return [condition.replaceAll('_', ' '), ...bounds].join(' ');
  }
}
