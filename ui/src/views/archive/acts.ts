import { restore, undoRestore } from '@/api/archive'
import type { Binding } from '@/api/bindings'
import { toast, toastError } from '@/composables/useToasts'
import { t } from '@/i18n'

/** Puts a binding back in force, which can be taken back. */
export async function putBack(hash: string, done: () => Promise<void>): Promise<void> {
  const binding = await restore(hash)
  await done()
  toast(t('archive.restored', { key: binding.label || binding.hint }), { action: { label: t('common.undo'), act: () => void takeBack(binding, done) } })
}

async function takeBack(binding: Binding, done: () => Promise<void>): Promise<void> {
  try {
    await undoRestore(binding)
    await done()
    toast(t('archive.undone', { key: binding.label || binding.hint }))
  } catch (thrown) {
    toastError(thrown)
  }
}
