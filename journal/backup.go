package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// BackupOptions are the options of Backup. Nil is the default.
type BackupOptions struct {
	Verify   bool                    // read the whole backup again at the end, what was there before included; default: what was copied
	Stop     <-chan struct{}         // when it is closed, Backup ends soon with context.Canceled; the next one goes on
	Progress func(done, total int64) // called with bytes of the source's segments that are copied and that there are to copy, on the caller's goroutine; default none
	FS       vfs.FS                  // file system of the source and of the backup; default: the operating system's
}

// BackupReport says what Backup did.
type BackupReport struct {
	Segments int    // segments copied, one that has grown included
	Kept     int    // segments that the backup had already
	Bytes    int64  // bytes copied
	FirstSeq uint64 // first sequence that the backup has
	NextSeq  uint64 // sequence after the last record that it has
	Live     bool   // a writer had the source open: the backup goes as far as was durable when Backup began
}

// ErrDiverged says that a backup and its source are no longer copies of one another.
var ErrDiverged = errors.New("backup and source have diverged")

// Backup copies the archive in src to the directory dst, made if need be. A writer may have src open: then Backup copies what HEAD calls durable,
// and disturbs nobody. Otherwise it copies all that Open would keep. It changes nothing in src.
//
// The copy is an archive, with the same sequences, at every moment: after an error, an interruption or a power cut, too. The next Backup to the
// same dst copies what has come since, whole segments at a time. It first checks that what is in dst is the beginning of src. Segments that were
// trimmed from src stay in dst until Trim removes them there; one that was compressed in src meanwhile is not copied again. Cursors are not copied.
//
// The error wraps ErrLocked when a writer or another Backup has dst open, and ErrDiverged when dst has what src does not have: because dst was
// opened for writing, because it is a backup of something else, because src has lost records, or because src was trimmed past the end of
// dst. Then nothing is changed. Damage in src that Backup meets, a missing segment too, is a *CorruptionError: damage at the end of src at once,
// other damage after what is before it has been copied.
func Backup(src, dst string, opts *BackupOptions) (*BackupReport, error) {
	var o BackupOptions
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if samePath(src, dst) {
		return nil, fmt.Errorf("journal: backup of %s into itself", src)
	}
	b := &backup{src: archive{fs: o.FS, dir: src}, dst: archive{fs: o.FS, dir: dst}, opts: o, rep: &BackupReport{}}
	if _, _, err := b.src.listForReading(); err != nil {
		return nil, err
	}
	unlock, err := b.lockDst()
	if err != nil {
		return nil, err
	}
	err = b.run()
	return b.rep, errors.Join(err, unlock())
}

func samePath(a, b string) bool {
	x, err1 := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return err1 == nil && err2 == nil && x == y
}

// backup is a Backup under way.
type backup struct {
	src, dst archive
	opts     BackupOptions
	rep      *BackupReport
	copier   copier
	bad      error // damage where the plan ends: what is before it is copied; nil when it goes to the end
	total    int64 // bytes to copy
	done     int64 // of those
}

// backupName is the name of a segment that is being copied.
const backupName = "backup" + tmpExt

// lockDst makes the destination, refuses one that holds something else, and takes its lock.
func (b *backup) lockDst() (unlock func() error, err error) {
	segs, foreign, err := b.dst.list()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if len(segs) == 0 && len(foreign) > 0 {
		return nil, fmt.Errorf("journal: %s holds no archive, but other files, such as %s: give a directory that is empty or not there", b.dst.dir, foreign[0])
	}
	if err := b.dst.makeDir(); err != nil {
		return nil, fmt.Errorf("journal: cannot make the directory: %w", err)
	}
	return b.dst.lockForWork()
}

// backupTries bounds how often Backup begins again because the source has changed under it.
const backupTries = 20

// run copies until the source has stood still for long enough.
func (b *backup) run() error {
	for try := 1; ; try++ {
		err := b.once()
		if !errors.Is(err, fs.ErrNotExist) || try == backupTries {
			return err
		}
		// A segment was trimmed between the listing and its turn. What has been copied stays.
	}
}

// once is one pass over the source.
func (b *backup) once() error {
	if err := b.dst.fs.Remove(b.dst.path(backupName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	items, err := b.plan()
	if err != nil {
		return err
	}
	if len(items) == 0 && b.bad != nil {
		return b.bad
	}
	if len(items) == 0 {
		return fmt.Errorf("journal: %s: nothing in it is known to be durable yet", b.src.dir)
	}
	from, old, err := b.prepare(items)
	if err != nil {
		return err
	}
	b.rep.Kept, b.total = from, 0
	for _, it := range items[from:] {
		b.total += it.size
	}
	b.done = 0
	var last *segment
	for i, it := range items[from:] {
		if i > 0 {
			old = nil // only the first may be there in part
		}
		b.opts.Progress(b.done, b.total)
		if last, err = b.copy(it, old); err != nil {
			return err
		}
		b.done += it.size
		b.rep.Segments++
	}
	b.opts.Progress(b.total, b.total)
	if err := b.finish(last); err != nil {
		return err
	}
	return b.bad
}

// lastOf walks the last segment of a destination that has all there is already.
func (b *backup) lastOf(s segmentFile) (*segment, error) {
	f, hdr, err := b.dst.openSegment(s)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading: nothing to lose
	seg, _, _, err := walkSegment(f, s.name, hdr, maxFileSize)
	return seg, err
}

// writeHead makes HEAD say where the backup ends, unless it does.
func (b *backup) writeHead(last *segment) error {
	hd := head{
		epoch: last.hdr.epoch, segment: last.hdr.number, writtenPos: last.pos(), durablePos: last.pos(),
		nextSeq: last.nextSeq, lastTime: last.maxSoFar(), heartbeat: time.Now().UnixNano(),
	}
	if have, ok := b.dst.readHead(last.hdr.uuid); ok && have.segment == hd.segment && have.epoch == hd.epoch && have.durablePos == hd.durablePos {
		return nil
	}
	var buf [headLen]byte
	hd.encode(buf[:], crcOf(last.hdr.uuid[:]))
	return b.dst.replaceFile(headName, buf[:])
}

// finish writes HEAD and looks at the whole.
func (b *backup) finish(last *segment) error {
	segs, _, err := b.dst.listForReading()
	if err != nil {
		return err
	}
	if last == nil {
		if last, err = b.lastOf(segs[len(segs)-1]); err != nil {
			return err
		}
	}
	if err := b.writeHead(last); err != nil {
		return err
	}
	b.rep.FirstSeq, b.rep.NextSeq = segs[0].baseSeq, last.nextSeq
	if !b.opts.Verify {
		return nil
	}
	rep, err := Verify(b.dst.dir, &VerifyOptions{FS: b.dst.fs})
	if err != nil {
		return err
	}
	if rep.ProblemCount > 0 {
		return fmt.Errorf("journal: the backup is damaged, %d problems; the first: %w", rep.ProblemCount, rep.Problems[0].corruption())
	}
	return nil
}

// stopped returns context.Canceled when the caller wants no more.
func (b *backup) stopped() error {
	select {
	case <-b.opts.Stop:
		return context.Canceled
	default:
		return nil
	}
}
