package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// CursorOptions are the options of OpenCursor. Nil is the default: open the cursor that is there, or make one at the first sequence that the
// archive has.
type CursorOptions struct {
	Seq   uint64 // where a new cursor begins; default 0 = the first sequence there is
	Hold  bool   // a new cursor is a hold: it stays where it is, whatever is read, until it is removed
	Reset bool   // make it anew, at Seq, whatever is there: also when that is damaged
	FS    vfs.FS // default: the operating system's
}

// Cursor is a named place in an archive that outlives the process: a reader's progress. Retention keeps every segment that holds its sequence
// or a later one. Its methods may be called from any goroutine. Two processes should not use one cursor at once: the last Save counts.
type Cursor struct {
	a    archive
	name string
	seed uint32

	mu   sync.Mutex // all below
	note cursorNote
	gone bool
}

// CursorInfo describes a cursor.
type CursorInfo struct {
	Name  string
	Seq   uint64 // the next sequence it wants
	Epoch uint64 // of the last record it has taken; 0 when it has taken none
	Saved int64  // when it was saved last, nanoseconds since the Unix epoch
	Hold  bool   // it stays where it is until it is removed
	Err   error  // why it cannot be read; until it is removed or reset, retention removes nothing
}

// maxCursorName is the longest name of a cursor, in bytes.
const maxCursorName = 100

// OpenCursor opens the cursor with that name of the archive in dir, or makes it. Names are 1 to 100 of the characters A-Z a-z 0-9 _ - and,
// not first and not last, the dot. The error wraps ErrNotArchive when dir holds no archive, and is a *CorruptionError when the cursor's file is
// damaged.
//
// A new cursor never begins before the first sequence that the archive still has; Seq tells. A writer may be active.
func OpenCursor(dir, name string, opts *CursorOptions) (*Cursor, error) {
	var o CursorOptions
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if err := checkCursorName(name); err != nil {
		return nil, err
	}
	if o.Seq > math.MaxInt64 {
		return nil, fmt.Errorf("journal: CursorOptions.Seq is %d: must be below 2⁶³", o.Seq)
	}
	a := archive{fs: o.FS, dir: dir}
	segs, _, err := a.listForReading()
	if err != nil {
		return nil, err
	}
	uuid, ok := a.uuidOf(segs)
	if !ok {
		return nil, &CorruptionError{File: segs[0].name, LastSeq: math.MaxUint64, Reason: "no segment has a header that can be read"}
	}
	c := &Cursor{a: a, name: name, seed: crcOf(uuid[:])}
	if !o.Reset {
		c.note, err = a.readCursor(name, c.seed)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	c.note = cursorNote{seq: max(o.Seq, segs[0].baseSeq)}
	if o.Hold {
		c.note.flags |= cursorHold
	}
	return c, c.create(uuid)
}

// create writes a new cursor. Retention that did not see it yet may have removed what it wants: that is noted before it happens, so the note is
// read after the cursor is there.
func (c *Cursor) create(uuid [16]byte) error {
	if err := c.a.cursorDir().makeDir(); err != nil {
		return fmt.Errorf("journal: cannot make the directory of cursors: %w", err)
	}
	if err := c.write(c.note); err != nil {
		return err
	}
	if note, ok := c.a.trimNote(uuid); ok && note.firstSeq > c.note.seq {
		moved := c.note
		moved.seq = note.firstSeq
		return c.write(moved)
	}
	return nil
}

// Name returns the cursor's name.
func (c *Cursor) Name() string { return c.name }

// Seq returns the next sequence that the cursor wants: where to begin to read.
func (c *Cursor) Seq() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.note.seq
}

// Epoch returns the epoch of the last record taken, as it was saved; 0 when none was.
func (c *Cursor) Epoch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.note.epoch
}

// Save moves the cursor: seq is the next sequence wanted, epoch that of the last record taken. It is durable when Save returns; after an error
// the cursor's file has the old place or the new one. Retention may remove what is below seq from then on; moving a cursor back does not
// bring it back. A hold cannot be moved.
func (c *Cursor) Save(seq, epoch uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
		return fmt.Errorf("journal: cursor %q was removed: %w", c.name, os.ErrClosed)
	case c.note.flags&cursorHold != 0:
		return fmt.Errorf("journal: cursor %q is a hold: it stays at %d until it is removed", c.name, c.note.seq)
	case seq > math.MaxInt64:
		return fmt.Errorf("journal: cursor %q: sequence %d: must be below 2⁶³", c.name, seq)
	}
	return c.write(cursorNote{seq: seq, epoch: epoch, flags: c.note.flags})
}

