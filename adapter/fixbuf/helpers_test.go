package fixbuf

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/nexus-logbuf/logbuf/recorder"
)

// message makes a message of fields written with | for the SOH: those of 8, 9
// and 10 are added.
func message(fields string) []byte {
	body := strings.ReplaceAll(fields, "|", "\x01") + "\x01"
	m := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(body), body)
	total := 0
	for i := range len(m) {
		total += int(m[i])
	}
	return fmt.Appendf(nil, "%s10=%03d\x01", m, total%256)
}

// order is the n-th message of a sender.
func order(from, to string, n int) []byte {
	return message(fmt.Sprintf("35=D|49=%s|56=%s|34=%d|52=20261121-09:30:00.000|11=o%d|55=ABC|54=1|38=100|40=2|44=10.5", from, to, n, n))
}

// broken is a message with a wrong CheckSum.
func broken(m []byte) []byte {
	m = append([]byte(nil), m...)
	m[len(m)-3] = '0' + (m[len(m)-3]-'0'+1)%2
	return m
}

// rig is a recorder in a directory of its own.
type rig struct {
	t   testing.TB
	dir string
	rec *recorder.Recorder
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	var err error
	if r.rec, err = recorder.Open(r.dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	if r.rec == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.rec.Close(ctx); err != nil {
		r.t.Error(err)
	}
	r.rec = nil
}

// entry is a record as tests compare it.
type entry struct {
	stream  string
	kind    uint8
	out     bool
	payload string
}

// contents closes the recorder and reads back what it has.
func (r *rig) contents() (entries []entry, losses []journal.Loss) {
	r.t.Helper()
	r.close()
	if rep, err := journal.Verify(r.dir, nil); err != nil || rep.Verdict != journal.Clean {
		r.t.Fatalf("verify: %+v, %v", rep, err)
	}
	jr, err := journal.OpenReader(r.dir, &journal.ReaderOptions{Control: true})
	if err != nil {
		r.t.Fatal(err)
	}
	defer jr.Close()
	for rec, err := range jr.All() {
		switch {
		case err != nil:
			r.t.Fatal(err)
		case rec.Kind < journal.KindStream:
			entries = append(entries, entry{jr.StreamName(rec.Stream), rec.Kind, rec.Flags&journal.FlagOutbound != 0, string(rec.Payload)})
		case rec.Kind == journal.KindLoss:
			l, err := journal.ParseLoss(rec.Payload)
			if err != nil {
				r.t.Fatal(err)
			}
			losses = append(losses, l)
		}
	}
	return entries, losses
}
