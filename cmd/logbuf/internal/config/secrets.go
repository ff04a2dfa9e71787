package config

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// headers reads a mapping of header names to values. Those that a source names
// again replace the defaults'.
func (f *file) headers(v *Source, n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("must be a mapping of names to values, not %s", kind(n))
	}
	own := http.Header{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if err := f.header(own, key.Value, n.Content[i+1]); err != nil {
			f.add(key.Line, fmt.Sprintf("header %s: %v", key.Value, err))
		}
	}
	if v.headers == nil {
		v.headers = http.Header{}
	}
	for name, values := range own {
		v.headers[name] = values
	}
	return nil
}

func (f *file) header(h http.Header, name string, n *yaml.Node) error {
	raw, err := text(n)
	if err != nil {
		return err
	}
	value, secret, err := f.expand.secret(raw)
	switch {
	case err != nil:
		return err
	case !secret && confidential(name):
		return errors.New("a secret must not stand in the file: write ${env:NAME}, ${file:PATH} or ${credential:NAME} in its place")
	case h.Get(name) != "":
		return errors.New("stands here twice")
	}
	return addHeader(h, name, value)
}

// confidential tells whether the value of a header of that name is a secret, as
// far as names go.
func confidential(name string) bool {
	words := strings.Split(strings.ToLower(textproto.CanonicalMIMEHeaderKey(name)), "-")
	return slices.ContainsFunc(words, func(w string) bool {
		return slices.Contains([]string{"authorization", "auth", "cookie", "token", "secret", "key", "apikey", "password", "passphrase", "signature", "sign"}, w)
	})
}

// messages reads what to send after the handshake; they replace the defaults'.
func (f *file) messages(v *Source, n *yaml.Node) error {
	all, err := texts(n)
	if err != nil {
		return err
	}
	v.messages = nil
	for _, raw := range all {
		if path, ok := strings.CutPrefix(raw, "@"); ok {
			more, err := readMessages([]string{raw})
			if err != nil {
				return err
			}
			f.expand.lookAt(path)
			v.messages = append(v.messages, more...)
			continue
		}
		m, _, err := f.expand.secret(raw)
		if err != nil {
			return err
		}
		v.messages = append(v.messages, []byte(m))
	}
	return nil
}
