package config

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// load reads a text as a file, with flags as they would stand on a command line.
func load(t testing.TB, text string, args ...string) (*capture.Config, []string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var r Recording
	var s Source
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	r.AddFlags(flags)
	s.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := FromFile(name, flags, nil)
	if err != nil {
		err = cli.Exit(cli.ExitCode(err), fmt.Errorf("%s", strings.ReplaceAll(err.Error(), name, "f")))
	}
	return cfg, warnings, err
}

// Everything that a file can say arrives, and a source's own settings go over
// the defaults.
func TestFromFile(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	t.Setenv("KEY", "a&b c")
	cfg, warnings, err := load(t, `
dir: feed
for: 1h
sync: interval
sync-every: 20ms
segment-size: 1MiB
compress: true
keep-size: 1GiB
keep-age: 7d
retain: 8MiB
failover: other
reserve: 2MiB
defaults: &d
  ring: 1MiB
  overload: wait
  frame: raw
  reconnect: always
  idle-timeout: 3s
  max-frame: 1KiB
  outbound: true
  subprotocol: v1
  headers: {A: from the defaults, User-Agent: x}
  subscribe: [one]
sources:
  - url: ws://h/p?k=${env:KEY}&x=1
    name: a
    ring: 2MiB
    overload: drop
    outbound: false
    urgent: true
    deflate: inflate
    headers: {a: '${credential:token} and $${b}', Authorization: 'Bearer ${env:KEY}'}
    subscribe: ['{"k":"${env:KEY}"}', two]
    subprotocol: [v2, v3]
  - url: "-"
`)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	want := &capture.Config{
		Dir: "feed", For: time.Hour,
		Journal: journal.Options{
			SyncEvery: 20 * time.Millisecond, SegmentSize: 1 << 20, Compress: true, Retain: 8 << 20, Failover: "other", Reserve: 2 << 20,
			Retention: journal.Retention{MaxBytes: 1 << 30, MaxAge: 7 * 24 * time.Hour},
		},
	}
	drop, wait := recorder.OverloadDrop, recorder.OverloadWait
	common := source.Options{Frame: source.Raw, Reconnect: source.Always, IdleTimeout: 3 * time.Second, MaxFrame: 1024}
	a := capture.Source{Spec: source.Spec{Name: "a", Kind: source.WebSocket, URL: "ws://h/p?k=a%26b+c&x=1"}, Ring: 2 << 20, Overload: &drop, Urgent: true, Options: common}
	a.Options.Deflate = wsbuf.DeflateInflate
	a.Options.Header = http.Header{"A": {"from a file and ${b}"}, "User-Agent": {"x"}, "Authorization": {"Bearer a&b c"}}
	a.Options.Subscribe = [][]byte{[]byte(`{"k":"a&b c"}`), []byte("two")}
	a.Options.Subprotocols = []string{"v2", "v3"}
	b := capture.Source{Spec: source.Spec{Name: "stdin", Kind: source.Stdin}, Ring: 1 << 20, Overload: &wait, Options: common}
	b.Options.Header = http.Header{"A": {"from the defaults"}, "User-Agent": {"x"}}
	b.Options.Subscribe = [][]byte{[]byte("one")}
	b.Options.Subprotocols = []string{"v1"}
	b.Options.Outbound = true
	want.Sources = []capture.Source{a, b}
	for i, s := range cfg.Sources {
		if w := want.Sources[i]; s.Spec != w.Spec || s.Ring != w.Ring || s.Urgent != w.Urgent || *s.Overload != *w.Overload || !reflect.DeepEqual(s.Options, w.Options) {
			t.Errorf("source %d:\n%+v\nwant\n%+v", i, s.Options, w.Options)
		}
	}
	cfg.Sources, want.Sources = nil, nil
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("%+v\nwant\n%+v", cfg, want)
	}
}

