/** The texts inside a .deb, made from the product's row alone. Debian Policy chapters 5, 6 and 10. */
import { NODE_DEPENDS, type Product } from './products.ts';

export function controlFile(product: Product, version: string, installedKiB: number): string {
  const lines = [
    `Package: ${product.package}`,
    `Version: ${version}`,
    'Architecture: amd64',
    'Maintainer: The vmc project <vmc@localhost>',
    `Installed-Size: ${installedKiB}`,
    `Depends: ${[...NODE_DEPENDS, ...product.depends].join(', ')}`,
    ...(product.recommends.length === 0 ? [] : [`Recommends: ${product.recommends.join(', ')}`]),
    'Section: admin',
    'Priority: optional',
    `Description: ${product.summary}`,
    ' Part of vmc: research VMs that nobody else can look into. Brings its own Node.',
  ];
  return `${lines.join('\n')}\n`;
}

export function conffiles(product: Product): string {
  return Object.keys(product.files)
    .filter((path) => path.startsWith('/etc/'))
    .map((path) => `${path}\n`)
    .join('');
}

export function wrapperScript(product: Product): string {
  const home = `/usr/lib/${product.package}`;
  const options = (product.nodeOptions ?? []).map((option) => `${option} `).join('');
  return `#!/bin/sh\nexec ${home}/node ${options}${home}/main.js "$@"\n`;
}

/**
 * They do their work only where systemd runs: in a chroot, where images are built, there is none. A first install
 * starts nothing: closing a VM's network and taking port 22 under whoever is installing is for the next boot.
 */
export function maintainerScripts(product: Product): Record<string, string> {
  if (product.services.length === 0) return {};
  const services = product.services.join(' ');
  const all = [...product.sockets, ...product.services].join(' ');
  const script = (body: string): string =>
    `#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then\n${body}\nfi\nexit 0\n`;
  return {
    postinst: script(
      `\tsystemctl daemon-reload\n\tif [ "$1" = configure ] && [ -n "$2" ]; then systemctl try-restart ${services}; fi`,
    ),
    prerm: script(`\tif [ "$1" = remove ]; then systemctl stop ${all}; fi`),
    postrm: script('\tsystemctl daemon-reload'),
  };
}
