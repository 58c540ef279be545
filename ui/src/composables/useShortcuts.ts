import { onScopeDispose } from 'vue'

export type Shortcuts = Record<string, (event: KeyboardEvent) => void>

/** Whether keys belong to what has the focus: a field, or a dialog that is open. */
function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

export function isDialogOpen(): boolean {
  return [...document.querySelectorAll<HTMLElement>('[role="dialog"]')].some((dialog) => dialog.offsetParent !== null || dialog.getClientRects().length > 0)
}

/** Those of the pages and parts that are there, the newest last. */
const all: Shortcuts[] = []
let lead = ''
let leadAt = -Infinity

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target) || isDialogOpen()) return
  // When keys were pressed, and not when a busy page came to hear of them.
  const pair = event.timeStamp - leadAt < 2000 ? `${lead} ${event.key}` : ''
  // Two keys that belong together are not the second one alone, whoever has that.
  const act = find(pair) ?? find(event.key)
  lead = act ? '' : event.key
  leadAt = event.timeStamp
  if (!act) return
  event.preventDefault()
  act(event)
}

function find(key: string): ((event: KeyboardEvent) => void) | undefined {
  return all.findLast((one) => key in one)?.[key]
}

/** Calls a function when its key is pressed outside of fields and dialogs; "g b" is one key after another. */
export function useShortcuts(shortcuts: Shortcuts): void {
  if (all.length === 0) document.addEventListener('keydown', onKey)
  all.push(shortcuts)
  onScopeDispose(() => {
    all.splice(all.indexOf(shortcuts), 1)
    if (all.length === 0) document.removeEventListener('keydown', onKey)
  })
}
