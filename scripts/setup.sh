#!/bin/sh
# What every npm script here needs, on a fresh Debian 12: the library that Node 26 links to, and the npm packages.
# Does nothing, quickly, when all is there. Debian packages for VMs are the business of lab/setup.ts.
set -eu
cd "$(dirname "$0")/.."

if ! /sbin/ldconfig -p | grep -q 'libatomic\.so\.1'; then
  [ "$(id -u)" = 0 ] || { echo "setup: Node 26 needs libatomic1. Run as root: apt-get install libatomic1" >&2; exit 69; }
  echo "setup: installing libatomic1" >&2
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libatomic1; } >&2
fi

# npm writes node_modules/.package-lock.json last, so it is there only after a whole install.
stamp=node_modules/.package-lock.json
if [ ! -e "$stamp" ] || [ package-lock.json -nt "$stamp" ]; then
  echo "setup: installing npm packages" >&2
  npm ci --json=false --loglevel=error >&2
  touch "$stamp"
fi

# tap writes its plugin wiring once, into node_modules (see .taprc).
built=node_modules/.tap-built
if [ ! -e "$built" ] || [ .taprc -nt "$built" ] || [ "$stamp" -nt "$built" ]; then
  node_modules/.bin/node node_modules/.bin/tap build >&2
  touch "$built"
fi
