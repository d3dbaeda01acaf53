/** The endpoints' numbers by name. docs/install.md lists them. */
import type { EndpointMetrics } from '../endpoints/endpoint-metrics.ts';
import { counter, counters, type Family, gauge } from './exposition.ts';

export function endpointFamilies(metrics: EndpointMetrics): Family[] {
  return [
    gauge('vmc_endpoints', 'Ports that lead to a VM.', metrics.endpoints),
    counter('vmc_endpoints_total', 'Ports opened since the start.', metrics.endpointsTotal),
    gauge('vmc_endpoint_streams', 'Streams through them.', metrics.streams),
    counter('vmc_endpoint_streams_total', 'Streams since the start.', metrics.streamsTotal),
    counters('vmc_endpoint_refused_total', 'Connections to them that were refused.', 'reason', metrics.refusedTotal),
    counters('vmc_endpoint_bytes_total', 'Bytes of streams that have ended.', 'direction', {
      to_vm: metrics.bytesIn,
      to_user: metrics.bytesOut,
    }),
  ];
}
