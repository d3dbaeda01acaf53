/** The device-mapper name of a drive's open LUKS volume. */
export const mappingName = (driveId: string): string => `vmc-${driveId}`;
/** 'drive drv…' or 'ISO image iso…'. */
export const wordsFor = (diskId: string): string => `${diskId.startsWith('iso') ? 'ISO image' : 'drive'} ${diskId}`;
export const mappingPath = (driveId: string): string => `/dev/mapper/${mappingName(driveId)}`;

/** The header of a drive that is being re-encrypted. */
export const mirrorName = (driveId: string): string => `vmc-header-${driveId}`;
export const mirrorPath = (driveId: string): string => `/dev/mapper/${mirrorName(driveId)}`;
/** What cryptsetup puts between a mapping and its drive while it re-encrypts. */
export const overlayName = (driveId: string): string => `${mappingName(driveId)}-overlay`;
/** The piece that it moves, under that. */
export const hotZoneName = (driveId: string): string => `${mappingName(driveId)}-hotzone-forward`;
