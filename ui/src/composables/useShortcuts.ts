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
  let leadAt = 0
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target) || isDialogOpen()) return
    const pair = Date.now() - leadAt < 1200 ? `${lead} ${event.key}` : ''
    const act = shortcuts[pair] ?? shortcuts[event.key]
    lead = event.key
    leadAt = Date.now()
    if (!act) return
    event.preventDefault()
    lead = ''
    act(event)
  }
  document.addEventListener('keydown', onKey)
  onScopeDispose(() => document.removeEventListener('keydown', onKey))
}
