package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseDotenv(t *testing.T) {
	tests := []struct {
		name, text string
		want       []dotenvEntry
	}{
		{"empty", "", nil},
		{"blank lines and comments", "\n  \n# A=1\n\t# B=2\n", nil},
		{"plain", "A=1\nB=2", []dotenvEntry{{"A", "1", 1}, {"B", "2", 2}}},
		{"export", "export A=1\nexport\tB=2\nexport=3", []dotenvEntry{{"A", "1", 1}, {"B", "2", 2}, {"export", "3", 3}}},
		{"spaces around", "  A \t=  b c  \n", []dotenvEntry{{"A", "b c", 1}}},
		{"inline comment", "A=b # c\nB=b\t#c", []dotenvEntry{{"A", "b", 1}, {"B", "b", 2}}},
		{"comment instead of a value", "A= # c\nB=", []dotenvEntry{{"A", "", 1}, {"B", "", 2}}},
		{"number sign in a password", "A=pa#ss\nB=#pass", []dotenvEntry{{"A", "pa#ss", 1}, {"B", "#pass", 2}}},
		{"dollar signs", "A=a$b${C}$$\nB='$x'\nC=\"$x\"", []dotenvEntry{{"A", "a$b${C}$$", 1}, {"B", "$x", 2}, {"C", "$x", 3}}},
		{"backslashes", `A=a\nb\` + "\n" + `B="a\nb\d\\\""` + "\n" + `C='a\nb\'c\\'`,
			[]dotenvEntry{{"A", `a\nb\`, 1}, {"B", "a\nb\\d\\\"", 2}, {"C", `a\nb'c\`, 3}}},
		{"quotes inside", `A=a"b'c` + "\n" + `B='a"b'` + "\n" + `C="a'b"`, []dotenvEntry{{"A", `a"b'c`, 1}, {"B", `a"b`, 2}, {"C", `a'b`, 3}}},
		{"quoted with a comment", `A=" b # c " # d` + "\nB=''", []dotenvEntry{{"A", " b # c ", 1}, {"B", "", 2}}},
		{"equals in the value", "A=b=c==", []dotenvEntry{{"A", "b=c==", 1}}},
		{"several lines in quotes", "A=\"x\ny\"\nB=z", []dotenvEntry{{"A", "x\ny", 1}, {"B", "z", 3}}},
		{"CRLF and CR", "A=1\r\n\r\nB=2\rC=3\r\n", []dotenvEntry{{"A", "1", 1}, {"B", "2", 3}, {"C", "3", 4}}},
		{"byte order mark", "\ufeffA=1\n", []dotenvEntry{{"A", "1", 1}}},
		{"quoted name", "'A'=1", []dotenvEntry{{"A", "1", 1}}},
		{"no-break space", "A=b\u00a0\nB=\u3000c", []dotenvEntry{{"A", "b", 1}, {"B", "c", 2}}},
		{"one name twice", "A=1\nA=2", []dotenvEntry{{"A", "1", 1}, {"A", "2", 2}}},
		{"JSON list", `A=["10.0.0.0/8", "::1"]`, []dotenvEntry{{"A", `["10.0.0.0/8", "::1"]`, 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, faults := parseDotenv([]byte(test.text))
			if len(faults) > 0 || !slices.Equal(got, test.want) {
				t.Errorf("got %+v, %v, want %+v", got, faults, test.want)
			}
		})
	}
}

func TestParseDotenvFaults(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // how each fault begins
		entries    int
	}{
		{"no equals sign", "A=1\nsecret words\nB=2", []string{"line 2: no ="}, 2},
		{"no name", "\n=secret", []string{"line 2: no name"}, 0},
		{"open quote", "A='secret\nB=2", []string{"line 1: the quote ' is never closed"}, 1},
		{"text after a quote", `A="a"secret`, []string{"line 1: text after"}, 0},
		{"several", "x\n=y\nA=1", []string{"line 1: no =", "line 2: no name"}, 1},
		{"UTF-16", "\xff\xfeA\x00", []string{"is UTF-16"}, 0},
		{"no UTF-8", "A=\xff", []string{"is no text"}, 0},
		{"NUL", "A=\x00", []string{"is no text"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			entries, faults := parseDotenv([]byte(test.text))
			if len(faults) != len(test.want) || len(entries) != test.entries {
				t.Fatalf("got %d entries, faults %v, want %d, %q", len(entries), faults, test.entries, test.want)
			}
			for i, fault := range faults {
				if !strings.HasPrefix(fault.Error(), test.want[i]) || strings.Contains(fault.Error(), "secret") {
					t.Errorf("got %q, want it to begin with %q and show nothing of the line", fault, test.want[i])
				}
			}
		})
	}
}

func TestReadDotenvFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	if entries, faults := readDotenv(missing, false); entries != nil || faults != nil {
		t.Errorf("default file that is not there: got %v, %v, want nothing", entries, faults)
	}
	if _, faults := readDotenv(missing, true); len(faults) != 1 {
		t.Errorf("named file that is not there: got %v, want a fault", faults)
	}
	if _, faults := readDotenv(dir, false); len(faults) != 1 {
		t.Errorf("a directory: got %v, want a fault", faults)
	}
	path := filepath.Join(dir, "x.env")
	if err := os.WriteFile(path, []byte("A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, faults := readDotenv(path, true); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), path+" line 1: ") {
		t.Errorf("got %v, want a fault that names file and line", faults)
	}
}

func FuzzParseDotenv(f *testing.F) {
	for _, seed := range []string{
		"A=1", "export A='x'\n", "A=\"a\\n\"#c\r\n", "\ufeffA = b # c", "A='\nB=\"", "=", "'A'=\"\\\"", "\r\r\n\n", "A=\\", "\u2028A=1\u0085B=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, _ := parseDotenv([]byte(text))
		line := 1
		for _, e := range entries {
			if e.name == "" || strings.ContainsAny(e.name, "\x00") || e.line < line {
				t.Fatalf("got %+v after line %d", e, line)
			}
			line = e.line
			quoted := "A='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(e.value) + "'"
			again, faults := parseDotenv([]byte(quoted))
			if len(faults) > 0 || len(again) != 1 || again[0].name != "A" || again[0].value != e.value {
				t.Fatalf("%+v written as %q reads %+v, %v", e, quoted, again, faults)
			}
		}
	})
}
