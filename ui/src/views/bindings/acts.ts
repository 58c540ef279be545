import { type Binding, createBinding, editBinding, unbind } from '@/api/bindings'
import { draftOf, ruleOf } from '@/components/rule'
import { confirm } from '@/composables/useConfirm'
import { toast, toastError } from '@/composables/useToasts'
import { t } from '@/i18n'

export function nameOf(b: { hint: string; label?: string; hash: string }): string {
  return b.label ? `${b.label} (${b.hint || b.hash.slice(0, 12)})` : b.hint || b.hash.slice(0, 12)
}

/** Bans a key, after asking. */
export function ban(b: { hint: string; label?: string; hash: string }, done: () => void, revision?: number): void {
  confirm({
    title: t('bindings.ban.title', { key: nameOf(b) }),
    text: [t('bindings.ban.text')],
    confirm: t('bindings.ban.confirm'),
    danger: true,
    act: async () => {
      await editBinding(b.hash, { status: 'banned' }, revision)
      done()
      toast(t('bindings.ban.done', { key: nameOf(b) }), { action: { label: t('common.undo'), act: () => void setStatus(b, 'active', done) } })
    },
  })
}

/** Lifts a ban, which can be taken back. */
export function unban(b: { hint: string; label?: string; hash: string }, done: () => void): Promise<void> {
  return setStatus(b, 'active', done, { action: { label: t('common.undo'), act: () => void setStatus(b, 'banned', done) } })
}

async function setStatus(b: { hint: string; label?: string; hash: string }, status: Binding['status'], done: () => void, options: Parameters<typeof toast>[1] = {}): Promise<void> {
  try {
    await editBinding(b.hash, { status })
    done()
    toast(t(status === 'banned' ? 'bindings.ban.done' : 'bindings.ban.undone', { key: nameOf(b) }), options)
  } catch (thrown) {
    toastError(thrown)
  }
}

export function askUnbind(b: Binding, done: () => void): void {
  confirm({
    title: t('bindings.unbind.title', { key: nameOf(b) }),
    text: [t('bindings.unbind.text'), t('bindings.unbind.banInstead')],
    confirm: t('bindings.unbind.confirm'),
    danger: true,
    act: async () => {
      await unbind(b.hash, b.revision)
      done()
      toast(t('bindings.unbind.done', { key: nameOf(b) }), { action: { label: t('common.undo'), act: () => void rebind(b, done) } })
    },
  })
}

async function rebind(b: Binding, done: () => void): Promise<void> {
  try {
    await createBinding({
      hash: b.hash, label: b.label, note: b.note, status: b.status,
      ...(b.hint ? { hint: b.hint } : {}),
      rule: ruleOf(draftOf(b.rule)),
    })
    done()
    toast(t('bindings.unbind.undone', { key: nameOf(b) }))
  } catch (thrown) {
    toastError(thrown)
  }
}
