/** The time, once a second, set by the service's clock: ages count up, and a wrong clock here does not matter. */
class Clock {
  now = $state(Date.now());
  private ahead = 0;

  start(): () => void {
    const timer = setInterval(() => (this.now = Date.now() + this.ahead), 1_000);
    return () => clearInterval(timer);
  }

  /** `now` as the service has it; the way here takes less than what matters. */
  set(now: number): void {
    this.ahead = now - Date.now();
    if (Math.abs(now - this.now) > 1_500) this.now = now;
  }
}

export const clock = new Clock();
