package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// paths are the keys whose values are names of files and directories: ${env:…}
// in them is no secret.
var paths = []string{"dir", "failover", "header-file", "ca-file"}

// hidden are the flags that are no keys, and what to write instead.
var hidden = map[string]string{"header-env": "write headers: {NAME: '${env:VARIABLE}'}"}

// addKeys makes the flags of a source keys of the scope, and headers besides.
func (v *Source) addKeys(s *scope) {
	v.AddFlags(s.flags)
	s.flags.BoolVar(&v.urgent, "urgent", false, "true = overload hits the other sources first; for few that offer little")
	s.more["headers"] = func(n *yaml.Node) {
		if err := s.file.headers(v, n); err != nil {
			s.file.add(n.Line, fmt.Sprintf("headers %v", err))
		}
	}
	s.more["subscribe"] = func(n *yaml.Node) {
		if err := s.file.messages(v, n); err != nil {
			s.file.add(n.Line, fmt.Sprintf("subscribe %v", err))
		}
	}
}

// Key is a key of the file.
type Key struct {
	Name, Usage string
}

// Keys are the keys at the top of the file, and those of a source, sorted. All of
// the latter but url and name may stand under defaults, too.
func Keys() (top, source []Key) {
	var r Recording
	t := newScope(&file{}, "")
	r.AddFlags(t.flags)
	top = append(t.keys(),
		Key{"defaults", "what holds for every source that does not say otherwise: a mapping of the keys of a source"},
		Key{"sources", "list of what to record"})
	var v Source
	s := newScope(&file{}, "")
	v.addKeys(s)
	source = append(s.keys(),
		Key{"url", "what to record: a SOURCE of logbuf record; \"-\", in quotes, is standard input"},
		Key{"name", "of the stream; default its host and path"},
		Key{"headers", "mapping of names to values, for the WebSocket handshake"})
	byName := func(a, b Key) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(top, byName)
	slices.SortFunc(source, byName)
	return top, source
}

// keys are the flags of the scope that may stand in a file.
func (s *scope) keys() (all []Key) {
	s.flags.VisitAll(func(f *pflag.Flag) {
		if hidden[f.Name] == "" {
			_, usage := pflag.UnquoteUsage(f)
			all = append(all, Key{f.Name, strings.TrimSuffix(strings.ReplaceAll(usage, "--", ""), "; repeatable")})
		}
	})
	return all
}

// unknown says what may be meant by a key that the scope does not have.
func (s *scope) unknown(key string) string {
	if instead := hidden[key]; instead != "" {
		return fmt.Sprintf("%s is no key of a file: %s", key, instead)
	}
	top, source := Keys()
	is := func(k Key) bool { return k.Name == key }
	switch {
	case slices.ContainsFunc(source, is) && s.where == "defaults":
		return fmt.Sprintf("%s cannot be a default: it is each source's own", key)
	case slices.ContainsFunc(source, is):
		return fmt.Sprintf("%s belongs to a source, or under defaults", key)
	case slices.ContainsFunc(top, is):
		return fmt.Sprintf("%s belongs at the top of the file, not to %s", key, s.where)
	}
	here := slices.Collect(maps.Keys(s.more))
	for _, k := range s.keys() {
		here = append(here, k.Name)
	}
	if near := nearest(strings.ReplaceAll(key, "_", "-"), here); near != "" {
		return fmt.Sprintf("unknown key %q: did you mean %s?", key, near)
	}
	slices.Sort(here)
	return fmt.Sprintf("unknown key %q: %s has %s", key, s.where, strings.Join(slices.Compact(here), ", "))
}

// nearest is the name that takes the fewest changes to become key, empty if that
// is more than a third of its letters.
func nearest(key string, names []string) (name string) {
	best := max(len(key)/3, 1) + 1
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(strings.ToLower(key), n); d < best {
			best, name = d, n
		}
	}
	return name
}

// distance is Levenshtein's: how many letters to insert, remove or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
