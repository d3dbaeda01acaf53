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
  'drive.create:publish',
  'drive.create:record',
  'drive.delete:file',
  'drive.delete:record',
  'drive.resize:file',
  'drive.resize:record',
  'drive.convert:copy',
  'drive.convert:compare',
  'drive.convert:publish',
  'drive.convert:record',
  'drive.convert:old',
  'drive.attach:device',
  'drive.detach:config',
] as const;

export type FaultPoint = (typeof FAULT_POINTS)[number];
