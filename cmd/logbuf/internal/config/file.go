package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxFile is the largest configuration file, in bytes.
const maxFile = 1 << 20

// file is a configuration file that is being read. It gathers what is wrong
// instead of ending with the first.
type file struct {
	name     string         // as given
	given    *pflag.FlagSet // of the command line
	expand   expander
	problems []located
	warnings []string
}

// located is something to say about a line of the file; line 0 is the file as a
// whole, commandLine is a flag.
type located struct {
	line int
	text string
}

const commandLine = -1

// FromFile makes the configuration that a file says. Flags of given that were
// set on the command line override it. The error names all that is wrong, with
// lines, and carries exit code 64; the configuration then is what could be made
// sense of. Error and warnings have no secrets in them.
func FromFile(name string, given *pflag.FlagSet, stdin io.Reader) (cfg *capture.Config, warnings []string, err error) {
	f := &file{name: name, given: given}
	f.expand.warn = func(text string) { f.warnings = append(f.warnings, text) }
	root, err := parse(name)
	if err != nil {
		return nil, nil, cli.Exit(cli.ExitUsage, err)
	}
	cfg = f.recording(root, stdin)
	slices.Sort(f.warnings)
	return cfg, slices.Compact(f.warnings), f.err()
}

// parse reads the file and gives its only document.
func parse(name string) (*yaml.Node, error) {
	text, err := readLimited(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case err == io.EOF || err == nil && len(doc.Content) == 0:
		return nil, fmt.Errorf("%s: says nothing: needs dir and sources; see logbuf help config", name)
	case err != nil:
		return nil, fmt.Errorf("%s: no YAML: %s; text that begins with - @ * & { or has ': ' or ' #' in it wants quotes", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one document (---) in the file", name)
	}
	return doc.Content[0], nil
}

// readLimited reads a file of at most limit bytes.
func readLimited(name string, limit int64) (string, error) {
	r, err := os.Open(name)
	if err != nil {
		return "", reason(err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return "", reason(err)
	}
	if int64(len(b)) > limit {
		return "", fmt.Errorf("larger than %v", cli.Size(limit))
	}
	return string(b), nil
}

// recording reads the top of the file.
func (f *file) recording(root *yaml.Node, stdin io.Reader) *capture.Config {
	var r Recording
	s := newScope(f, "the top of the file")
	r.AddFlags(s.flags)
	var defaults, sources *yaml.Node
	s.more["defaults"] = func(n *yaml.Node) { defaults = n }
	s.more["sources"] = func(n *yaml.Node) { sources = n }
	s.read(root)
	if s.override(); s.lines["sync"] == commandLine && s.lines["sync-every"] != commandLine {
		r.SyncEvery = 0 // it belongs to what was overridden
	}
	if r.Dir == "" && s.lines["dir"] == 0 {
		f.add(0, "dir is missing: the archive's directory")
	}
	cfg, problems := r.config()
	s.add(problems)
	switch {
	case sources == nil || sources.Kind == yaml.SequenceNode && len(sources.Content) == 0:
		f.add(s.lines["sources"], "sources is missing: a list of what to record")
		return cfg
	case sources.Kind != yaml.SequenceNode:
		f.add(sources.Line, "sources must be a list: each source begins with '- url:'")
		return cfg
	}
	for _, n := range sources.Content {
		one := f.source(defaults, resolve(n), stdin)
		if one.Name == "" {
			continue // what is wrong with it was said
		}
		if err := one.Clash(specs(cfg.Sources)); err != nil {
			f.add(n.Line, err.Error())
			continue
		}
		cfg.Sources = append(cfg.Sources, one)
	}
	return cfg
}

func specs(sources []capture.Source) (all []source.Spec) {
	for _, s := range sources {
		all = append(all, s.Spec)
	}
	return all
}

// source reads one source on top of the defaults.
func (f *file) source(defaults, n *yaml.Node, stdin io.Reader) capture.Source {
	var v Source
	s := newScope(f, "a source")
	v.addKeys(s)
	if defaults != nil {
		s.where = "defaults"
		s.read(defaults)
		s.where = "a source"
	}
	var url, name *yaml.Node
	s.more["url"] = func(n *yaml.Node) { url = n }
	s.more["name"] = func(n *yaml.Node) { name = n }
	if s.read(n); n.Kind != yaml.MappingNode {
		return capture.Source{}
	}
	s.override()
	one, problems := v.options()
	s.add(problems)
	if v.HeaderFile != "" {
		f.expand.lookAt(v.HeaderFile)
	}
	one.Options.Stdin = stdin
	if url == nil {
		f.add(n.Line, "this source has no url, such as wss://HOST/PATH or tcp://HOST:PORT")
		return one
	}
	spec, err := f.spec(url, name)
	if err != nil {
		f.add(url.Line, err.Error())
		return one
	}
	one.Spec = spec
	f.idle(n, spec.Kind)
	return one
}

// ofKinds are the keys that mean something to some kinds of sources only.
var ofKinds = map[string]struct {
	kinds []source.Kind
	words string
}{
	"headers":      {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"header-file":  {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"subprotocol":  {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"subscribe":    {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"ca-file":      {[]source.Kind{source.WebSocket}, "wss://"},
	"max-frame":    {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"outbound":     {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"deflate":      {[]source.Kind{source.WebSocket}, "ws:// and wss://"},
	"frame":        {[]source.Kind{source.TCP, source.TCPListen, source.TCPProxy, source.Stdin}, "TCP and standard input"},
	"reconnect":    {[]source.Kind{source.WebSocket, source.TCP}, "ws://, wss:// and tcp://"},
	"idle-timeout": {[]source.Kind{source.WebSocket, source.TCP, source.TCPListen, source.TCPProxy}, "network sources"},
}

// idle tells of keys of a source that do nothing for its kind. Defaults are for
// all kinds, so what stands there is no mistake.
func (f *file) idle(n *yaml.Node, kind source.Kind) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		of, ok := ofKinds[key.Value]
		wrong := func(p located) bool { return p.line == key.Line }
		if ok && !slices.Contains(of.kinds, kind) && !slices.ContainsFunc(f.problems, wrong) {
			f.add(key.Line, fmt.Sprintf("%s is for %s only: it does nothing here", key.Value, of.words))
		}
	}
}

// spec reads what to record, and the stream's name.
func (f *file) spec(url, name *yaml.Node) (source.Spec, error) {
	raw, err := text(url)
	if err != nil {
		return source.Spec{}, fmt.Errorf("url %w", err)
	}
	if _, err := source.Parse(raw); err != nil {
		return source.Spec{}, err // it can quote what stands in the file
	}
	target, err := f.expand.url(raw)
	if err != nil {
		return source.Spec{}, fmt.Errorf("url: %w", err)
	}
	spec, err := source.Parse(target)
	if err != nil || name == nil {
		return spec, err
	}
	spec.Name, err = text(name)
	switch {
	case err != nil:
		return source.Spec{}, fmt.Errorf("name %w", err)
	case spec.Name == "" || len(spec.Name) > source.MaxName:
		return source.Spec{}, fmt.Errorf("name %.40q is %d bytes: must be 1 to %d", spec.Name, len(spec.Name), source.MaxName)
	}
	return spec, nil
}

func (f *file) add(line int, text string) { f.problems = append(f.problems, located{line, text}) }

// err makes one error of all problems, by line; nil when there are none.
func (f *file) err() error {
	slices.SortFunc(f.problems, func(a, b located) int {
		return cmp.Or(a.line-b.line, strings.Compare(a.text, b.text))
	})
	var errs []error
	for _, p := range slices.Compact(f.problems) {
		switch {
		case p.line == commandLine:
			errs = append(errs, fmt.Errorf("--%s", p.text))
		case p.line == 0:
			errs = append(errs, fmt.Errorf("%s: %s", f.name, p.text))
		default:
			errs = append(errs, fmt.Errorf("%s:%d: %s", f.name, p.line, p.text))
		}
	}
	return cli.Exit(cli.ExitUsage, errors.Join(errs...))
}
