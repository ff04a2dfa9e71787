package journal

// Gap is a place in an archive where records are missing, or where bytes are that cannot be read.
type Gap struct {
	File     string // name of the file in the archive that the place is in, or that comes behind it
	Offset   int64  // where it begins, in bytes from the start of the file
	FirstSeq uint64 // first sequence missing
	LastSeq  uint64 // last one; FirstSeq−1 when no record is known to be missing; MaxUint64 when the end is not known
	Bytes    int64  // bytes of the file that cannot be read; 0 when the file does not have them
	Reason   string // why
	Trimmed  bool   // the records were removed on purpose: the archive says so itself
	Declared bool   // the archive is a copy that Salvage has made, and says that they are missing: it is whole without them
}

// Lost returns how many records are missing, and whether that number is known.
func (g Gap) Lost() (records uint64, known bool) {
	if g.LastSeq == ^uint64(0) && g.FirstSeq > 0 {
		return 0, false
	}
	return g.LastSeq + 1 - g.FirstSeq, true
}

// declaredMissing is the reason of gaps that a segment's header declares.
const declaredMissing = "declared missing when this copy of a damaged archive was made"