// A flag goes over what the file says, of the defaults and of each source.
func TestFlagsOverride(t *testing.T) {
	const text = `
dir: feed
sync: interval
sync-every: 20ms
segment-size: much
defaults: {ring: 1MiB}
sources:
  - url: ws://h/a
    ring: 2MiB
  - url: ws://h/b
`
	if _, _, err := load(t, text); err == nil {
		t.Error("a value that is none was taken")
	}
	cfg, _, err := load(t, strings.Replace(text, "much", "1GiB", 1), "--ring", "8MiB", "--dir", "other", "--sync", "batch", "--segment-size", "1MiB")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Dir != "other" || cfg.Sources[0].Ring != 8<<20 || cfg.Sources[1].Ring != 8<<20 {
		t.Errorf("%+v", cfg)
	}
	if cfg.Journal.Sync != journal.SyncBatch || cfg.Journal.SyncEvery != 0 || cfg.Journal.SegmentSize != 1<<20 {
		t.Errorf("%+v", cfg.Journal)
	}
	if _, _, err := load(t, strings.Replace(text, "much", "1GiB", 1), "--ring", "1"); err == nil || !strings.Contains(err.Error(), "--ring 1: must be") {
		t.Error(err)
	}
}

// All that is wrong is said at once, each with its line.
func TestProblems(t *testing.T) {
	t.Setenv("HUSH", "secret\x01")
	t.Setenv("SECRET", "topsecret")
	t.Setenv("EMPTY", "")
	const head = "dir: x\nsources:\n- url: ws://h/a\n" // lines 1 to 3
	for _, tc := range []struct {
		name, text string
		want       []string // of the lines of the error
	}{
		{"nothing", "", []string{"f: says nothing: needs dir and sources"}},
		{"a comment", "# a\n", []string{"f: says nothing"}},
		{"no YAML", "dir: x\nfor: [1", []string{"f: no YAML: line "}},
		{"a bare dash", "dir: x\nsources:\n- url: -\n", []string{"wants quotes"}},
		{"two documents", head + "---\ndir: y\n", []string{"more than one document"}},
		{"a list", "- a\n", []string{"f: dir is missing", "f: sources is missing", "f:1: the top of the file must be a mapping"}},
		{"no sources", "dir: x\nsources: []\n", []string{"f:2: sources is missing"}},
		{"sources that are none", "dir: x\nsources: {}\n", []string{"f:2: sources must be a list"}},
		{"a source that is none", "dir: x\nsources: [ws://h/a]\n", []string{"f:2: a source must be a mapping"}},
		{"unknown keys", head + "  rings: 1\n  zzzzzz: 1\nsegmentsize: 1\ndefaults: {url: x, dirs: 1}\n", []string{
			`f:4: unknown key "rings": did you mean ring?`, `f:5: unknown key "zzzzzz": a source has ca-file, `,
			`f:6: unknown key "segmentsize": did you mean segment-size?`, `f:7: unknown key "dirs": defaults has ca-file`, "f:7: url cannot be a default"}},
		{"keys in the wrong place", "ring: 1MiB\n" + head + "  dir: y\n  header-env: a\n", []string{
			"f:1: ring belongs to a source, or under defaults", "f:5: dir belongs at the top of the file", "f:6: header-env is no key of a file: write headers"}},
		{"twice", head + "  ring: 1MiB\n  ring: 2MiB\n", []string{"f:5: ring stands here twice"}},
		{"no value", head + "  ring:\n  headers: {A: }\n  name: ''\n", []string{"f:3: name \"\" is 0 bytes", "f:4: ring has no value", "f:5: header A: must be one value, not nothing"}},
		{"empty", head + "failover: ''\n", []string{"f:4: failover is empty: leave the key out"}},
		{"the wrong kind", head + "  ring: [1]\n  subscribe: {a: b}\n  headers: a\n  outbound: yes\n  subprotocol: [[a]]\n", []string{
			"f:4: ring must be one value, not a list", "f:5: subscribe must be a list, not a mapping", "f:6: headers must be a mapping",
			`f:7: outbound "yes": must be true or false`, "f:8: subprotocol (an element of it) must be one value, not a list"}},
		{"values", head + "  ring: 1\n  idle-timeout: soon\n  frame: words\n  reconnect: now\n  overload: fail\n  max-frame: 2GiB\nsync: no\nsync-every: 1ns\nretain: 1\nreserve: 1\n", []string{
			"f:4: ring 1: must be 4KiB to 1GiB", `f:5: idle-timeout "soon" is not a duration`, `f:6: frame "words": must be`, `f:7: reconnect "now": must be`,
			`f:8: overload "fail": must be drop or wait`, "f:9: max-frame 2GiB: must be at most", `f:10: sync "no": must be none, interval or batch`,
			"f:12: retain 1: must be 0, or", "f:13: reserve 1: must be 0, or"}},
		{"of two keys", head + "sync: batch\nsync-every: 1s\nfailover: y\n", []string{"f:5: sync-every 1s: needs sync interval, not batch", "f:6: failover y: needs retain"}},
		{"sources in each other's way", head + "- url: ws://h/a?b\n- url: \"-\"\n- url: \"-\"\n  name: x\n- name: y\n", []string{
			`f:4: two sources would be the stream "h/a"`, "f:6: standard input (-) can be recorded once only", "f:8: this source has no url"}},
		{"keys of another kind", "dir: x\ndefaults: {deflate: raw, frame: fix}\nsources:\n- url: tcp://h:1\n  subscribe: [a]\n  max-frame: 1MiB\n- url: ws://h/a\n  frame: line\n- url: \"-\"\n  idle-timeout: 1s\n- url: tcp-listen://h:2\n  reconnect: never\n", []string{
			"f:5: subscribe is for ws:// and wss:// only: it does nothing here", "f:6: max-frame is for ws://", "f:8: frame is for TCP and standard input only", "f:10: idle-timeout is for network sources only", "f:12: reconnect is for ws://, wss:// and tcp:// only"}},
		{"defaults once", "dir: x\ndefaults: {ring: 1}\nsources:\n- url: ws://h/a\n- url: ws://h/b\n", []string{"f:2: ring 1: must be"}},
		{"files", head + "  header-file: nosuch\n  ca-file: " + os.DevNull + "\n  subscribe: ['@nosuch']\n", []string{
			"f:4: header-file nosuch: no such file", "f:5: ca-file " + os.DevNull + ": no certificate", "f:6: subscribe @nosuch: no such file"}},
		{"variables", head + "  headers:\n    A: ${env:NO_SUCH}\n    B: ${env:EMPTY}\n    C: ${file:nosuch}\n    D: ${HOME}\n    E: ${env:x\n    F: ${credential:a}\ndir: ${env:NO_DIR}\n", []string{
			"f:5: header A: ${env:NO_SUCH}: the environment variable NO_SUCH is not set", "f:6: header B: ${env:EMPTY}: the", "f:7: header C: ${file:nosuch}: nosuch: no such file",
			"f:8: header D: ${HOME…}: must be ${env:NAME}", "f:9: header E: a ${ has no }", "f:10: header F: ${credential:a}: $CREDENTIALS_DIRECTORY is not set", "f:11: dir stands here twice"}},
		{"variables where none may be", "dir: ${file:x}\nsync: ${env:HUSH}\nsources:\n- url: ws://h/${env:HUSH}\n- url: ws://h/?x=${env:NO_SUCH}\n", []string{
			"f:1: dir ${file:x}: a path takes ${env:NAME} only", "f:2: sync takes no ${…}", "f:4: url: ${…} may stand in the query only", "f:5: url: ${env:NO_SUCH}: the"}},
		{"URLs that are none, with a secret", "dir: x\nsources:\n- url: h/p?k=${env:SECRET}\n- url: http://h/p?k=${env:SECRET}\n- url: ws://u:p@h/p?k=${env:SECRET}\n- url: tcp://h?k=${env:SECRET}\n- url: ws://h:x?k=${env:SECRET}\n", []string{
			`f:3: source "h/p": must be ws://`, "f:4: source http://…", "f:5: source ws://h/p: a user", "f:6: source tcp://h: must be tcp://HOST:PORT", "f:7: source ws://h:x: bad URL"}},
		{"headers", head + "  headers: {authorization: Bearer x, X-Api-Key: y, a b: c, Upgrade: x, D: '${env:HUSH}', E: 1, e: 2}\n", []string{
			"f:4: header D: the value of header D has control characters", "f:4: header Upgrade: header Upgrade belongs to the handshake",
			"f:4: header X-Api-Key: a secret must not stand in the file", `f:4: header a b: "a b" is not a header name`,
			"f:4: header authorization: a secret must not stand in the file", "f:4: header e: stands here twice"}},
		{"a loop", "dir: x\nsources: &a\n- *a\n", []string{"f:2: a source must be a mapping"}},
		{"too large", strings.Repeat("#", maxFile+1), []string{"f: larger than 1MiB"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := load(t, tc.text)
			if cli.ExitCode(err) != cli.ExitUsage {
				t.Fatalf("exit code %d: %v", cli.ExitCode(err), err)
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(tc.want) {
				t.Errorf("%d problems, want %d:\n%v", len(got), len(tc.want), err)
			}
			for i, want := range tc.want[:min(len(got), len(tc.want))] {
				if !strings.Contains(got[i], want) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
			}
			if strings.Contains(err.Error(), "secret\x01") || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("a secret: %q", err)
			}
		})
	}
}

