/** Calls of the VM's control methods over one open channel, timed at the device. */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { errorFromFields } from '../../shared/errors.ts';
import type { VmSite } from '../../test/system/support/vm-site.ts';
import type { ControlRequest, ControlSite } from './control-worker.ts';

export interface Timed<T> {
  /** From the call to its answer. */
  ms: number;
  result: T;
}

export interface Control {
  call<T>(name: string, params: object): Promise<Timed<T>>;
}

/** Ends with the site's undo. */
export function openControl({ site, owner, vmId, undo }: VmSite): Control {
  const child = owner.start('bench/drives/control-worker.ts');
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stdin = child.stdin as Writable;
  undo.add('the control channel', () => {
    stdin.end();
    return exited;
  });
  const answers = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]();
  const send = (line: ControlSite | ControlRequest) => stdin.write(`${JSON.stringify(line)}\n`);
  const { configFolder: folder, passphrase } = owner;
  send({ url: site.backendUrlForUser, pin: site.pin, folder, passphrase, vmId });
  return {
    async call<T>(name: string, params: object): Promise<Timed<T>> {
      send({ name, params });
      const { value, done } = await answers.next();
      if (done === true) throw new Error('the control channel has ended');
      const answer = JSON.parse(value) as Timed<T> | { error: unknown };
      if ('error' in answer) throw errorFromFields(answer.error);
      return answer;
    },
  };
}
