/** Source addresses, as they are compared and counted. */

/** '::ffff:10.0.0.1' (IPv4 on a dual-stack socket, RFC 4291 2.5.5.2) → '10.0.0.1'; others unchanged. */
export function plainAddress(remote: string | undefined): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(remote ?? '');
  return mapped?.[1] ?? remote ?? '';
}

/** What is counted as one stranger: an IPv4 address, or an IPv6 /64, which is what one network has. */
export function addressBlock(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const groups = [...front, ...Array<string>(zeros).fill('0'), ...back];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')}::/64`;
}