// A file with a secret that anybody can read is told of, once.
func TestReadableByAnybody(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such rights here")
	}
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "closed": 0o640} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("A: hush"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, how := range map[string]string{
		"in a header":     "headers: {A: '${file:%s}', B: '${file:%[1]s}'}",
		"of headers":      "header-file: %s",
		"of a message":    "subscribe: '@%s'",
		"in a message":    "subscribe: ['${file:%s}']",
		"in a URL":        "url: 'ws://h/c?${file:%s}'",
		"of certificates": "ca-file: %s", // which are no secret
	} {
		t.Run(name, func(t *testing.T) {
			for file, want := range map[string]int{"open": 1, "closed": 0} {
				path := filepath.Join(dir, file)
				text := fmt.Sprintf("dir: x\nsources: [{url: ws://h/a, name: a, %s}]", fmt.Sprintf(how, path))
				if name == "in a URL" {
					text = strings.Replace(text, "url: ws://h/a, ", "", 1)
				}
				if name == "of certificates" {
					want = 0
				}
				_, warnings, err := load(t, text)
				if name != "of certificates" && err != nil || len(warnings) != want {
					t.Errorf("%s: %q, %v", file, warnings, err)
				}
				if want == 1 && (!strings.Contains(warnings[0], path+": anybody on this machine can read it (mode -rw-r--r--)") || strings.Contains(warnings[0], "hush")) {
					t.Errorf("%q", warnings)
				}
			}
		})
	}
}

