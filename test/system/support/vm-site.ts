/** A running site with one booted VM, for system tests. */
import { buildDemoImage } from '../../../demo/demo-image.ts';
import { VmProgram } from '../../../demo/vm-program-client.ts';
import { openLab, removeLeftovers } from '../../../lab/leftovers.ts';
import type { LabProcess } from '../../../lab/process.ts';
import { Site, type SiteOptions } from '../../../lab/site.ts';
import type { UserDevice } from '../../../lab/user-device.ts';
import { errorFromFields } from '../../../shared/errors.ts';
import { Undo } from '../../../shared/undo.ts';
import type { CallRequest } from './call.ts';

export const VM = 'lab';

export interface VmSite {
  site: Site;
  undo: Undo;
  owner: UserDevice;
  vmId: string;
  vm: VmProgram;
  /** The host agent's daemon, whose log can be waited on. */
  hostAgent: LabProcess;
  /** A call past what `connect` offers. @throws VmcError as the other side reported it. */
  call<T>(person: UserDevice, request: Pick<CallRequest, 'kind' | 'name' | 'vmId' | 'params' | 'body'>): Promise<T>;
  end(): Promise<void>;
}

/** @param packages more Debian packages for the VM. */
export async function startVmSite(packages: readonly string[] = [], options: SiteOptions = {}): Promise<VmSite> {
  await removeLeftovers();
  const undo = new Undo();
  const end = async () => {
    const failures = await undo.rollBack();
    if (failures.length > 0)
      throw new Error(`left behind: ${failures.map(({ what, error }) => `${what} (${error})`).join(', ')}`);
  };
  try {
    const lab = await openLab();
    undo.add('the lab', () => lab.remove());
    const site = new Site(lab, options);
    const image = await buildDemoImage(site.folders.images, packages);
    await site.startNetwork(undo);
    const { code } = await site.startBackend(undo);
    const owner = site.person('ada');
    await owner.connect(['keygen']);
    await owner.connect(
      ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', 'ada', '--code-fd', '4'],
      { descriptors: { 4: Buffer.from(code) } },
    );
    const hostAgent = await site.startHostAgent(owner, undo);
    const { vmId } = await owner.connect<{ vmId: string }>(
      ['vm', 'create', VM, '--image', image.name, '--memory', '1GiB', '--wait', '--timeout', '400'],
      { timeoutMs: 450_000 },
    );
    const tunnel = await owner.tunnel(VM, 8080, undo);
    const call: VmSite['call'] = async <T>(person: UserDevice, request: Parameters<VmSite['call']>[1]) => {
      const full: CallRequest = {
        url: site.backendUrlForUser,
        pin: site.pin,
        folder: person.configFolder,
        passphrase: person.passphrase,
        ...request,
      };
      const answer = JSON.parse(
        await person.node('test/system/support/call.ts', [], Buffer.from(JSON.stringify(full))),
      ) as { result: T } | { error: unknown };
      if ('error' in answer) throw errorFromFields(answer.error);
      return answer.result;
    };
    return { site, undo, owner, vmId, vm: new VmProgram(owner, tunnel), hostAgent, call, end };
  } catch (error) {
    await end();
    throw error;
  }
}
