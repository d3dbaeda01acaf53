/** XML as libvirt reads and writes it: elements are keys, attributes are keys with a leading @, text is #text. */
import { XMLBuilder, XMLParser } from 'fast-xml-parser';
import { VmcError } from '../../shared/errors.ts';

const names = { ignoreAttributes: false, attributeNamePrefix: '@', textNodeName: '#text' } as const;

const builder = new XMLBuilder({ ...names, format: true, indentBy: '  ', suppressEmptyNode: true });

/** Elements of which there may be several: always arrays, also when there is one. */
const LISTS = new Set(['disk', 'interface', 'host', 'entry', 'ip']);

const parser = new XMLParser({
  ...names,
  parseTagValue: false,
  parseAttributeValue: false,
  isArray: (name) => LISTS.has(name),
});

export type Xml = { [name: string]: string | number | Xml | readonly Xml[] | undefined };

export const buildXml = (document: Xml): string => builder.build(document);

/** The result is checked with a zod schema by whoever asked. @throws VmcError 'bad-data'. */
export function parseXml(text: string): unknown {
  try {
    return parser.parse(text);
  } catch (cause) {
    throw new VmcError('bad-data', 'libvirt gave XML that cannot be read.', undefined, { cause });
  }
}
