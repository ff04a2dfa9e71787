// Package sizing says how large the ring of a stream should be, from what the
// stream has offered: the times and sizes of its records in an archive.
//
// The model. A ring bridges the time in which the archiver does not get on,
// because a write or a sync hangs. The worst that a stall of length D can find is
// the most that the stream offered within any D. A ring of that size, with a
// margin of two for what lay in the ring when the stall began (at most a batch,
// a quarter of the ring), and for what comes while the backlog is written,
// would have lost nothing.
//
// What was lost to overload was offered, too. A ring that had been larger by
// what a loss record counts would have held it: so the whole of it is added to
// what was recorded within the D before its end.
//
// Bytes are those of frames in the ring: payload, 16 bytes, rounded up to a
// multiple of 8. Of lost records only the sum is known; their average takes the
// place of each.
package sizing
