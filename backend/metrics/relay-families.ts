/** The relay's numbers by name. docs/install.md lists them. */
import type { FrontDoor } from '../net/front-door.ts';
import type { Heartbeat } from '../net/heartbeat.ts';
import type { RelayMetrics } from '../relay/relay-metrics.ts';
import { counter, counters, type Family, gauge } from './exposition.ts';

export interface RelayParts {
  metrics: RelayMetrics;
  frontDoor: FrontDoor;
  heartbeat: Heartbeat;
}

export function relayFamilies({ metrics, frontDoor, heartbeat }: RelayParts): Family[] {
  const { toVm, toUser } = metrics;
  const both = (of: 'messages' | 'bytes' | 'pauses') => ({ to_vm: toVm[of], to_user: toUser[of] });
  return [
    gauge('vmc_relay_parked_sockets', 'Sockets of VMs that wait for a user.', metrics.parked),
    gauge('vmc_relay_pairs', 'Pairs of a VM and a user.', metrics.paired),
    gauge('vmc_relay_waiting_users', 'Users that wait for a socket of their VM.', metrics.waiting),
    gauge('vmc_connections', 'TCP connections.', frontDoor.connections),
    gauge('vmc_preauth_connections', 'Connections that have not shown who they are.', frontDoor.strangers.count),
    counter('vmc_connections_total', 'TCP connections since the start.', frontDoor.counts.connections),
    counter('vmc_tls_handshakes_total', 'TLS handshakes that succeeded.', frontDoor.counts.handshakes),
    counter('vmc_tls_failures_total', 'TLS handshakes that failed.', frontDoor.counts.handshakeFailures),
    counters('vmc_connections_cut_total', 'Connections cut before they had shown who they are.', 'reason', {
      full: frontDoor.counts.full,
      evicted: frontDoor.strangers.evicted,
      late: frontDoor.counts.late,
    }),
    counters('vmc_relay_accepted_total', 'Sockets that were let in.', 'kind', metrics.acceptedTotal),
    counters('vmc_relay_refused_total', 'Sockets that were refused.', 'reason', metrics.refusedTotal),
    counters('vmc_relay_messages_total', 'Messages passed on.', 'direction', both('messages')),
    counters('vmc_relay_bytes_total', 'Bytes passed on.', 'direction', both('bytes')),
    counters('vmc_relay_pauses_total', 'Times a sender was paused for a slow receiver.', 'direction', both('pauses')),
    counter('vmc_pings_lost_total', 'Websockets cut because they answered no ping.', heartbeat.lost),
  ];
}
