/** Several measurements share what is made here: the first makes it, the site's undo ends it. */
import type { Site } from './site.ts';

export function oncePerSite<T>(make: (site: Site) => Promise<T>): (site: Site) => Promise<T> {
  const made = new WeakMap<Site, Promise<T>>();
  return (site) => {
    const known = made.get(site) ?? make(site);
    made.set(site, known);
    return known;
  };
}
