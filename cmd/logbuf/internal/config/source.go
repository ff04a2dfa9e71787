package config

import (
	"maps"
	"net/http"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/wsbuf"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/capture"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/source"
	"github.com/nexus-logbuf/logbuf/recorder"
	"github.com/spf13/pflag"
)

// Source is what can be said of a source.
type Source struct {
	Ring         cli.Size
	MaxFrame     cli.Size
	IdleTimeout  cli.Duration
	Overload     string
	Frame        string
	Reconnect    string
	HeaderFile   string
	HeaderEnv    []string
	Subprotocols []string
	Subscribe    []string
	CAFile       string
	Outbound     bool
	Deflate      string

	// What a file says in its own way.
	headers  http.Header // over those of HeaderFile
	messages [][]byte    // in place of Subscribe
	urgent   bool
}

// AddFlags registers the flags, with the defaults as values.
func (s *Source) AddFlags(f *pflag.FlagSet) {
	s.Ring = recorder.DefaultLaneSize
	f.Var(&s.Ring, "ring", "ring of each source; each FIX session has half of it, or, by default, 1 MiB (the first 16) or 128 KiB")
	f.Var(&s.MaxFrame, "max-frame", "largest WebSocket frame to record; 0 = what the ring takes")
	f.Var(&s.IdleTimeout, "idle-timeout", "reconnect when no byte came for this time; 0 = never")
	f.StringVar(&s.Overload, "overload", "", "when a ring is full: `policy` drop or wait (default drop, wait for -)")
	f.StringVar(&s.Frame, "frame", "line", "records of TCP and -: `how` to cut, line, raw, fix, len32 or len32le")
	f.StringVar(&s.Reconnect, "reconnect", "drop", "`when` to connect again: drop (the connection broke), always, never")
	f.StringVar(&s.HeaderFile, "header-file", "", "`file` of \"Name: value\" lines for the WebSocket handshake")
	f.StringArrayVar(&s.HeaderEnv, "header-env", nil, "handshake header from the environment: `NAME=ENVVAR`; repeatable")
	f.StringArrayVar(&s.Subprotocols, "subprotocol", nil, "WebSocket subprotocol `name` to offer; repeatable")
	f.StringArrayVar(&s.Subscribe, "subscribe", nil, "text `message`, or @FILE, to send after each handshake; repeatable")
	f.StringVar(&s.CAFile, "ca-file", "", "trust the certificates in this PEM `file`, and no others, for wss://")
	f.BoolVar(&s.Outbound, "outbound", false, "record what is sent, too: subscriptions, pongs, close frames")
	f.StringVar(&s.Deflate, "deflate", "off", "`how` WebSocket compression is dealt with: off does not offer it, raw records it as it comes, inflate undoes it")
}

// Limits of what can be said of a source.
const (
	minRing, maxRing = 4 << 10, 1 << 30
	maxFrame         = 1 << 30
)

// options makes a capture.Source that lacks its Spec.
func (s *Source) options() (capture.Source, []problem) {
	var problems []problem
	note := func(key string, err error) {
		if err != nil {
			problems = append(problems, problem{key, err})
		}
	}
	c := capture.Source{Ring: int(s.Ring), Urgent: s.urgent, Options: source.Options{
		Subprotocols: s.Subprotocols, MaxFrame: int(s.MaxFrame), Outbound: s.Outbound, IdleTimeout: time.Duration(s.IdleTimeout),
	}}
	if s.Ring < minRing || s.Ring > maxRing {
		problems = append(problems, problemf("ring", "%v: must be %v to %v", s.Ring, cli.Size(minRing), cli.Size(maxRing)))
	}
	if s.MaxFrame > maxFrame {
		problems = append(problems, problemf("max-frame", "%v: must be at most %v", s.MaxFrame, cli.Size(maxFrame)))
	}
	if s.Overload != "" {
		v, err := recorder.ParseOverload(s.Overload)
		if err != nil || v == recorder.OverloadFail { // which is for programs that have something else to do with the record
			problems = append(problems, problemf("overload", "%q: must be drop or wait", s.Overload))
		}
		c.Overload = &v
	}
	var err error
	c.Options.Frame, err = source.ParseFrame(s.Frame)
	note("frame", err)
	c.Options.Reconnect, err = source.ParseReconnect(s.Reconnect)
	note("reconnect", err)
	c.Options.Deflate, err = wsbuf.ParseDeflate(s.Deflate)
	note("deflate", err)
	var more []problem
	c.Options.Header, more = readHeaders(s.HeaderFile, s.HeaderEnv)
	problems = append(problems, more...)
	maps.Copy(c.Options.Header, s.headers)
	c.Options.Subscribe, err = readMessages(s.Subscribe)
	c.Options.Subscribe = append(c.Options.Subscribe, s.messages...)
	note("subscribe", err)
	c.Options.TLS, err = readRoots(s.CAFile)
	note("ca-file", err)
	return c, problems
}
