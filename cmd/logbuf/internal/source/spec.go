package source

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Kind is what a source is.
type Kind uint8

// Kinds of sources.
const (
	WebSocket Kind = iota + 1
	TCP            // dialled
	TCPListen      // accepts connections and reads them
	TCPProxy       // accepts connections, dials another, forwards and reads both ways
	Stdin
)

// MaxName is the longest stream name, in bytes.
const MaxName = 128

// Spec is a SOURCE argument: [NAME=]ws://…, [NAME=]wss://…,
// [NAME=]tcp://HOST:PORT, [NAME=]tcp-listen://HOST:PORT,
// [NAME=]tcp-proxy://HOST:PORT/UPSTREAM:PORT, or [NAME=]- for standard input.
type Spec struct {
	Name string // of the stream
	Kind Kind
	URL  string // of a WebSocket, as given
	Addr string // of a TCP stream: host:port; of a listener and a proxy: where they listen
	To   string // of a proxy: where it dials, host:port
}

// Parse reads one argument. Errors say what is wrong and what would be right,
// and do not repeat a URL's query, which may hold a secret.
func Parse(arg string) (Spec, error) {
	name, rest := splitName(arg)
	s, err := parseTarget(rest)
	if err != nil {
		return s, err
	}
	if name != "" {
		s.Name = name
	}
	if len(s.Name) > MaxName {
		return s, fmt.Errorf("stream name %q… is %d bytes, the longest is %d: give a shorter one with NAME=%s", s.Name[:40], len(s.Name), MaxName, s.where())
	}
	return s, nil
}

// ParseAll reads all arguments and checks that they are not in each other's way.
func ParseAll(args []string) ([]Spec, error) {
	specs := make([]Spec, 0, len(args))
	for _, arg := range args {
		s, err := Parse(arg)
		if err == nil {
			err = s.Clash(specs)
		}
		if err != nil {
			return nil, err
		}
		specs = append(specs, s)
	}
	return specs, nil
}

// Clash says why s cannot be recorded along with others.
func (s Spec) Clash(others []Spec) error {
	for _, o := range others {
		if s.Kind == Stdin && o.Kind == Stdin {
			return fmt.Errorf("standard input (-) can be recorded once only")
		}
		if s.Name == o.Name {
			return fmt.Errorf("two sources would be the stream %q: name them, as in a=%s", s.Name, s.where())
		}
	}
	return nil
}

// splitName takes NAME= off an argument. A '=' inside a URL, or behind a '?', is
// not one.
func splitName(arg string) (name, rest string) {
	before, after, ok := strings.Cut(arg, "=")
	if !ok || before == "" || strings.Contains(before, "://") || strings.Contains(before, "?") {
		return "", arg
	}
	return before, after
}

func parseTarget(s string) (Spec, error) {
	if s == "-" {
		return Spec{Kind: Stdin, Name: "stdin"}, nil
	}
	shown, _, _ := strings.Cut(s, "?")
	scheme, _, ok := strings.Cut(shown, "://")
	if !ok {
		return Spec{}, fmt.Errorf("source %q: must be ws://…, wss://…, tcp://HOST:PORT, tcp-listen://HOST:PORT, tcp-proxy://HOST:PORT/UPSTREAM:PORT, or - for standard input", shown)
	}
	switch strings.ToLower(scheme) {
	case "ws", "wss":
		return parseWebSocket(s)
	case "tcp":
		return parseTCP(s)
	case "tcp-listen":
		return parseListen(s)
	case "tcp-proxy":
		return parseProxy(s)
	case "http", "https":
		return Spec{}, fmt.Errorf("source %s://…: a WebSocket's URL begins with %s://", scheme, map[string]string{"http": "ws", "https": "wss"}[strings.ToLower(scheme)])
	}
	return Spec{}, fmt.Errorf("source %s://…: scheme %q is not known; must be ws, wss, tcp, tcp-listen or tcp-proxy", scheme, scheme)
}

