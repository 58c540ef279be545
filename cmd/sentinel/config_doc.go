package main

import (
	"fmt"
	"strings"
)

// settingsPages makes the pages of the documentation that list every setting,
// by language.
var settingsPages = map[string]func() string{
	"en": func() string { return settingsPage(englishPage, func(t text) string { return t.en }) },
	"zh": func() string { return settingsPage(chinesePage, func(t text) string { return t.zh }) },
}

// pageTexts are the words of a page that are not in the table.
type pageTexts struct {
	title, intro, columns, defaultNone, required, hidden, runtime, legacy, unused, example string
}

const generatedNote = "<!-- Made by `make docs` from cmd/sentinel/config_table*.go. Change it there. -->"

var englishPage = pageTexts{
	title: "Settings",
	intro: `Every setting is a variable of the environment, a line of the file ` + "`.env`" + ` in the working directory
(` + "`--env-file`" + ` names another), or a flag. A flag beats the environment, which beats the file.

What is wrong stops the start with exit code 2: all faults at once, one line each. In detail:

- Unknown names in the file or among the flags are faults. Unknown names in the environment that begin with
  ` + "`SENTINEL_`" + ` are warned of, since Kubernetes puts such names there; all others belong to somebody else.
- An empty value counts as not given, so that the next source decides; an empty secret or flag is a fault.
- White space around a value is removed, except around secrets, which count byte for byte.
- Durations are seconds, or numbers with ` + "`ms`, `s`, `m` or `h`" + ` such as ` + "`1m30s`" + `. Sizes are bytes, or numbers with
  ` + "`KB`, `MB`, `GB` (thousands) or `KiB`, `MiB`, `GiB` (1,024)" + `. Booleans are ` + "`true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`" + `.
- Lists of prefixes are separated by commas, spaces or both; ` + "`10.0.0.7`" + ` alone is one address. ` + "`10.0.0.1/8`" + ` is refused:
  it could mean either.
- Secrets that are still a sample's placeholder, or shorter than 16 bytes, are refused; shorter than 32 are warned of.
  They can be flags too, but then everybody on the machine can read them. ` + "`SENTINEL_HMAC_SECRET`" + ` and
  ` + "`ADMIN_JWT_SECRET`" + ` are made at the first start if they are not given, and kept in ` + "`secrets.json`" + ` in the data directory,
  which belongs into every backup: without the first of them, Sentinel refuses to start on data that was made with it.
- The file is read as python-dotenv reads it: ` + "`export`" + `, quotes, comments, values over several lines in quotes. What
  differs: ` + "`${NAME}`" + ` is not expanded, and a line that is no assignment is a fault.
- The ` + "`.env`" + ` of the earlier Python deployment works unchanged. What this version does not use is accepted, checked
  and warned of at each start; the table says which settings those are.

Settings marked as runtime can be changed while the program runs: with ` + "`sentinel settings set`" + ` or the admin API. They are
in force from the next request on, are kept in the store, and beat what is set here until they are taken back
(` + "`sentinel settings unset`" + `). ` + "`sentinel settings get`" + ` shows what is in force, and where it comes from.`,
	columns: "Name and flag|What it does|Type|Default", defaultNone: "none", required: "Required.", hidden: "Never shown.",
	runtime: "Runtime.", legacy: "Earlier deployment's name.", unused: "Not used:", example: "Example:",
}

