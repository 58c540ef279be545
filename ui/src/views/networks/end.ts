import { type Exception, createException, endException } from '@/api/networks'
import { confirm } from '@/composables/useConfirm'
import { format } from '@/composables/useFormat'
import { now } from '@/composables/useNow'
import { toast, toastError } from '@/composables/useToasts'
import { t } from '@/i18n'

/** How long an exception goes on. */
export function leftOf(of: Exception): string {
  return format.duration((new Date(of.until).getTime() - now.value) / 1000)
}

/** Ends an exception before its time, after asking. */
export function askEnd(of: Exception, done: () => Promise<void>): void {
  confirm({
    title: t('networks.exception.endTitle', { key: of.hint || of.hash.slice(0, 12) }), text: [t('networks.exception.endText')], confirm: t('networks.exception.end'), danger: true,
    act: async () => {
      await endException(of.id)
      await done()
      toast(t('networks.exception.ended'), { action: { label: t('common.undo'), act: () => void makeAgain(of, done) } })
    },
  })
}

/** Makes an exception anew that was ended, until when it was to last. */
async function makeAgain({ hash, prefix, note, until }: Exception, done: () => Promise<void>): Promise<void> {
  try {
    const made = await createException({ hash, prefix, note, until, confirmAnySource: true })
    await done()
    toast(t('networks.exception.done', { key: made.hint || made.hash.slice(0, 12), time: format.dateTime(made.until) }))
  } catch (thrown) {
    toastError(thrown)
  }
}