func parseWebSocket(s string) (Spec, error) {
	u, err := parseURL(s)
	if err != nil {
		return Spec{}, err
	}
	switch {
	case u.Hostname() == "":
		return Spec{}, fmt.Errorf("source %s: no host", bare(u))
	case u.User != nil:
		return Spec{}, fmt.Errorf("source %s: a user and password in a URL are not sent, and others can see them: use --header-env or --header-file with an Authorization header", bare(u))
	case u.Fragment != "":
		return Spec{}, fmt.Errorf("source %s: a fragment (#…) is not allowed", bare(u))
	}
	return Spec{Kind: WebSocket, URL: u.String(), Name: u.Host + strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

func parseTCP(s string) (Spec, error) {
	u, err := parseURL(s)
	if err != nil {
		return Spec{}, err
	}
	switch {
	case u.Hostname() == "" || u.Port() == "":
		return Spec{}, fmt.Errorf("source %s: must be tcp://HOST:PORT", bare(u))
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Spec{}, fmt.Errorf("source tcp://%s: nothing may follow HOST:PORT or come before it", u.Host)
	}
	return Spec{Kind: TCP, Addr: net.JoinHostPort(u.Hostname(), u.Port()), Name: u.Host}, nil
}

func parseListen(s string) (Spec, error) {
	u, err := parseURL(s)
	if err != nil {
		return Spec{}, err
	}
	switch {
	case u.Hostname() == "" || u.Port() == "":
		return Spec{}, fmt.Errorf("source %s: must be tcp-listen://HOST:PORT; HOST 0.0.0.0 is every address of this machine", bare(u))
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Spec{}, fmt.Errorf("source tcp-listen://%s: nothing may follow HOST:PORT or come before it", u.Host)
	}
	return Spec{Kind: TCPListen, Addr: net.JoinHostPort(u.Hostname(), u.Port()), Name: u.Host}, nil
}

func parseProxy(s string) (Spec, error) {
	u, err := parseURL(s)
	if err != nil {
		return Spec{}, err
	}
	host, port, err := net.SplitHostPort(strings.Trim(u.Path, "/"))
	switch {
	case u.Hostname() == "" || u.Port() == "" || err != nil || host == "" || port == "" || strings.ContainsAny(host+port, "/ "):
		return Spec{}, fmt.Errorf("source %s: must be tcp-proxy://HOST:PORT/UPSTREAM:PORT: where to listen, and where to connect for each connection that comes", bare(u))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return Spec{}, fmt.Errorf("source %s: nothing may follow UPSTREAM:PORT or come before HOST", bare(u))
	}
	return Spec{Kind: TCPProxy, Addr: net.JoinHostPort(u.Hostname(), u.Port()), To: net.JoinHostPort(host, port), Name: u.Host}, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err == nil {
		u.Scheme = strings.ToLower(u.Scheme)
		return u, nil
	}
	// The error of url.Parse quotes the whole URL.
	if uerr, ok := err.(*url.Error); ok {
		err = uerr.Err
	}
	shown, _, _ := strings.Cut(s, "?")
	return nil, fmt.Errorf("source %s: bad URL: %w", shown, err)
}

// bare is a URL as it may be printed.
func bare(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// String is the source as it may be printed: a URL's query is not.
func (s Spec) String() string { return s.where() }

// where is the source as it may be printed.
func (s Spec) where() string {
	switch s.Kind {
	case TCP:
		return "tcp://" + s.Addr
	case TCPListen:
		return "tcp-listen://" + s.Addr
	case TCPProxy:
		return "tcp-proxy://" + s.Addr + "/" + s.To
	case WebSocket:
		if u, err := url.Parse(s.URL); err == nil {
			return bare(u)
		}
	}
	return "-"
}

// Accepts tells whether the source is a listener, whose connections come and go
// and share its producer.
func (s Spec) Accepts() bool { return s.Kind == TCPListen || s.Kind == TCPProxy }

// Live tells whether the source goes on whether or not it is read. Standard
// input waits for us.
func (s Spec) Live() bool { return s.Kind != Stdin }
