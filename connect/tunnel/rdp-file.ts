/**
 * A .rdp file for a port of this device that leads to a VM's desktop. Clipboard, drives and the like stay where they are: what
 * is in the VM may be controlled data, and leaves it by the ways that its owner gives rights for. Pure.
 */
export function rdpFile(localPort: number): string {
  const lines = [
    `full address:s:127.0.0.1:${localPort}`,
    'prompt for credentials:i:1',
    'authentication level:i:0', // the tunnel has authenticated the VM; its desktop's own certificate is for 127.0.0.1 to nobody
    'negotiate security layer:i:1',
    'redirectclipboard:i:0',
    'redirectdrives:i:0',
    'drivestoredirect:s:',
    'redirectprinters:i:0',
    'redirectcomports:i:0',
    'redirectsmartcards:i:0',
    'redirectwebauthn:i:0',
    'devicestoredirect:s:',
    'usbdevicestoredirect:s:',
    'camerastoredirect:s:',
    'audiocapturemode:i:0',
    'audiomode:i:0',
    'autoreconnection enabled:i:1',
    'screen mode id:i:2',
    'dynamic resolution:i:1',
    'networkautodetect:i:1',
    'bandwidthautodetect:i:1',
  ];
  return `${lines.join('\r\n')}\r\n`;
}
