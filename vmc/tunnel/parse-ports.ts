/** The TCP ports that the tunnel may reach: numbers and ranges, as configured and as told to a device. */
import * as z from 'zod';

/** Both ends included. */
export interface PortRange {
  from: number;
  to: number;
}

const port = z.number().int().min(1).max(65535);

/** 3389, or "8000-8010". */
export const portRangeSchema = z
  .union([port, z.string().regex(/^\d{1,5}-\d{1,5}$/, 'write a port as 3389 or a range as "8000-8010"')])
  .transform((value): PortRange => {
    const [from = 0, to = from] = typeof value === 'number' ? [value] : value.split('-').map(Number);
    return { from, to };
  })
  .refine(({ from, to }) => from >= 1 && to <= 65535 && from <= to, 'not a range of ports');

export function allowsPort(ranges: readonly PortRange[], wanted: number): boolean {
  return ranges.some(({ from, to }) => wanted >= from && wanted <= to);
}
