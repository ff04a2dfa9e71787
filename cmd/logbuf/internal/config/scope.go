package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// scope reads mappings whose keys are the names of flags, and a few more.
type scope struct {
	file  *file
	where string // what the mapping is, for errors
	flags *pflag.FlagSet
	more  map[string]func(value *yaml.Node) // keys that are no flags, or are read in another way
	lines map[string]int                    // where the keys were; commandLine where a flag overrides them
}

func newScope(f *file, where string) *scope {
	return &scope{
		file: f, where: where, flags: pflag.NewFlagSet("", pflag.ContinueOnError),
		more: make(map[string]func(*yaml.Node)), lines: make(map[string]int),
	}
}

// read takes the settings of a mapping over those that are there.
func (s *scope) read(n *yaml.Node) {
	if n = resolve(n); n.Kind != yaml.MappingNode {
		s.file.add(n.Line, fmt.Sprintf("%s must be a mapping of keys to values, as in 'dir: feed'", s.where))
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		switch take, own := s.more[key.Value]; {
		case seen[key.Value]:
			s.file.add(key.Line, fmt.Sprintf("%s stands here twice", key.Value))
		case !own && (s.flags.Lookup(key.Value) == nil || hidden[key.Value] != ""):
			s.file.add(key.Line, s.unknown(key.Value))
		case value.Tag == "!!null":
			s.file.add(key.Line, fmt.Sprintf("%s has no value", key.Value))
		default:
			s.lines[key.Value] = key.Line
			if own {
				take(value)
			} else if err := s.set(s.flags.Lookup(key.Value), value); err != nil {
				s.file.add(key.Line, fmt.Sprintf("%s %v", key.Value, err))
			}
		}
		seen[key.Value] = true
	}
}

// set gives a flag the value of a node.
func (s *scope) set(f *pflag.Flag, n *yaml.Node) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		all, err := texts(n)
		if err != nil {
			return err
		}
		return list.Replace(all)
	}
	v, err := text(n)
	switch {
	case err != nil:
		return err
	case f.Value.Type() == "bool":
		if v != "true" && v != "false" {
			return fmt.Errorf("%q: must be true or false", v)
		}
	case slices.Contains(paths, f.Name):
		if v, err = s.file.expand.path(v); err != nil {
			return err
		}
	case strings.Contains(v, "${"):
		return errors.New("takes no ${…}")
	}
	if v == "" {
		return errors.New("is empty: leave the key out instead")
	}
	return f.Value.Set(v)
}

// override puts what was given on the command line over what the file says.
func (s *scope) override() {
	s.flags.VisitAll(func(f *pflag.Flag) {
		if g := s.file.given.Lookup(f.Name); g != nil && g.Changed {
			_ = f.Value.Set(g.Value.String()) // the same text was taken before
			s.lines[f.Name] = commandLine
		}
	})
}

// add notes problems at the lines of their keys.
func (s *scope) add(problems []problem) {
	for _, p := range problems {
		s.file.add(s.lines[p.key], fmt.Sprintf("%s %v", p.key, p.err))
	}
}

// resolve follows an alias (*name) to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// text is the text of a scalar, as it stands in the file.
func text(n *yaml.Node) (string, error) {
	if n = resolve(n); n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", fmt.Errorf("must be one value, not %s", kind(n))
	}
	return n.Value, nil
}

// texts is the text of each element of a list, or of the only one.
func texts(n *yaml.Node) ([]string, error) {
	if n.Kind == yaml.ScalarNode {
		n = &yaml.Node{Content: []*yaml.Node{n}, Kind: yaml.SequenceNode}
	}
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("must be a list, not %s", kind(n))
	}
	var all []string
	for _, e := range n.Content {
		s, err := text(e)
		if err != nil {
			return nil, fmt.Errorf("(an element of it) %w", err)
		}
		all = append(all, s)
	}
	return all, nil
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	return "nothing"
}
