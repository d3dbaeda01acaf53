/** Public keys that protect nothing. Not a test itself. */
const ff = 'ff'.repeat(30);

/** RFC 7748, 6.1, and the points of small order in the public list of cr.yp.to/ecdh.html, with the unused top bit clear and set. */
export const WEAK_X25519_KEYS: readonly string[] = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  `ec${ff}7f`,
  `ed${ff}7f`,
  `ee${ff}7f`,
].flatMap((hex) => [hex, hex.slice(0, 62) + (Number.parseInt(hex.slice(62), 16) | 0x80).toString(16)]);

/** The eight points whose order divides 8, in all their spellings: anyone can sign for them. */
export const SMALL_ORDER_ED25519: readonly string[] = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${ff}7f`,
  `ed${ff}7f`,
  `ee${ff}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].flatMap((hex) => [hex, hex.slice(0, 62) + (Number.parseInt(hex.slice(62), 16) | 0x80).toString(16)]);

/** Other points in a second spelling, y + p: RFC 8032, 5.1.3 refuses to decode them. */
export const SECOND_SPELLINGS: readonly string[] = Array.from({ length: 17 }, (_, i) => [
  `${(0xef + i).toString(16)}${ff}7f`,
  `${(0xef + i).toString(16)}${ff}ff`,
]).flat();

export const NOT_ED25519_KEYS: readonly string[] = [...SMALL_ORDER_ED25519, ...SECOND_SPELLINGS];
