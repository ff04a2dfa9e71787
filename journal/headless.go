package journal

import (
	"fmt"
	"math"
	"os"

	"github.com/nexus-logbuf/logbuf/internal/vfs"
)

// A segment whose header page is damaged can be read all the same. What is needed of the header to check blocks is the state that the salt
// leaves in the CRC, 32 bits, and a CRC can be run backwards: a block header or a trailer, with its checksum, gives the state back. Two
// structures at places that are known, which no record's payload can take, have to agree on it. Epoch and first sequence are in the name.

// noPos is the base position of a segment whose own is not known: above every position that a block may promise.
const noPos = math.MaxInt64 - maxFileSize

// openHeadless opens a segment whose header cannot be read. seed checks its blocks; hdr has the epoch and the base sequence of the file's
// name, noPos, the largest block limit, and allows compressed blocks; all else is not known. f is nil when the segment does not give its seed away: then none of it can be read.
func (a archive) openHeadless(s segmentFile) (f vfs.File, hdr segmentHeader, seed uint32, err error) {
	f, err = a.fs.OpenFile(a.path(s.name), os.O_RDONLY, 0)
	if err != nil {
		return nil, hdr, 0, fmt.Errorf("journal: %w", err)
	}
	hdr = segmentHeader{
		epoch: s.epoch, baseSeq: s.baseSeq, basePos: noPos, predPos: noPos, predSeq: s.baseSeq, maxBlock: maxMaxBlock,
		features: featRewritten, origLen: segmentHeaderLen, // perhaps: compressed blocks are read
	}
	seed, found, err := findSeed(f, hdr)
	if err != nil || !found {
		return nil, hdr, 0, closing(f, err)
	}
	return f, hdr, seed, nil
}

// findSeed looks for the seed of a segment without its header, and for a second structure that confirms it.
func findSeed(f vfs.File, hdr segmentHeader) (seed uint32, found bool, err error) {
	size, err := f.Size()
	if err != nil {
		return 0, false, fmt.Errorf("journal: %w", err)
	}
	var page [segmentHeaderLen + blockHeaderLen]byte
	n, err := f.ReadAt(page[:], 0)
	if err = ignoreEOF(err); err != nil {
		return 0, false, err
	}
	if n == len(page) { // the salt may have been spared
		seed = crcSeed(le.Uint64(page[80:]))
		if found, err = confirmSeed(f, hdr, seed, size, true); found || err != nil {
			return seed, found, err
		}
	}
	var foot [trailerLen]byte
	if size >= segmentHeaderLen+trailerLen {
		if _, err := f.ReadAt(foot[:], size-trailerLen); ignoreEOF(err) != nil {
			return 0, false, ignoreEOF(err)
		}
	}
	if [8]byte(foot[:8]) == trailerMagic && le.Uint32(foot[124:]) == trailerEnd {
		seed = crcUndo(le.Uint32(foot[120:]), foot[:120])
		if found, err = confirmSeed(f, hdr, seed, size, false); found || err != nil {
			return seed, found, err
		}
	}
	if b := page[segmentHeaderLen:]; n == len(page) && le.Uint32(b) == blockMagic {
		seed = crcUndo(le.Uint32(b[4:]), b[8:])
		found, err = confirmChain(f, hdr, seed, size)
	}
	return seed, found, err
}

// confirmSeed reports whether a block header that belongs into the segment is whole with this seed; or, with trailer, the trailer is.
func confirmSeed(f vfs.File, hdr segmentHeader, seed uint32, size int64, trailer bool) (bool, error) {
	w := &walker{file: f, hdr: hdr, seed: seed}
	if t, bad, err := w.trailer(); err != nil {
		return false, err
	} else if bad == "" {
		if t.firstSeq != hdr.baseSeq {
			return false, nil
		}
		if trailer {
			return true, nil
		}
	}
	found := false
	err := searchBlocks(w, segmentHeaderLen, size, func(_ int64, h *blockHeader) bool {
		found = h.baseSeq >= hdr.baseSeq
		return !found
	})
	return found, err
}

// confirmChain reports whether the first two blocks of a segment follow one another with this seed.
func confirmChain(f vfs.File, hdr segmentHeader, seed uint32, size int64) (bool, error) {
	w := &walker{}
	w.reset(f, hdr)
	w.seed, w.chained = seed, false
	var b block
	if bad, err := w.header(size, &b); bad != "" || err != nil {
		return false, err
	}
	w.pass(&b)
	bad, err := w.header(size, &b)
	return bad == "", err
}

// crcUndo returns the state before b was taken in, from the CRC32C after it: crcWith(crcUndo(c, b), b) is c.
func crcUndo(crc uint32, b []byte) uint32 {
	crc = ^crc
	for i := len(b) - 1; i >= 0; i-- {
		k := castagnoliTop[crc>>24]
		crc = (crc^castagnoli[k])<<8 | uint32(k^b[i])
	}
	return ^crc
}

// castagnoliTop finds the entry of the table by its highest byte: no two have the same.
var castagnoliTop = func() (top [256]byte) {
	for i, v := range castagnoli {
		top[v>>24] = byte(i)
	}
	return top
}()
