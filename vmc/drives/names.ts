/** The device-mapper name of a drive's open LUKS volume. */
export const mappingName = (driveId: string): string => `vmc-${driveId}`;
export const mappingPath = (driveId: string): string => `/dev/mapper/${mappingName(driveId)}`;
