import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import t from 'tap';
import { configSchema } from '../../../backend/config.ts';
import { relayConfigSchema } from '../../../backend/relay/relay-config.ts';
import { parseToml } from '../../../shared/config/load-toml.ts';

const path = new URL('../../../packaging/etc/backend.toml', import.meta.url);
const text = readFileSync(path, 'utf8');

t.test('C15: the packaged file is valid, documents every key, and shows the defaults', async (t) => {
  const asPackaged = parseToml(text, configSchema, 'backend.toml');
  const uncommented = text.replace(/^#([a-zA-Z]+ = )/gm, '$1');
  const documented: Record<string, Record<string, unknown>> = JSON.parse(JSON.stringify(parse(uncommented)));
  const { captureFile, ...relay } = documented.relay ?? {};
  t.type(captureFile, 'string', 'the one key without a default');
  t.strictSame({ ...documented, relay }, { ...asPackaged, relay: asPackaged.relay });
});

t.test('C15 B1: so is that of a relay', async (t) => {
  const relayText = readFileSync(new URL('../../../packaging/etc/relay.toml', import.meta.url), 'utf8');
  const asPackaged = parseToml(relayText, relayConfigSchema, 'relay.toml');
  const uncommented = relayText.replace(/^#([a-zA-Z]+ = )/gm, '$1');
  const documented: Record<string, Record<string, unknown>> = JSON.parse(JSON.stringify(parse(uncommented)));
  const { captureFile, ...relay } = documented.relay ?? {};
  t.type(captureFile, 'string', 'the one key without a default');
  const { ticketKey, ...rest } = asPackaged;
  t.equal(ticketKey.length, 32);
  t.strictSame({ ...documented, relay, ticketKey: undefined }, { ...rest, relay: rest.relay, ticketKey: undefined });
  for (const key of ['AAAA', Buffer.alloc(32).toString('base64'), ''])
    t.throws(() => parseToml(`ticketKey = "${key}"`, relayConfigSchema, 'f'), { message: /ticketKey/ }, key);
});

t.test('C15: unknown keys, bad addresses and paths are refused and named', async (t) => {
  const url = 'publicUrl = "https://backend.example.org:8443"\n';
  const refused = (more: string, message: RegExp) =>
    t.throws(() => parseToml(more, configSchema, 'f'), { code: 'bad-config', message }, more);
  refused('', /publicUrl/);
  refused('publicUrl = "http://backend.example.org"', /publicUrl/);
  refused('publicUrl = "https://backend.example.org/path"', /without a path/);
  refused(`${url}colour = "red"`, /colour/);
  refused(`${url}stateDir = "relative"`, /absolute/);
  refused(`${url}[endpoints]\nfirstPort = 7000\nlastPort = 6999`, /lastPort/);
  refused(`${url}[relay]\nembedded = false`, /there has to be a relay/);
  refused(`${url}[relay]\nothers = [{ url = "https://a/b", pin = "00" }]`, /without a path|relay.others/);
  refused(`${url}[listen]\naddress = "everywhere"`, /listen.address/);
});
