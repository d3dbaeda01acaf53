/** Tells when the network may have changed: systemd-networkd and systemd-resolved rewrite files of theirs when it does. */
import { watchFolder } from '../watch-folder.ts';

const FOLDERS = ['/run/systemd/netif/links', '/run/systemd/netif/leases', '/run/systemd/resolve'];
/** Several files change together. */
const SETTLE_MS = 50;

/** @returns how to stop. */
export function watchNetwork(onChange: () => void, folders: readonly string[] = FOLDERS): () => void {
  let timer: NodeJS.Timeout | undefined;
  const changed = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      onChange();
    }, SETTLE_MS);
  };
  const stops = folders.map((folder) => watchFolder(folder, changed));
  return () => {
    clearTimeout(timer);
    for (const stop of stops) stop();
  };
}
