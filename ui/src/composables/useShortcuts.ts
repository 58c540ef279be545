import { onScopeDispose } from 'vue'

export type Shortcuts = Record<string, (event: KeyboardEvent) => void>

/** Whether keys belong to what has the focus: a field, or a dialog that is open. */
function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

export function isDialogOpen(): boolean {
  return [...document.querySelectorAll<HTMLElement>('[role="dialog"]')].some((dialog) => dialog.offsetParent !== null || dialog.getClientRects().length > 0)
}

/** Calls a function when its key is pressed outside of fields and dialogs; "g b" is one key after another. */
export function useShortcuts(shortcuts: Shortcuts): void {
  let lead = ''
  let leadAt = -Infinity
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target) || isDialogOpen()) return
    // When keys were pressed, and not when a busy page came to hear of them.
    const pair = event.timeStamp - leadAt < 2000 ? `${lead} ${event.key}` : ''
    const act = shortcuts[pair] ?? shortcuts[event.key]
    lead = event.key
    leadAt = event.timeStamp
    if (!act) return
    event.preventDefault()
    lead = ''
    act(event)
  }
  document.addEventListener('keydown', onKey)
  onScopeDispose(() => document.removeEventListener('keydown', onKey))
}