const example = "../../../../docs/record.example.yaml"

// The example has every key, with the defaults' and the sources' keys where they
// belong, and is in order.
func TestExample(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("FEED_LISTEN_KEY", "listen")
	t.Setenv("FEED_TOKEN", "token")
	t.Setenv("HOME", dir)
	if err := os.MkdirAll(filepath.Join(dir, ".config/logbuf"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".config/logbuf/headers"), []byte("X-Key: hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(pem, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := load(t, strings.Replace(string(text), "/etc/ssl/internal.pem", pem, 1))
	if err != nil || len(warnings) > 0 || len(cfg.Sources) != 5 {
		t.Fatal(warnings, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	top, ofSource := Keys()
	has := keysOf(doc.Content[0])
	for _, k := range top {
		if !slices.Contains(has, k.Name) {
			t.Errorf("%s does not have the key %s", example, k.Name)
		}
	}
	var inSources []string
	for i, n := range doc.Content[0].Content {
		if n.Value == "sources" {
			for _, s := range doc.Content[0].Content[i+1].Content {
				inSources = append(inSources, keysOf(s)...)
			}
		}
	}
	for _, k := range ofSource {
		if !slices.Contains(inSources, k.Name) && !strings.Contains(string(text), "\n  "+k.Name+":") {
			t.Errorf("%s does not have the key %s of a source", example, k.Name)
		}
	}
}

func keysOf(n *yaml.Node) (keys []string) {
	for i := 0; i < len(n.Content); i += 2 {
		keys = append(keys, n.Content[i].Value)
	}
	return keys
}

// FuzzFile: whatever a file holds, reading it ends, with a configuration or with
// an error about the command line.
func FuzzFile(f *testing.F) {
	text, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("dir: &a x\nsources: [*a, {url: *a}]\n<<: *a"))
	f.Add([]byte("? {a: b}\n: [*x]\n"))
	f.Add([]byte("sources: [{headers: {? [a] : b}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "file") || strings.Contains(string(text), "@") {
			return // it would read files of this machine
		}
		_, _, err := load(t, string(text))
		if err != nil && cli.ExitCode(err) != cli.ExitUsage {
			t.Errorf("exit code %d: %v", cli.ExitCode(err), err)
		}
	})
}
