package fixserve

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/adapter/fixbuf"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// blocks makes an archive of these messages of SELLER's, each in a block of its
// own.
func blocks(t *testing.T, messages ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	rec, err := recorder.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	sessions := fixbuf.NewRecorder(rec, nil)
	for _, m := range messages {
		kind, rest, _ := strings.Cut(m, "|")
		if err := sessions.Record(true, message(kind+"|49=SELLER|56=BUYER|"+rest)); err != nil {
			t.Fatal(err)
		}
		if err := rec.WaitDurable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sessions.Close()
	if err := rec.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// damage changes a byte of what a segment holds.
func damage(t *testing.T, dir, what string) {
	t.Helper()
	paths, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if at := bytes.Index(b, []byte(what)); err == nil && at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no %q in %s", what, dir)
}

// One message that cannot be sent again costs no other: a gap fill stands for it.
func TestResendWithoutOne(t *testing.T) {
	const stamp = "|52=20261121-09:30:00.123"
	for _, tc := range []struct {
		name, third     string // the third message
		damage          bool   // it is damaged once the index is made
		missing, spoilt uint64
	}{
		{"damaged", "35=8|34=3" + stamp + "|58=the third", true, 1, 0},
		{"no time", "35=8|34=3|58=the third", false, 0, 1},
		{"something that is no field", "35=8|34=3" + stamp + "|58=the third|x", false, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := blocks(t, "35=8|34=1"+stamp, "35=8|34=2"+stamp, tc.third, "35=8|34=4"+stamp, "35=8|34=5"+stamp)
			s, err := finder(t, dir)(Peers{"FIX.4.4", "SELLER", "BUYER"})
			if err != nil {
				t.Fatal(err)
			}
			if tc.damage {
				damage(t, dir, "the third")
			}
			var sent []string
			r, err := s.Resend(t.Context(), Peers{"FIX.4.4", "SELLER", "BUYER"}, 1, 5, time.Now, func(m []byte) error {
				sent = append(sent, fmt.Sprintf("%s%s %s", value(m, 35, ""), value(m, 34, ""), value(m, 36, "")))
				return nil
			})
			if got := strings.Join(sent, ","); err != nil || got != "81 ,82 ,43 4,84 ,85 " {
				t.Errorf("sent %s, %v", got, err)
			}
			if want := (Resent{Messages: 4, Filled: 1, Missing: tc.missing, Spoilt: tc.spoilt}); r != want {
				t.Errorf("%+v, want %+v", r, want)
			}
		})
	}
}

// The recording missed the Logon with which the numbers began anew: what is sent
// again is of today.
func TestResendWithoutLogon(t *testing.T) {
	const then, now = "|52=20261120-09:30:00.123|58=then", "|52=20261121-09:30:00.123|58=now"
	dir := blocks(t, "35=8|34=1"+then, "35=8|34=2"+then, "35=8|34=3"+then, "35=8|34=4"+then, "35=8|34=5"+then, "35=8|34=6"+then,
		"35=8|34=2"+now, "35=8|34=3"+now, "35=8|34=4"+now)
	s, err := finder(t, dir)(Peers{"FIX.4.4", "SELLER", "BUYER"})
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	_, err = s.Resend(t.Context(), Peers{"FIX.4.4", "SELLER", "BUYER"}, 1, s.Next()-1, time.Now, func(m []byte) error {
		sent = append(sent, fmt.Sprintf("%s%s %s%s", value(m, 35, ""), value(m, 34, ""), value(m, 36, ""), value(m, 58, "")))
		return nil
	})
	if got := strings.Join(sent, ","); err != nil || got != "41 3,83 now,84 now" {
		t.Errorf("sent %s, %v", got, err)
	}
}

// SequenceReset-Reset has a number of its own that means nothing: it does not end
// what can be sent again, unless the numbers go back.
func TestResendAcrossReset(t *testing.T) {
	const stamp = "|52=20261121-09:30:00.123"
	for _, own := range []string{"1", "10"} {
		dir := blocks(t, "35=8|34=1"+stamp, "35=8|34=2"+stamp, "35=8|34=3"+stamp, "35=4|34="+own+stamp+"|36=10", "35=8|34=10"+stamp)
		acrossReset(t, dir)
	}
}

func acrossReset(t *testing.T, dir string) {
	t.Helper()
	s, err := finder(t, dir)(Peers{"FIX.4.4", "SELLER", "BUYER"})
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	_, err = s.Resend(t.Context(), Peers{"FIX.4.4", "SELLER", "BUYER"}, 1, 10, time.Now, func(m []byte) error {
		sent = append(sent, fmt.Sprintf("%s%s %s", value(m, 35, ""), value(m, 34, ""), value(m, 36, "")))
		return nil
	})
	if got := strings.Join(sent, ","); err != nil || got != "81 ,82 ,83 ,44 10,810 " {
		t.Errorf("sent %s, %v", got, err)
	}
}
