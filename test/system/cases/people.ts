/** People: who was not let in sees and reaches nothing. */
import type { Test } from 'tap';
import type { VmSite } from '../support/vm-site.ts';

export function peopleCases(t: Test, { site, owner, vmId, call }: VmSite): void {
  t.test('C3, B2: a second person without rights sees and reaches nothing', async (t) => {
    const { code } = await owner.connect<{ code: string }>(['user', 'invite']);
    const other = site.person('bo');
    await other.connect(['keygen']);
    await other.connect(
      ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', 'bo', '--code-fd', '4'],
      { descriptors: { 4: Buffer.from(code) } },
    );
    t.match(await other.connect(['vm', 'list']), { vms: [] });
    t.match(await other.connect(['drive', 'list']), { drives: [] });
    await t.rejects(other.connect(['vm', 'info', vmId]), { code: 'not-found' });
    await t.rejects(
      call(other, { kind: 'relay', vmId, name: '', params: {}, body: {} }),
      { code: /forbidden|unreachable|not-found/ },
      'the relay does not pair them',
    );
    await t.rejects(call(other, { kind: 'rest', name: 'endpointOpen', params: { vmId }, body: {} }), {
      code: 'not-found',
    });
    await t.rejects(
      other.connect(
        ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', 'bo2', '--code-fd', '4'],
        { descriptors: { 4: Buffer.from(code) } },
      ),
      { code: /./ },
      'a code works once',
    );
  });
}
