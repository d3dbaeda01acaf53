/** What the demo measured: one JSON object, or a table for a person. */
import { humanBytes, table } from '../shared/cli/program.ts';
import type { Finding } from './secret-search.ts';
import type { StepTime } from './steps.ts';

export interface DemoReport {
  ok: boolean;
  /** Seconds from start to end, all of it. */
  seconds: number;
  steps: StepTime[];
  vm?: {
    /** From the start of the vmc process, Node's own start included, to its socket parked at the relay. At first boot. */
    secondsToPark: number;
    /** What Node itself took of these. */
    secondsOfNode: number;
    /** Resident memory of vmc when it is idle: booted, parked, nothing asked of it yet. */
    rssBytes: number;
    /** The same after all that the demo did with it. */
    rssBytesAfterUse: number;
  };
  drive?: { allocatedBefore: number; allocatedWritten: number; allocatedTrimmed: number };
  tunnel?: { bytes: number; seconds: number; sha256Match: boolean };
  secrets?: {
    /** Every planted text was found in every place that was searched. */
    planted: boolean;
    /** Secrets that were found anywhere: 0. */
    found: number;
    findings: Finding[];
    /** What was searched. */
    places: number;
    bytes: number;
  };
  reboot?: { sameIdentity: boolean; sameData: boolean; secondsToPark: number; secondsOfNode: number };
  error?: { code: string; message: string; hint?: string | undefined };
}

/** The demo is fine when it ran to its end and everything it shows is as it must be. */
export function isOk(report: DemoReport): boolean {
  const { drive, tunnel, secrets, reboot, vm } = report;
  return (
    report.error === undefined &&
    vm !== undefined &&
    drive !== undefined &&
    drive.allocatedTrimmed * 4 < drive.allocatedWritten &&
    tunnel?.sha256Match === true &&
    secrets?.planted === true &&
    secrets.found === 0 &&
    reboot?.sameIdentity === true &&
    reboot.sameData
  );
}

export function reportTable(report: DemoReport): string {
  const rows: string[][] = [];
  const add = (what: string, figure: string) => rows.push([what, figure]);
  const { vm, drive, tunnel, secrets, reboot } = report;
  const s = (seconds: number) => `${seconds.toFixed(2)} s`;
  if (vm !== undefined) {
    add(
      'vmc: from its start to its socket parked',
      `${s(vm.secondsToPark)}, of which Node itself ${s(vm.secondsOfNode)}`,
    );
    add('vmc: memory when idle', `${humanBytes(vm.rssBytes)}, after use ${humanBytes(vm.rssBytesAfterUse)}`);
  }
  if (drive !== undefined) {
    add('drive file on the host: formatted and mounted', humanBytes(drive.allocatedBefore));
    add('  after 400 MiB were written', humanBytes(drive.allocatedWritten));
    add('  after they were deleted and trimmed', humanBytes(drive.allocatedTrimmed));
  }
  if (tunnel !== undefined)
    add(
      'tunnel',
      `${humanBytes(tunnel.bytes)} in ${s(tunnel.seconds)}, SHA-256 ${tunnel.sha256Match ? 'the same at both ends' : 'DIFFERENT'}`,
    );
  if (secrets !== undefined) {
    add('secrets looked for', `${secrets.places} places, ${humanBytes(secrets.bytes)}`);
    add('  planted text', secrets.planted ? 'found wherever it was planted' : 'NOT FOUND: this search proves nothing');
    add(
      '  drive key and marker',
      secrets.found === 0
        ? 'found nowhere'
        : `FOUND: ${secrets.findings.map((f) => `${f.secret} in ${f.where}`).join(', ')}`,
    );
  }
  if (reboot !== undefined) {
    add('after a restart: identity and owner', reboot.sameIdentity ? 'the same' : 'CHANGED');
    add('  data on the drive', reboot.sameData ? 'the same, byte for byte' : 'CHANGED');
    add(
      '  vmc: from its start to its socket parked',
      `${s(reboot.secondsToPark)}, of which Node itself ${s(reboot.secondsOfNode)}`,
    );
  }
  add('all of it', s(report.seconds));
  return table(rows);
}