// write makes the cursor's file say n. The caller holds mu, or is the only one that knows c.
func (c *Cursor) write(n cursorNote) error {
	n.saved = time.Now().UnixNano()
	b := make([]byte, cursorLen)
	n.encode(b, c.seed)
	if err := c.a.cursorDir().replaceFile(c.name, b); err != nil {
		return err
	}
	c.note = n
	return nil
}

// Remove removes the cursor, durably: it holds nothing back any more. Save then returns an error that wraps os.ErrClosed.
func (c *Cursor) Remove() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.a.fs.Remove(c.a.cursorDir().path(c.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	if err := c.a.fs.SyncDir(c.a.cursorDir().dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	c.gone = true
	return nil
}

// Cursors lists the cursors of the archive in dir by name. One that is damaged is listed with its error. fsys nil is the operating system's. The
// error wraps ErrNotArchive when dir holds no archive.
func Cursors(dir string, fsys vfs.FS) ([]CursorInfo, error) {
	if fsys == nil {
		fsys = vfs.OS
	}
	a := archive{fs: fsys, dir: dir}
	segs, _, err := a.listForReading()
	if err != nil {
		return nil, err
	}
	uuid, _ := a.uuidOf(segs) // without it no cursor can be read, and each says so
	return a.cursors(uuid)
}

// cursorDir returns the directory of the cursors as if it were an archive.
func (a archive) cursorDir() archive {
	return archive{fs: a.fs, dir: filepath.Join(a.dir, cursorsName)}
}

// cursors reads all cursors. Files whose names are not those of cursors are left alone.
func (a archive) cursors(uuid [16]byte) ([]CursorInfo, error) {
	entries, err := a.fs.ReadDir(a.cursorDir().dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var infos []CursorInfo
	for _, e := range entries {
		if e.IsDir() || checkCursorName(e.Name()) != nil {
			continue
		}
		n, err := a.readCursor(e.Name(), crcOf(uuid[:]))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		infos = append(infos, CursorInfo{Name: e.Name(), Seq: n.seq, Epoch: n.epoch, Saved: n.saved, Hold: n.flags&cursorHold != 0, Err: err})
	}
	return infos, nil
}

// readCursor reads the file of a cursor.
func (a archive) readCursor(name string, seed uint32) (cursorNote, error) {
	f, err := a.fs.OpenFile(a.cursorDir().path(name), os.O_RDONLY, 0)
	if err != nil {
		return cursorNote{}, fmt.Errorf("journal: %w", err)
	}
	defer f.Close() // opened for reading: nothing to lose
	var b [cursorLen + 1]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return cursorNote{}, fmt.Errorf("journal: %w", err)
	}
	c, bad := decodeCursor(b[:n], seed)
	if bad != "" {
		return c, &CorruptionError{
			File: cursorsName + "/" + name, LastSeq: math.MaxUint64,
			Reason: "the cursor cannot be read: " + bad + "; retention keeps everything until it is reset or removed",
		}
	}
	return c, nil
}

// cursorFloor returns the first sequence that some cursor still wants, and that cursor's name; MaxUint64 when there is none. A cursor that
// cannot be read wants everything: that is an error.
func (a archive) cursorFloor() (seq uint64, name string, err error) {
	segs, _, err := a.list()
	if err != nil {
		return 0, "", fmt.Errorf("journal: %w", err)
	}
	uuid, _ := a.uuidOf(segs)
	infos, err := a.cursors(uuid)
	if err != nil {
		return 0, "", err
	}
	seq = math.MaxUint64
	for _, c := range infos {
		if c.Err != nil {
			return 0, c.Name, c.Err
		}
		if c.Seq < seq {
			seq, name = c.Seq, c.Name
		}
	}
	return seq, name, nil
}

// checkCursorName refuses names that are no file names everywhere.
func checkCursorName(name string) error {
	ok := len(name) > 0 && len(name) <= maxCursorName && name[0] != '.' && name[len(name)-1] != '.' && !strings.HasSuffix(name, tmpExt)
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')
	}
	if !ok {
		return fmt.Errorf("journal: cursor name %.120q: must be 1 to %d of the characters A-Z a-z 0-9 _ - and, inside, the dot, and not end in %s", name, maxCursorName, tmpExt)
	}
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch {
	case stem == "CON", stem == "PRN", stem == "AUX", stem == "NUL",
		len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9':
		return fmt.Errorf("journal: cursor name %q: Windows has a device of that name", name)
	}
	return nil
}
