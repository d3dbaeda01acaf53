/** What `systemctl list-sockets --output=json` says: which unit listens where. */
import * as z from 'zod';

const listSchema = z.array(z.object({ listen: z.string(), unit: z.string().max(256) }));

/** @returns the unit that listens on a TCP port, on any address; undefined also when the list cannot be read. */
export function parseSocketList(json: string, port: number): string | undefined {
  let list: unknown;
  try {
    list = JSON.parse(json);
  } catch {
    return undefined;
  }
  const { data = [] } = listSchema.safeParse(list);
  return data.find(({ listen }) => new RegExp(`^(\\[[0-9a-f:.%a-z]*\\]|[0-9.]+):${port}$`).test(listen))?.unit;
}
