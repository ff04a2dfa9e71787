package journal

import (
	"path/filepath"
	"testing"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// Salvage makes a clean copy of an archive with a damaged compressed segment: all records but those of the damaged block.
func TestSalvageOfCompressed(t *testing.T) {
	mem := vfs.NewMem()
	w, err := openStepped(memDir, &Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 10_000, 50)
	mustClose(t, w)
	compactAll(t, mem)
	path := filepath.Join(memDir, segmentNames(t, mem)[0])
	b := mustRead(t, mem, path)
	b[len(b)/2] ^= 1
	mustWrite(t, mem, path, b)
	rep, err := Salvage(memDir, "out", &SalvageOptions{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	list := recordsIn(t, mem, "out")
	v, err := Verify("out", &VerifyOptions{FS: mem})
	if err != nil || v.Verdict != Clean || len(list) < 5000 || len(list) == 10_000 || uint64(len(list)) != v.Records {
		t.Fatalf("%v, %+v, %d records\n%+v", err, v, len(list), rep)
	}
	for _, rec := range list {
		checkRecord(t, rec.Record, rec.Seq)
	}
}
