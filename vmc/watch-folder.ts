/** Watches a folder that may not be there yet, or may go and come back: then its nearest ancestor is watched instead. */
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';

/** @param onEvent something in the folder, or on the way to it, may have changed. @returns how to stop. */
export function watchFolder(path: string, onEvent: () => void): () => void {
  let watched = '';
  let watcher: FSWatcher | undefined;
  let stopped = false;
  const arm = () => {
    const nearest = nearestExisting(path);
    if (stopped || nearest === watched) return;
    watcher?.close();
    watcher = undefined;
    watched = '';
    try {
      watcher = watch(nearest, { persistent: false }, () => {
        arm();
        onEvent();
      });
      watcher.on('error', () => {});
      watched = nearest;
    } catch {
      return; // it went away again: the caller's deadline is what is left
    }
    if (nearestExisting(path) !== nearest) arm(); // made in between
  };
  arm();
  return () => {
    stopped = true;
    watcher?.close();
  };
}

function nearestExisting(path: string): string {
  return path === '/' || existsSync(path) ? path : nearestExisting(dirname(path));
}
