package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/key-ip-sentinel/sentinel/store"
)

// TestEveryRecordIsFollowed finds in the source each kind of document and each name of a
// setting that the program reads or writes, and wants it in what a node of a cluster
// follows: what is forgotten there would be changed by one node and never known by the
// others.
func TestEveryRecordIsFollowed(t *testing.T) {
	downstream, _ := slowDownstream(t)
	n := newNode(configFrom(t, settingsFor(downstream, t.TempDir())), io.Discard)
	must(t, n.open(t.Context()))
	defer func() { must(t, n.close()) }()
	parts := n.followed()

	src := readSource(t, "engine", "httpapi", "cmd/sentinel")
	kinds, names := src.records(t)
	if len(kinds) < 12 || len(names) < 2 {
		t.Fatalf("found documents %v and settings %v only", kinds, names)
	}
	for _, kind := range kinds {
		if parts.Documents[kind] == nil {
			t.Errorf("documents of kind %q are not followed", kind)
		}
	}
	for kind := range parts.Documents {
		if !slices.Contains(kinds, kind) {
			t.Errorf("documents of kind %q are followed, and nobody writes them", kind)
		}
	}
	for _, name := range names {
		if parts.Settings[name] == nil && !store.IsNodeSetting(name) {
			t.Errorf("setting %q is not followed", name)
		}
	}
}

// source is what the test knows of packages: their files, and constants that are texts.
type source struct {
	files     map[*ast.File]string         // with the package of each
	constants map[string]map[string]string // by package and name
}

func readSource(t *testing.T, dirs ...string) source {
	t.Helper()
	s := source{map[*ast.File]string{}, map[string]map[string]string{}}
	for _, dir := range dirs {
		must(t, filepath.WalkDir(filepath.Join(repository, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			s.files[file] = file.Name.Name
			s.addConstants(file)
			return nil
		}))
	}
	return s
}

func (s source) addConstants(file *ast.File) {
	pkg := file.Name.Name
	if s.constants[pkg] == nil {
		s.constants[pkg] = map[string]string{}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		for i := 0; ok && i < min(len(spec.Names), len(spec.Values)); i++ {
			if value, isText := textOf(spec.Values[i]); isText {
				s.constants[pkg][spec.Names[i].Name] = value
			}
		}
		return true
	})
}

func textOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		value, err := strconv.Unquote(e.Value)
		return value, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		x, isText := textOf(e.X)
		y, alsoText := textOf(e.Y)
		return x + y, isText && alsoText
	case *ast.SelectorExpr:
		return store.NodeSettingPrefix, e.Sel.Name == "NodeSettingPrefix"
	}
	return "", false
}

// The calls that name a kind of document, or a setting, with which argument does.
var (
	documentCalls = map[string]int{"ListDocuments": 1, "Document": 1, "DeleteDocument": 1, "newShelf": 1, "newLedger": 1}
	settingCalls  = map[string]int{"Setting": 1, "PutSetting": 1, "DeleteSetting": 1, "putOnce": 2, "isNoted": 2}
)

// records returns the kinds of documents and the names of settings that are used.
func (s source) records(t *testing.T) (kinds, settings []string) {
	t.Helper()
	for file, pkg := range s.files {
		note := func(to *[]string, what string, e ast.Expr) {
			value, isPassedOn := s.resolve(pkg, e)
			switch {
			case isPassedOn:
			case value == "":
				t.Errorf("package %s: it cannot be told which %s is meant: name it by a constant", pkg, what)
			case !slices.Contains(*to, value):
				*to = append(*to, value)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				name := calledName(n)
				if at, ok := documentCalls[name]; ok && len(n.Args) > at {
					note(&kinds, "kind of document", n.Args[at])
				}
				if at, ok := settingCalls[name]; ok && len(n.Args) > at {
					note(&settings, "setting", n.Args[at])
				}
			case *ast.CompositeLit:
				if sel, ok := n.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Document" {
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Kind" {
							note(&kinds, "kind of document", kv.Value)
						}
					}
				}
			}
			return true
		})
	}
	slices.Sort(kinds)
	slices.Sort(settings)
	return kinds, settings
}

func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.IndexExpr: // of a generic function
		return calledName(&ast.CallExpr{Fun: f.X})
	}
	return ""
}

// resolve returns the text that an expression begins with, or that it is a field, which
// somebody has been given.
func (s source) resolve(pkg string, e ast.Expr) (value string, isPassedOn bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		value, _ = textOf(e)
	case *ast.Ident:
		value = s.constants[pkg][e.Name]
		return value, value == "" && (e.Name == "kind" || e.Name == "name") // an argument
	case *ast.BinaryExpr:
		return s.resolve(pkg, e.X)
	case *ast.SelectorExpr:
		of, isName := e.X.(*ast.Ident)
		if !isName {
			return "", true
		}
		if constants, isPackage := s.constants[of.Name]; isPackage && constants[e.Sel.Name] != "" {
			return constants[e.Sel.Name], false
		}
		return "", e.Sel.Name == "kind" || e.Sel.Name == "Kind" // of a shelf, a ledger, a document
	}
	return value, false
}
