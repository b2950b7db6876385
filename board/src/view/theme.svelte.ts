export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'streamgauge-theme';

/** Light, dark, or whatever the system says. Kept in this browser. */
class ThemeChoice {
  chosen = $state<Theme>('auto');
  private readonly system = matchMedia('(prefers-color-scheme: dark)');
  private systemDark = $state(this.system.matches);

  constructor() {
    this.system.addEventListener('change', (event) => (this.systemDark = event.matches));
    try {
      const kept = localStorage.getItem(KEY);
      if (kept === 'light' || kept === 'dark') this.chosen = kept;
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
    this.apply();
  }

  get dark(): boolean {
    return this.chosen === 'dark' || (this.chosen === 'auto' && this.systemDark);
  }

  choose(theme: Theme): void {
    this.chosen = theme;
    this.apply();
    try {
      if (theme === 'auto') localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // As above.
    }
  }

  private apply(): void {
    if (this.chosen === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.chosen;
  }
}

export const theme = new ThemeChoice();
