package journal

import (
	"errors"
	"fmt"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// RepairOptions are the options of Repair. Nil is the default.
type RepairOptions struct {
	DryRun bool   // only say what would be done; nothing is written, no lock is taken, and the directory need not be writable
	FS     vfs.FS // default: the operating system's
}

// Repair does to the end of the archive in dir what Open does, and begins no new segment: a torn tail is copied to a .torn file and cut, a
// segment that never became whole is renamed to .torn, and a footer is written where one is missing. What it did, or with DryRun would do,
// is in the Recovery. A second Repair finds the archive clean, unless records were lost in a power cut, which the archive says ever after.
// An interruption or a crash at any point leaves an archive that Repair, or Open, brings to the same end.
//
// When something is missing that had been promised as durable, the error is a *CorruptionError and nothing has been changed: then Salvage
// is the way. The error wraps ErrNotArchive or ErrVersion, wraps ErrLocked when a writer has the archive open, or is one of the system's.
// Repair reads the last segment in full, and the one before it when a crash during rotation is possible.
func Repair(dir string, opts *RepairOptions) (found *Recovery, err error) {
	var o RepairOptions
	if opts != nil {
		o = *opts
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	a := archive{fs: o.FS, dir: dir}
	if o.DryRun {
		if _, _, err := a.listForReading(); err != nil {
			return nil, err
		}
		if a.writing() {
			return nil, fmt.Errorf("journal: %s: a writer has this archive open: %w", dir, ErrLocked)
		}
		return a.repair(&recovery{a: a, dry: true})
	}
	err = a.atRest(func() error {
		found, err = a.repair(&recovery{a: a})
		return err
	})
	return found, err
}

func (a archive) repair(r *recovery) (*Recovery, error) {
	defer r.abandon()
	err := r.plan()
	var c *CorruptionError
	switch {
	case errors.As(err, &c):
		return nil, fmt.Errorf("%w; nothing was changed: a repair would have to cut what was durable; salvage reads past the damage", err)
	case err != nil:
		return nil, err
	case r.dry:
		return &r.found, r.foresee()
	}
	return &r.found, r.repair()
}

// foresee completes what was found as repair would.
func (r *recovery) foresee() error {
	if r.aside != nil {
		fi, err := r.a.fs.Stat(r.a.path(r.aside.name))
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		r.torn()
		r.found.TornFile, r.found.TornBytes = r.aside.name+tornExt, fi.Size()
	}
	cut := func(s *segment, t *tail) {
		if n := t.size - t.off; n > 0 {
			r.found.TornFile = s.name + tornExt
			r.found.TornBytes += n
		}
	}
	if r.lost != nil {
		cut(r.prev, r.lost)
	}
	if r.tail != nil {
		r.torn()
		r.found.TornFirst, r.found.TornLast = r.tail.nextSeq, r.tail.endSeq-1
		cut(r.last, r.tail)
	}
	return nil
}
