/** Every fault point of the host agent: `<operation>:<step about to begin>`. A test ends the agent at each of them. */
export const FAULT_POINTS = [
  'vm.create:record',
  'vm.create:overlay',
  'vm.create:reservation',
  'vm.create:define',
  'vm.create:firewall',
  'vm.create:start',
  'vm.create:done',
  'vm.delete:reservation',
  'vm.delete:overlay',
  'vm.delete:record',
  'drive.create:file',
  'drive.delete:record',
  'drive.detach:config',
] as const;

export type FaultPoint = (typeof FAULT_POINTS)[number];
