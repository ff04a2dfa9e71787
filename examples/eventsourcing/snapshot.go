package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// A snapshot is a file of one line that says what it is, and the state:
//
//	eventsourcing-snapshot 1 SEQ EPOCH LENGTH CRC32C
//	{...}
//
// It is written under another name, synced, renamed, and its directory synced,
// so that a file with a snapshot's name is whole, or has been damaged later. It
// covers what is before SEQ; its name is SEQ.snapshot, with twenty digits.
const (
	snapshotSuffix = ".snapshot"
	snapshotHead   = "eventsourcing-snapshot 1 %d %d %d %08x\n"
	// keepSnapshots is how many there are: the newest, and one to fall back to
	// should that be damaged. The journal is kept from the oldest of them on.
	keepSnapshots = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshotStep is called behind each step of writing a snapshot. Tests die in
// it.
var snapshotStep = func(step string) {}

// writeSnapshot makes a snapshot of the state, as State.encode has it, durable
// in dir.
func writeSnapshot(dir string, seq, epoch uint64, state []byte) error {
	name := filepath.Join(dir, fmt.Sprintf("%020d%s", seq, snapshotSuffix))
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	snapshotStep("created")
	head := fmt.Appendf(nil, snapshotHead, seq, epoch, len(state), checksum(seq, epoch, state))
	for i, part := range [][]byte{head, state[:len(state)/2], state[len(state)/2:]} {
		if _, err := f.Write(part); err != nil {
			return errors.Join(err, f.Close())
		}
		snapshotStep(fmt.Sprint("written ", i))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	snapshotStep("synced")
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	snapshotStep("renamed")
	return syncDir(dir)
}

// checksum covers the head, too: a state under another sequence is wrong.
func checksum(seq, epoch uint64, state []byte) uint32 {
	return crc32.Update(crc32.Checksum(fmt.Appendf(nil, "%d %d", seq, epoch), castagnoli), castagnoli, state)
}

// syncDir makes a directory's entries durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSnapshot reads a snapshot and checks it.
func readSnapshot(name string) (*State, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	head, body, _ := bytes.Cut(b, []byte("\n"))
	var seq, epoch uint64
	var length int
	var sum uint32
	r := bytes.NewReader(append(head, '\n'))
	if _, err := fmt.Fscanf(r, snapshotHead, &seq, &epoch, &length, &sum); err != nil || r.Len() > 0 {
		return nil, fmt.Errorf("%s: its first line is no snapshot's", name)
	}
	if length != len(body) || sum != checksum(seq, epoch, body) {
		return nil, fmt.Errorf("%s: %d bytes with a checksum that is not theirs", name, len(b))
	}
	s, err := decodeState(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if s.Seq != seq || filepath.Base(name) != fmt.Sprintf("%020d%s", seq, snapshotSuffix) {
		return nil, fmt.Errorf("%s: state of sequence %d in a snapshot of %d", name, s.Seq, seq)
	}
	return s, nil
}

// snapshots returns the paths of the snapshots in dir, newest first. What an
// interrupted one has left is removed.
func snapshots(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasSuffix(path, snapshotSuffix+".tmp"):
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		case strings.HasSuffix(path, snapshotSuffix):
			names = append(names, path)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
	return names, nil
}

// loadSnapshot returns the state of the newest snapshot in dir that is whole, a
// new state if there is none, and the names of all that are whole, newest
// first. Others are named on log and set aside.
func loadSnapshot(dir string, log io.Writer) (s *State, whole []string, err error) {
	names, err := snapshots(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		one, err := readSnapshot(name)
		if err != nil {
			fmt.Fprintf(log, "snapshot passed over: %v\n", err)
			if err := os.Rename(name, name+".bad"); err != nil {
				return nil, nil, err
			}
			continue
		}
		whole = append(whole, name)
		if s == nil {
			s = one
		}
	}
	if s == nil {
		s = newState()
	}
	return s, whole, nil
}

// snapshotSeq is the sequence in a snapshot's name.
func snapshotSeq(name string) (seq uint64) {
	_, _ = fmt.Sscanf(filepath.Base(name), "%d", &seq)
	return seq
}
