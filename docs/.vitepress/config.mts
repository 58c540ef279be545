import { readFileSync } from 'node:fs'
import { defineConfig, type DefaultTheme } from 'vitepress'

// The menu is what the overview of each language lists, in its order.
function sidebar(overview: string, base: string): DefaultTheme.SidebarItem[] {
  const groups: DefaultTheme.SidebarItem[] = []
  for (const line of readFileSync(new URL(`../${overview}`, import.meta.url), 'utf8').split('\n')) {
    const heading = /^## (.*)/.exec(line)
    const entry = /^- \[(.*?)\]\((.*?)\.md\)/.exec(line)
    if (heading) groups.push({ text: heading[1], items: [] })
    if (entry) groups.at(-1)?.items?.push({ text: entry[1], link: `${base}${entry[2]}` })
  }
  return groups
}

// The anchors that the forge makes of headings, so that links fit both.
const slugify = (text: string) => text.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '').replace(/ /g, '-')

// Pages read from a disk have no server: no script is needed, links are made
// relative by relative.mjs, and nothing comes from elsewhere.
export default defineConfig({
  title: 'Key-IP Sentinel',
  mpa: true,
  appearance: 'force-auto', // a switch would need a script
  outDir: '../bin/docs',
  cacheDir: 'node_modules/.cache',
  srcExclude: ['zh/README.zh-CN.md'],
  rewrites: { 'README.md': 'index.md', 'zh/README.md': 'zh/index.md' },
  lastUpdated: false,
  ignoreDeadLinks: true, // relative.mjs looks at what becomes of them
  markdown: {
    anchor: { slugify },
    languageAlias: { haproxy: 'nginx', caddyfile: 'nginx' },
  },
  themeConfig: { search: undefined, outline: [2, 3] },
  locales: {
    root: { label: 'English', lang: 'en', themeConfig: { sidebar: sidebar('README.md', '/') } },
    zh: {
      label: '简体中文', lang: 'zh-CN', link: '/zh/',
      themeConfig: { sidebar: sidebar('zh/README.md', '/zh/'), outline: { level: [2, 3], label: '本页目录' }, docFooter: { prev: '上一页', next: '下一页' }, darkModeSwitchLabel: '主题', sidebarMenuLabel: '菜单', returnToTopLabel: '回到顶部' },
    },
  },
})
