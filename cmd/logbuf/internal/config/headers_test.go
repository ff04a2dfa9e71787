package config

import (
	"net/http"
	"strings"
	"testing"
)

func TestReadHeaders(t *testing.T) {
	for _, tc := range []struct{ name, text, err string }{
		{"good", "A: b\n# c\n\nX-Y:z:w\n", ""},
		{"no colon", "A b", `line 1 is not "Name: value"`},
		{"bad name", "A B: c", `"A B" is not a header name`},
		{"empty name", ": c", "is not a header name"},
		{"handshake", "\nupgrade: x", "line 2: header Upgrade belongs to the handshake"},
		{"extensions", "sec-websocket-extensions: x", "belongs to the handshake"},
		{"control characters", "A: b\x00hush", "control characters"},
		{"too long", "A: " + strings.Repeat("x", 70_000), "token too long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := http.Header{}
			err := addHeaderLines(h, []byte(tc.text))
			if tc.err == "" {
				if err != nil || h.Get("A") != "b" || h.Get("X-Y") != "z:w" {
					t.Errorf("%v, %v", h, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v, want %q", err, tc.err)
			}
		})
	}
}
