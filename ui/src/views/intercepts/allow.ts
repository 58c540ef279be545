import { editBinding, getBinding } from '@/api/bindings'
import { draftOf, ruleOf, widened } from '@/components/rule'
import { confirm } from '@/composables/useConfirm'
import { toast, toastError } from '@/composables/useToasts'
import { contains, parsePrefix, shortPrefix } from '@/lib/ip'
import { t } from '@/i18n'

/** Adds an address or a network to the rule of a key, after saying what the rule will be. */
export async function allow(of: { hash: string; hint: string }, text: string, done: () => void): Promise<void> {
  const wanted = parsePrefix(text)
  if (!wanted.ok) return
  const binding = await getBinding(of.hash, new AbortController().signal)
  const name = binding.label || binding.hint
  const before = binding.rule
  if (before.kind === 'all' || before.prefixes.some((p) => covers(p, text))) {
    toast(binding.status === 'banned' ? t('intercepts.allow.banned', { key: name }) : t('intercepts.allow.already', { key: name, prefix: text }))
    return
  }
  const after = widened(before, wanted.text)
  async function takeBack(revision: number): Promise<void> {
    try {
      await editBinding(of.hash, { rule: ruleOf(draftOf(before)) }, revision)
      toast(t('intercepts.allow.undone', { key: name }))
    } catch (thrown) {
      toastError(thrown)
    }
    done()
  }
  confirm({
    title: t('intercepts.allow.title', { prefix: text }),
    text: [
      t('intercepts.allow.text', { key: name, prefix: text }),
      t('intercepts.allow.after', { list: [...(after.networks ?? []), ...(after.prefixes ?? []).map(shortPrefix)].slice(0, 8).join(', ') }),
      ...(binding.status === 'banned' ? [t('intercepts.allow.banned', { key: name })] : []),
    ],
    confirm: t('intercepts.allow.confirm'),
    act: async () => {
      const changed = await editBinding(of.hash, { rule: after }, binding.revision)
      done()
      toast(t('intercepts.allow.done', { key: name, prefix: text }), {
        action: {
          label: t('common.undo'),
          act: () => void takeBack(changed.revision),
        },
      })
    },
  })
}

function covers(prefix: string, address: string): boolean {
  const outer = parsePrefix(prefix)
  const inner = parsePrefix(address)
  return outer.ok && inner.ok && inner.prefix.length >= outer.prefix.length && contains(outer.prefix, inner.prefix)
}
