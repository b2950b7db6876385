import { pageOf, type Page } from './pages';

/** Where the page is, as the address says. */
class Route {
  private url = $state.raw(new URL(location.href));

  constructor() {
    addEventListener('popstate', () => (this.url = new URL(location.href)));
    document.addEventListener('click', (event) => this.followed(event));
  }

  get page(): Page {
    return pageOf(this.url.pathname);
  }

  get path(): string {
    return this.url.pathname;
  }

  get query(): URLSearchParams {
    return this.url.searchParams;
  }

  go(address: string): void {
    history.pushState(null, '', address);
    this.url = new URL(location.href);
    scrollTo(0, 0);
    document.getElementById('content')?.focus({ preventScroll: true });
  }

  /** The same page with another query; typing in a field does not fill the history. */
  ask(query: URLSearchParams): void {
    const text = query.toString();
    history.replaceState(null, '', text ? `${location.pathname}?${text}` : location.pathname);
    this.url = new URL(location.href);
  }

  private followed(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download')) return;
    if (pageOf(link.pathname).name === 'unknown' || (link.hash && link.pathname === location.pathname)) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const route = new Route();

export function kpiAddress(kpi: string, dims: Record<string, string> = {}): string {
  const query = new URLSearchParams(Object.entries(dims).map(([name, text]) => [`dim.${name}`, text]));
  return `/kpi/${encodeURIComponent(kpi)}${query.size > 0 ? `?${query.toString()}` : ''}`;
}
