package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxSecret is the largest file that ${file:…} reads, in bytes.
const maxSecret = 64 << 10

// expander puts in what ${…} stands for:
//
//	${env:NAME}         the environment variable
//	${file:PATH}        what the file holds, without a newline at its end
//	${credential:NAME}  the same of a file in $CREDENTIALS_DIRECTORY, where systemd puts credentials
//	$${                 a plain ${
//
// Its errors name the variable or file, never a value.
type expander struct {
	warn func(text string) // told of files that anybody can read
}

// secret expands all of them, and tells whether there were any.
func (x *expander) secret(text string) (out string, any bool, err error) {
	return expand(text, x.value)
}

// path expands ${env:…} in the name of a file.
func (x *expander) path(text string) (string, error) {
	out, _, err := expand(text, func(what string) (string, error) {
		if !strings.HasPrefix(what, "env:") {
			return "", fmt.Errorf("${%s}: a path takes ${env:NAME} only", what)
		}
		return x.value(what)
	})
	return out, err
}

// url expands in the query of a URL, and escapes what it puts in. Host and path
// are shown to everybody and name the stream.
func (x *expander) url(text string) (string, error) {
	head, query, ok := strings.Cut(text, "?")
	if strings.Contains(head, "${") {
		return "", errors.New("${…} may stand in the query only, behind a '?': host and path are printed and name the stream")
	}
	if !ok {
		return text, nil
	}
	query, _, err := expand(query, func(what string) (string, error) {
		v, err := x.value(what)
		return url.QueryEscape(v), err
	})
	return head + "?" + query, err
}

func expand(text string, value func(what string) (string, error)) (out string, any bool, err error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), any, nil
		}
		if strings.HasSuffix(before, "$") { // it was $${
			b.WriteString("{")
			text = rest
			continue
		}
		what, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", true, errors.New("a ${ has no }; write $${ for a plain ${")
		}
		v, err := value(what)
		if err != nil {
			return "", true, err
		}
		b.WriteString(v)
		text, any = after, true
	}
}

// value is what ${what} stands for.
func (x *expander) value(what string) (string, error) {
	kind, name, ok := strings.Cut(what, ":")
	if !ok || name == "" {
		kind = ""
	}
	switch kind {
	case "env":
		v := os.Getenv(name)
		if v == "" {
			return "", fmt.Errorf("${%s}: the environment variable %s is not set, or is empty", what, name)
		}
		return v, nil
	case "file":
		return x.file(what, name)
	case "credential":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return "", fmt.Errorf("${%s}: $CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential=%s:PATH", what, name)
		}
		if filepath.Base(name) != name {
			return "", fmt.Errorf("${%s}: a credential's name has no path in it", what)
		}
		return x.file(what, filepath.Join(dir, name))
	}
	return "", fmt.Errorf("${%.20s…}: must be ${env:NAME}, ${file:PATH} or ${credential:NAME}; write $${ for a plain ${", what)
}

func (x *expander) file(what, path string) (string, error) {
	v, err := readLimited(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("${%s}: %s: %w", what, path, err)
	}
	v = strings.TrimSuffix(strings.TrimSuffix(v, "\n"), "\r")
	if v == "" {
		return "", fmt.Errorf("${%s}: %s is empty", what, path)
	}
	x.lookAt(path)
	return v, nil
}

// lookAt warns of a file with secrets that anybody on the machine can read.
func (x *expander) lookAt(path string) {
	if st, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && st.Mode().IsRegular() && st.Mode().Perm()&0o004 != 0 {
		x.warn(fmt.Sprintf("%s: anybody on this machine can read it (mode %v): chmod o-r", path, st.Mode().Perm()))
	}
}
