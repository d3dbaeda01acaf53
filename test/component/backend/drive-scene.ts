/** A host with a VM and a drive of alice's, who is no administrator, and what the audit log says. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { FakeAgent } from './fake-agent.ts';
import { Fixture, type Person } from './fixture.ts';

export interface AgentScene {
  fixture: Fixture;
  admin: Person;
  alice: Person;
  agent: FakeAgent;
  hostId: string;
  vmId: string;
  driveId: string;
  /** Rows of a table. */
  count(table: string): number;
  /** About drives and jobs since the scene was set, oldest first. */
  audit(): { actor: string; action: string; target: string; result: string }[];
}

export async function agentScene(t: Parameters<typeof Fixture.start>[0]): Promise<AgentScene> {
  const fixture = await Fixture.start(t);
  const admin = await fixture.firstPerson('admin');
  const { agent, hostId } = await fixture.host(admin);
  const alice = await fixture.invited(admin, 'alice');
  const vmId = await fixture.vm(alice, 'one');
  const driveId = await fixture.drive(alice, 'data');
  const rows = (sql: string): Record<string, unknown>[] => {
    const db = new DatabaseSync(join(fixture.stateDir, 'backend.sqlite'), { readOnly: true });
    const found = db.prepare(sql).all();
    db.close();
    return found;
  };
  return {
    fixture,
    admin,
    alice,
    agent,
    hostId,
    vmId,
    driveId,
    count: (table) => rows(`SELECT 1 FROM ${table}`).length,
    audit: () =>
      rows(
        `SELECT actor, action, target, result FROM audit
           WHERE action <> 'driveCreate' AND (action GLOB 'drive*' OR action GLOB 'job*') ORDER BY id`,
      ) as unknown as ReturnType<AgentScene['audit']>,
  };
}
