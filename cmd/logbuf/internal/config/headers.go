package config

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"strings"
)

// readHeaders puts together the handshake headers from a file of "Name: value"
// lines and from environment variables given as NAME=ENVVAR. Values never appear
// in an error: they are secrets.
func readHeaders(file string, env []string) (http.Header, []problem) {
	h := http.Header{}
	var problems []problem
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			problems = append(problems, problemf("header-file", "%s: %w", file, reason(err)))
		} else if err := addHeaderLines(h, b); err != nil {
			problems = append(problems, problemf("header-file", "%s: %w", file, err))
		}
	}
	for _, pair := range env {
		if err := addHeaderEnv(h, pair); err != nil {
			problems = append(problems, problem{"header-env", err})
		}
	}
	return h, problems
}

func addHeaderEnv(h http.Header, pair string) error {
	name, variable, ok := strings.Cut(pair, "=")
	if !ok || variable == "" {
		return fmt.Errorf("%q: must be NAME=ENVVAR, as in Authorization=FEED_TOKEN", pair)
	}
	value, ok := os.LookupEnv(variable)
	if !ok {
		return fmt.Errorf("%s: the environment variable %s is not set", pair, variable)
	}
	if err := addHeader(h, name, value); err != nil {
		return fmt.Errorf("%s: %w", pair, err)
	}
	return nil
}

// addHeaderLines reads "Name: value" lines; empty ones and those that begin with
// '#' are skipped.
func addHeaderLines(h http.Header, b []byte) error {
	sc := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("line %d is not \"Name: value\"", n)
		}
		if err := addHeader(h, name, value); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return sc.Err()
}

func addHeader(h http.Header, name, value string) error {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !isToken(name) {
		return fmt.Errorf("%q is not a header name", name)
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	if name == "Connection" || name == "Upgrade" || strings.HasPrefix(name, "Sec-Websocket-") {
		return fmt.Errorf("header %s belongs to the handshake and cannot be set", name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) {
		return fmt.Errorf("the value of header %s has control characters", name)
	}
	h.Add(name, value)
	return nil
}

// isToken tells whether s is a token of RFC 9110.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7F || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// readMessages turns --subscribe values into messages: @FILE is the contents of
// a file, without its last newline; anything else is the message.
func readMessages(values []string) ([][]byte, error) {
	var out [][]byte
	for _, v := range values {
		file, ok := strings.CutPrefix(v, "@")
		if !ok {
			out = append(out, []byte(v))
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v, reason(err))
		}
		out = append(out, bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")))
	}
	return out, nil
}

// readRoots makes the TLS configuration that trusts the certificates of a PEM
// file and no others; nil for no file.
func readRoots(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, reason(err))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: no certificate in PEM form in it", file)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// reason is what an error of package os says besides the name of the file.
func reason(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}
