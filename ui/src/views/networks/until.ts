/** How long blocks and exceptions may be asked to last, in seconds. */
export const lengths = [900, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400] as const

/** When something ends that lasts so long from now on. */
export function untilIn(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toISOString()
}
