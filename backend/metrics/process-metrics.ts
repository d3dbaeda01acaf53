/** What Prometheus' own clients say of a process, under the names that dashboards know. */
import { readdirSync } from 'node:fs';
import { counter, type Family, gauge } from './exposition.ts';

export function processMetrics(): Family[] {
  const { user, system } = process.cpuUsage();
  return [
    gauge('process_resident_memory_bytes', 'Resident memory.', process.memoryUsage.rss()),
    counter('process_cpu_seconds_total', 'CPU time, user and system.', (user + system) / 1e6),
    gauge('process_start_time_seconds', 'Start, in seconds since 1970.', performance.timeOrigin / 1000),
    gauge('process_open_fds', 'Open file descriptors.', readdirSync('/proc/self/fd').length),
  ];
}
