package source

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		arg  string
		want Spec
		err  string // in the error; empty: none
	}{
		{arg: "-", want: Spec{Name: "stdin", Kind: Stdin}},
		{arg: "log=-", want: Spec{Name: "log", Kind: Stdin}},
		{arg: "ws://h/p", want: Spec{Name: "h/p", Kind: WebSocket, URL: "ws://h/p"}},
		{arg: "ws://h:80/p/?symbol=X&key=secret", want: Spec{Name: "h:80/p", Kind: WebSocket, URL: "ws://h:80/p/?symbol=X&key=secret"}},
		{arg: "WSS://h", want: Spec{Name: "h", Kind: WebSocket, URL: "wss://h"}},
		{arg: "btc=wss://h/p?a=b", want: Spec{Name: "btc", Kind: WebSocket, URL: "wss://h/p?a=b"}},
		{arg: "ws://[::1]:8765/BTC-USD", want: Spec{Name: "[::1]:8765/BTC-USD", Kind: WebSocket, URL: "ws://[::1]:8765/BTC-USD"}},
		{arg: "tcp://127.0.0.1:9000", want: Spec{Name: "127.0.0.1:9000", Kind: TCP, Addr: "127.0.0.1:9000"}},
		{arg: "fix=tcp://[::1]:9000/", want: Spec{Name: "fix", Kind: TCP, Addr: "[::1]:9000"}},

		{arg: "tcp-listen://127.0.0.1:9000", want: Spec{Name: "127.0.0.1:9000", Kind: TCPListen, Addr: "127.0.0.1:9000"}},
		{arg: "x=tcp-proxy://127.0.0.1:9000/exch.example:9001", want: Spec{Name: "x", Kind: TCPProxy, Addr: "127.0.0.1:9000", To: "exch.example:9001"}},
		{arg: "tcp-proxy://[::1]:9000/[::2]:9001/", want: Spec{Name: "[::1]:9000", Kind: TCPProxy, Addr: "[::1]:9000", To: "[::2]:9001"}},

		{arg: "tcp-listen://:9000", err: "0.0.0.0 is every address"},
		{arg: "tcp-listen://h:1/x", err: "nothing may follow"},
		{arg: "tcp-proxy://h:1", err: "tcp-proxy://HOST:PORT/UPSTREAM:PORT"},
		{arg: "tcp-proxy://h:1/h", err: "tcp-proxy://HOST:PORT/UPSTREAM:PORT"},
		{arg: "tcp-proxy://h:1/:5", err: "tcp-proxy://HOST:PORT/UPSTREAM:PORT"},
		{arg: "tcp-proxy://h:1/h:5?x", err: "nothing may follow"},
		{arg: "", err: "must be ws://"},
		{arg: "day1", err: "must be ws://"},
		{arg: "h/p?key=secret", err: `"h/p": must be ws://`},
		{arg: "h/p?key=secret&u=ws://h", err: `"h/p": must be ws://`},
		{arg: "=ws://h", err: "scheme"},
		{arg: "http://h/p?key=secret", err: "begins with ws://"},
		{arg: "https://h", err: "begins with wss://"},
		{arg: "ftp://h", err: `scheme "ftp" is not known`},
		{arg: "ws://", err: "no host"},
		{arg: "ws:///p", err: "no host"},
		{arg: "ws://user:secret@h/", err: "Authorization header"},
		{arg: "ws://h/#f", err: "fragment"},
		{arg: "ws://[::1?secret", err: "bad URL"},
		{arg: "ws://h:port/?secret", err: "bad URL"},
		{arg: "ws://h/%zz?secret", err: "bad URL"},
		{arg: "tcp://h", err: "tcp://HOST:PORT"},
		{arg: "tcp://:9000", err: "tcp://HOST:PORT"},
		{arg: "tcp://h:1/path", err: "nothing may follow"},
		{arg: strings.Repeat("n", 129) + "=-", err: "129 bytes, the longest is 128"},
	} {
		got, err := Parse(tc.arg)
		switch {
		case tc.err == "" && (err != nil || got != tc.want):
			t.Errorf("Parse(%q) = %+v, %v, want %+v", tc.arg, got, err, tc.want)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("Parse(%q): %v, want %q", tc.arg, err, tc.err)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("Parse(%q): %v tells a secret", tc.arg, err)
		}
	}
}

func TestParseAll(t *testing.T) {
	for _, tc := range []struct {
		name, args, err string
	}{
		{"several", "ws://h/a ws://h/b x=- tcp://h:1", ""},
		{"same stream", "ws://h/a?x=1 ws://h/a?x=2", `would be the stream "h/a": name them, as in a=ws://h/a`},
		{"same name", "a=ws://h/a a=-", `would be the stream "a"`},
		{"stdin twice", "a=- b=-", "once only"},
		{"one bad", "ws://h nonsense", "nonsense"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			specs, err := ParseAll(strings.Fields(tc.args))
			if tc.err == "" {
				if err != nil || len(specs) != len(strings.Fields(tc.args)) {
					t.Errorf("%v, %v", specs, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%v, want %q", err, tc.err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"-", "a=ws://h/p?x=y", "tcp://h:1", "ws://[::1", "x=y=z://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		s, err := Parse(arg)
		if err == nil && (s.Name == "" || len(s.Name) > MaxName || s.Kind == 0) {
			t.Errorf("Parse(%q) = %+v", arg, s)
		}
	})
}

func TestFrameNames(t *testing.T) {
	for f := Line; f <= Len32LE; f++ {
		if got, err := ParseFrame(f.String()); got != f || err != nil {
			t.Errorf("%d is %q, and that is %d, %v", f, f.String(), got, err)
		}
	}
}
