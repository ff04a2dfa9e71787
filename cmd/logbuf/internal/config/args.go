package config

import (
	"io"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
)

// FromArgs makes the configuration of a command line: args are SOURCE arguments,
// recorded in the same way. The error is about the command line, names all that
// is wrong with it, and carries exit code 64; the configuration then is what could be
// made sense of.
func FromArgs(r *Recording, s *Source, args []string, stdin io.Reader) (*capture.Config, error) {
	cfg, problems := r.config()
	if r.Dir == "" {
		problems = append(problems, problemf("", "needs --dir DIR, the archive's directory"))
	}
	specs, err := source.ParseAll(args)
	if err != nil {
		problems = append(problems, problem{err: err})
	}
	one, more := s.options()
	if problems = append(problems, more...); len(problems) > 0 {
		return cfg, usage(problems)
	}
	one.Options.Stdin = stdin
	for _, one.Spec = range specs {
		cfg.Sources = append(cfg.Sources, one)
	}
	return cfg, nil
}
