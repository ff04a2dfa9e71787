package journal

const (
	cursorLen   = 64
	cursorMagic = uint32('L') | uint32('B')<<8 | uint32('C')<<16 | uint32('1')<<24
	cursorsName = "cursors"

	cursorHold = 1 << 0 // it was made to hold retention back, and stays where it is
)

// cursorNote is the content of a file in cursors: how far a named reader is.
type cursorNote struct {
	seq   uint64 // the next sequence it wants
	epoch uint64 // of the last record it has taken; 0 when it has taken none
	saved int64  // when this was written, nanoseconds since the Unix epoch
	flags uint32
}

// encode fills b (64 bytes). seed is the CRC32C of the archive's UUID, so that the cursor of another archive is not believed.
//
//	0      4      8      16      24      32      36              64
//	┌──────┬──────┬──────┬───────┬───────┬───────┬───────────────┐
//	│ LBC1 │CRC32C│ seq  │ epoch │ saved │ flags │ reserved      │
//	│      │      │ u64  │ u64   │i64 ns │ u32   │ zero          │
//	└──────┴──────┴──────┴───────┴───────┴───────┴───────────────┘
//
// CRC32C = CRC32C(UUID, bytes 8 to 63).
func (c *cursorNote) encode(b []byte, seed uint32) {
	clear(b[:cursorLen])
	le.PutUint32(b[0:], cursorMagic)
	le.PutUint64(b[8:], c.seq)
	le.PutUint64(b[16:], c.epoch)
	le.PutUint64(b[24:], uint64(c.saved))
	le.PutUint32(b[32:], c.flags)
	le.PutUint32(b[4:], crcWith(seed, b[8:cursorLen]))
}

// decodeCursor reads a cursor's file. bad says what is wrong with it, empty when nothing is.
func decodeCursor(b []byte, seed uint32) (c cursorNote, bad string) {
	switch {
	case len(b) != cursorLen:
		return c, "it does not have 64 bytes"
	case le.Uint32(b) != cursorMagic:
		return c, "it has wrong magic"
	case le.Uint32(b[4:]) != crcWith(seed, b[8:cursorLen]):
		return c, "its checksum is wrong, or it belongs to another archive"
	}
	return cursorNote{seq: le.Uint64(b[8:]), epoch: le.Uint64(b[16:]), saved: int64(le.Uint64(b[24:])), flags: le.Uint32(b[32:])}, ""
}
