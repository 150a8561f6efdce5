// The two constants of the original about what carries the messages. One of them can change.

/** This is Windows. */
export const isWin32 = process.platform === "win32";

/**
 * Sockets of this process go over a TCP port: `OPEN_CHANNEL_LINK` forces that, or one of them has
 * connected in that way.
 */
export let usingPort = process.env["OPEN_CHANNEL_LINK"] === "tcp";

/** A socket has connected with this link. */
export function connectedOver(link: string | undefined): void {
  if (link === "tcp") usingPort = true;
}
