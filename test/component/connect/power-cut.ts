/** Ends connect as a power cut does: after a remote call was carried out, nothing more leaves the process. */
import { ControlConnection } from '../../../connect/control.ts';
import { VmClient } from '../../../shared/backend-client/vm-client.ts';

export interface PowerCut {
  /** What was carried out, in order. */
  calls: string[];
  /** Whether the power went. */
  happened: boolean;
}

/**
 * Counts the calls that `matters` picks, to the backend (`PUT /v1/…`) and to the VM (`drive.…`).
 * @param after the power goes once so many were carried out.
 */
export async function withPowerCut(
  after: number,
  matters: (name: string) => boolean,
  work: () => Promise<unknown>,
): Promise<PowerCut> {
  const cut: PowerCut = { calls: [], happened: false };
  const { call: askVm } = ControlConnection.prototype;
  const { call: askBackend } = VmClient.prototype;
  const through = async (name: string, answer: () => Promise<unknown>): Promise<never> => {
    if (cut.happened) throw new Error('the power is off');
    const result = await answer();
    if (!matters(name)) return result as never;
    cut.calls.push(name);
    cut.happened = cut.calls.length >= after;
    if (cut.happened) throw new Error('the power went off');
    return result as never;
  };
  ControlConnection.prototype.call = function (method, ...rest) {
    return through(method.name, () => askVm.call(this, method, ...rest));
  };
  VmClient.prototype.call = function (route, ...rest) {
    return through(`${route.method} ${route.path}`, () => askBackend.call(this, route, ...rest));
  };
  try {
    await work();
  } finally {
    ControlConnection.prototype.call = askVm;
    VmClient.prototype.call = askBackend;
  }
  return cut;
}
