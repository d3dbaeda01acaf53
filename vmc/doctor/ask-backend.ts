/** One request to the backend, only to see whether it is there, whether it is the right one, and what time it has. */
import { request } from 'node:https';
import { asVmcError } from '../../shared/backend-client/http.ts';
import { VmcError } from '../../shared/errors.ts';
import { pinnedAgent } from '../../shared/net/pinned-agent.ts';

const TIMEOUT_MS = 10_000;

/** @throws VmcError 'unreachable', 'identity-changed', 'timeout'. */
export function askBackend(backend: { url: string; pin: string }): Promise<{ date: Date | undefined }> {
  const url = new URL('/', backend.url);
  const agent = pinnedAgent(backend.pin, { keepAlive: false });
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'HEAD', agent }, (answer) => {
      answer.resume();
      const date = new Date(answer.headers.date ?? '');
      resolve({ date: Number.isNaN(date.getTime()) ? undefined : date });
    });
    sent.setTimeout(TIMEOUT_MS, () => sent.destroy(new VmcError('timeout', 'The backend gives no answer.')));
    sent.on('error', (error) => reject(asVmcError(error, url)));
    sent.end();
  });
}