var chinesePage = pageTexts{
	title: "配置项",
	intro: `每个配置项都可以是环境变量、工作目录中 ` + "`.env`" + ` 文件的一行（可用 ` + "`--env-file`" + ` 指定其他文件）或命令行参数。
优先级：命令行参数高于环境变量，环境变量高于文件。

有错误时启动会以退出码 2 中止，并一次列出全部错误，每个一行。细则：

- 文件或命令行中的未知名称视为错误。环境变量中以 ` + "`SENTINEL_`" + ` 开头的未知名称只会警告（Kubernetes 会注入这类变量）；
  其余名称属于其他程序。
- 空值视为未设置，由下一来源决定；空的密钥或命令行参数视为错误。
- 值两端的空白会被去除；密钥除外，密钥按字节原样使用。
- 时长为秒数，或带 ` + "`ms`、`s`、`m`、`h`" + ` 的数字，如 ` + "`1m30s`" + `。大小为字节数，或带 ` + "`KB`、`MB`、`GB`（千进制）、`KiB`、`MiB`、`GiB`（1024 进制）" + `
  的数字。布尔值可写 ` + "`true`、`false`、`1`、`0`、`yes`、`no`、`on`、`off`" + `。
- 网段列表以逗号或空格分隔；单独的 ` + "`10.0.0.7`" + ` 表示一个地址。` + "`10.0.0.1/8`" + ` 会被拒绝，因为含义不明。
- 仍为示例占位符或短于 16 字节的密钥会被拒绝，短于 32 字节会警告。密钥也可以用命令行参数给出，但本机所有用户都能看到。
  ` + "`SENTINEL_HMAC_SECRET` 和 `ADMIN_JWT_SECRET`" + ` 未给出时在首次启动时生成，保存在数据目录的 ` + "`secrets.json`" + ` 中，备份时必须包含
  该文件：缺少前者时，Sentinel 拒绝在用它生成的数据上启动。
- 文件的读法与 python-dotenv 相同：` + "`export`" + `、引号、注释、引号内的多行值。不同之处：不展开 ` + "`${NAME}`" + `；不是赋值的行视为错误。
- 早期 Python 部署的 ` + "`.env`" + ` 可原样使用。此版本不使用的配置项会被接受、检查，并在每次启动时警告；表中已注明。

标有“运行时”的配置项可在程序运行中更改：使用 ` + "`sentinel settings set`" + ` 或管理 API。更改从下一个请求起生效，保存在存储中，
优先于此处的设置，直到被撤回（` + "`sentinel settings unset`" + `）。` + "`sentinel settings get`" + ` 显示当前生效的值及其来源。`,
	columns: "名称与参数|作用|类型|默认值", defaultNone: "无", required: "必填。", hidden: "从不显示。",
	runtime: "运行时。", legacy: "早期部署的名称。", unused: "未使用：", example: "示例：",
}

func settingsPage(page pageTexts, in func(text) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n# %s\n\n%s\n", generatedNote, page.title, page.intro)
	var last *group
	for _, s := range settings {
		if s.group != last {
			columns := strings.ReplaceAll(page.columns, "|", " | ")
			fmt.Fprintf(&b, "\n## %s\n\n| %s |\n| --- | --- | --- | --- |\n", in(s.group.title), columns)
			last = s.group
		}
		fmt.Fprintf(&b, "| `%s` `--%s` | %s | %s | %s |\n", s.name, s.flag(), s.description(page, in), in(s.value.name), s.defaultShown(page, in))
	}
	return b.String()
}

func (s *setting) description(page pageTexts, in func(text) string) string {
	parts := []string{in(s.help)}
	if s.required {
		parts = append(parts, page.required)
	}
	if s.unused.en != "" {
		parts = append(parts, fmt.Sprintf("**%s** %s.", page.unused, strings.TrimSuffix(in(s.unused), "。")))
	}
	if s.runtime {
		parts = append(parts, page.runtime)
	}
	if s.legacy {
		parts = append(parts, page.legacy)
	}
	if s.secrecy != public {
		parts = append(parts, page.hidden)
	}
	if s.secrecy < verbatim {
		parts = append(parts, fmt.Sprintf("%s `%s`", page.example, s.example))
	}
	return strings.ReplaceAll(strings.Join(parts, " "), "|", `\|`)
}

func (s *setting) defaultShown(page pageTexts, in func(text) string) string {
	switch {
	case s.defText.en != "":
		return in(s.defText)
	case s.def != "":
		return "`" + s.def + "`"
	}
	return page.defaultNone
}
