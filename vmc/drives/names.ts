/** The device-mapper name of a drive's open LUKS volume. */
export const mappingName = (driveId: string): string => `vmc-${driveId}`;
/** 'drive drv…' or 'ISO image iso…'. */
export const wordsFor = (diskId: string): string => `${diskId.startsWith('iso') ? 'ISO image' : 'drive'} ${diskId}`;
export const mappingPath = (driveId: string): string => `/dev/mapper/${mappingName(driveId)}`;
