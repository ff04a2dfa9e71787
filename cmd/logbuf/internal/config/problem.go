package config

import (
	"errors"
	"fmt"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
)

// problem is something that is wrong with a setting.
type problem struct {
	key string // the flag's name; empty: of no setting in particular
	err error  // says what is wrong, beginning with the value
}

func problemf(key, format string, args ...any) problem {
	return problem{key, fmt.Errorf(format, args...)}
}

// usage makes the problems of a command line one error of exit code 64; nil for
// none.
func usage(problems []problem) error {
	var errs []error
	for _, p := range problems {
		if p.key != "" {
			p.err = fmt.Errorf("--%s %w", p.key, p.err)
		}
		errs = append(errs, p.err)
	}
	return cli.Exit(cli.ExitUsage, errors.Join(errs...))
}
