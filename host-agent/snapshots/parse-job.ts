/** What `virsh domjobinfo --rawstats` says of a backup. virsh(1). Pure. */

export interface JobState {
  /** none: no job is under way · completed, failed, cancelled: of one that is over */
  state: 'none' | 'running' | 'completed' | 'failed' | 'cancelled';
  /** Whether it is, or was, a backup. */
  backup: boolean;
  doneBytes: number | undefined;
  totalBytes: number | undefined;
  problem: string | undefined;
}

/** virDomainJobType of libvirt-domain.h. */
const TYPES: Record<string, JobState['state']> = {
  '0': 'none',
  '1': 'running',
  '2': 'running',
  '3': 'completed',
  '4': 'failed',
  '5': 'cancelled',
};
/** VIR_DOMAIN_JOB_OPERATION_BACKUP. */
const BACKUP = '9';

export function parseJob(text: string): JobState {
  const values = new Map(
    text.split('\n').flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 0 ? [] : [[line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const];
    }),
  );
  const bytes = (name: string): number | undefined => {
    const value = values.get(name);
    return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
  };
  const type = TYPES[values.get('Job type') ?? ''] ?? 'failed';
  const succeeded = values.get('success') === '1';
  return {
    state: type === 'completed' && !succeeded ? 'failed' : type,
    backup: values.get('operation') === BACKUP,
    doneBytes: bytes('disk_processed'),
    totalBytes: bytes('disk_total'),
    problem: values.get('errmsg'),
  };
}
