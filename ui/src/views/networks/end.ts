import { type Exception, endException } from '@/api/networks'
import { confirm } from '@/composables/useConfirm'
import { format } from '@/composables/useFormat'
import { now } from '@/composables/useNow'
import { toast } from '@/composables/useToasts'
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
      toast(t('networks.exception.ended'))
    },
  })
}
