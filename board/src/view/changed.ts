import type { Attachment } from 'svelte/attachments';

/** Marks an element for a moment when `key` is another than before; not when it is first shown. */
export function onChange(): (key: string) => Attachment<HTMLElement> {
  let known: string | null = null;
  return (key) => (element) => {
    if (known !== null && known !== key && !matchMedia('(prefers-reduced-motion: reduce)').matches) {
      element.animate([{ backgroundColor: 'var(--accent-soft)' }, { backgroundColor: 'transparent' }], {
        duration: 900,
        easing: 'ease-out',
      });
    }
    known = key;
  };
}

/** Calls `seen` once, when the element comes near the screen. */
export function whenSeen(seen: () => void): Attachment<HTMLElement> {
  return (element) => {
    const observer = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        seen();
      },
      { rootMargin: '300px' },
    );
    observer.observe(element);
    return () => observer.disconnect();
  };
}
