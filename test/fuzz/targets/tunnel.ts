/** Port 22 and the device's end of it; what people type about ports. */

import { parseConnectAnswer } from '../../../connect/tunnel/connect-answer.ts';
import { parseForward } from '../../../connect/tunnel/forward-spec.ts';
import { parseSubnet } from '../../../host-agent/network/subnet.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { parseTarget } from '../../../vmc/firewall/parse-target.ts';
import { parseConnect } from '../../../vmc/tunnel/parse-connect.ts';
import { portRangeSchema } from '../../../vmc/tunnel/parse-ports.ts';
import { insist, type Target, textOf, verdict } from '../target.ts';

const HTTP_WORDS = [
  '\r\n\r\n',
  '\r\n',
  'CONNECT ',
  'localhost:',
  'HTTP/1.1',
  '127.0.0.1',
  ':',
  ' ',
  '\0',
  '65536',
  '00022',
];

/** What has arrived in two pieces means the same as in one. */
function consistent<T extends { kind: string }>(input: Uint8Array, parse: (input: Uint8Array) => T): T {
  const whole = parse(input);
  for (const cut of [input.length >> 1, input.length - 1]) {
    if (cut < 0) continue;
    const early = parse(input.subarray(0, cut));
    insist(early.kind === 'more' || early.kind === whole.kind, `first ${early.kind}, then ${whole.kind}`);
  }
  return whole;
}

export const tunnelTargets: Target[] = [
  {
    name: 'tunnel/connect-request',
    from: 'stranger',
    form: 'text',
    weight: 40,
    maxBytes: 16_384,
    words: HTTP_WORDS,
    open: () => ({
      seeds: [
        'CONNECT localhost:3389 HTTP/1.1\r\nHost: localhost:3389\r\nUser-Agent: curl/8.5\r\n\r\nSSH-2.0-x\r\n',
        'CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n',
        'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
        `CONNECT localhost:65535 HTTP/1.1\r\nX: ${'y'.repeat(4000)}\r\n\r\n`,
        'SSH-2.0-OpenSSH_9.2\r\n',
      ].map(utf8),
      run(input) {
        const request = consistent(input, parseConnect);
        if (request.kind !== 'connect') return `refused:${request.kind === 'more' ? 'more' : request.reason}`;
        insist(request.port >= 1 && request.port <= 65535 && request.headBytes <= input.length, 'a port, and a head');
        insist(request.headBytes <= 4096, 'a head within its bound');
        return 'accepted';
      },
    }),
  },
  {
    name: 'tunnel/connect-answer',
    from: 'peer',
    form: 'text',
    weight: 40,
    maxBytes: 16_384,
    words: [...HTTP_WORDS, '200', '403', 'Content-Length: ', '999999999'],
    open: () => ({
      seeds: [
        'HTTP/1.1 200 Connected\r\n\r\nhello',
        'HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nNo\n',
        'HTTP/1.1 502 Bad\r\n\r\nreason',
        'HTTP/1.0 200 x\r\n\r\n',
      ].map(utf8),
      run(input) {
        const answer = consistent(input, parseConnectAnswer);
        const last = parseConnectAnswer(input, true);
        insist(last.kind !== 'more', 'at the end there is an answer');
        if (last.kind === 'refused') insist(last.reason.length <= 1024 && last.status >= 300, 'a short reason');
        if (answer.kind === 'open') insist(answer.headBytes <= input.length, 'a head that was there');
        return answer.kind === 'open' ? 'accepted' : `refused:${answer.kind}`;
      },
    }),
  },
  {
    name: 'names/ports-and-networks',
    from: 'file',
    form: 'text',
    weight: 10,
    maxBytes: 65_536,
    open: () => ({
      seeds: ['3389:13389', '22', '8000-8010', '10.0.0.5:443/tcp', '10.0.0.0/24:53/udp', '10.92.0.0/24'].map(utf8),
      run: (input) => {
        const text = textOf(input);
        const range = portRangeSchema.safeParse(text);
        if (range.success) insist(range.data.from <= range.data.to && range.data.to <= 65535, 'a range');
        const target = parseTarget(text);
        if (target !== undefined) insist(/^[\d./]+$/.test(target.address), 'an address and nothing else');
        const subnet = parseSubnet(text);
        if (subnet !== undefined) insist(subnet.base + subnet.size <= 2 ** 32, 'within IPv4');
        const known = range.success || target !== undefined || subnet !== undefined;
        const forward = verdict(() => parseForward(text));
        return known ? 'accepted' : forward;
      },
    }),
  },
];
