// Package journal writes and reads archives: durable, checksummed, numbered records in segment files.
//
// An archive is a directory. One [Writer] at a time appends to it; any number of [Reader]s, in any process, read it meanwhile. The package
// knows nothing of rings: package recorder brings the two together.
//
// # The frame in memory is the frame on disk
//
// [Writer.AppendFrames] takes a span of frames as a ring holds them, walks it once, puts a 64-byte block header in front and hands both to
// the system in one gathering write. Nothing is encoded again, nothing copied, nothing allocated. [Writer.Append] is the copying way for
// programs without a ring.
//
//	segment file                                     block                      frame
//	┌─────────────┬───────┬───────┬─ ─┬────────┐     ┌────────┬───────┬─ ─┐     ┌──────┬────┬──────┬─────────┬───┐
//	│ header 4096 │ block │ block │   │ footer │     │ 64 B   │ frame │   │     │length│type│ time │ payload │ 0 │
//	└─────────────┴───────┴───────┴─ ─┴────────┘     └────────┴───────┴─ ─┘     └──────┴────┴──────┴─────────┴───┘
//
// Data records are numbered from 0 over the archive's whole life. The number is not stored: it is the block's base plus the record's place
// in it. Records of other kinds describe the archive itself: what a stream is called ([KindStream]), what was lost and why ([KindLoss]).
//
// # Durability
//
// A write is not durable until a sync says so. When to sync is the policy, [Options].Sync; [Writer.WaitDurable] is how to know.
//
//	policy         what a crash of the process takes   what a power cut takes
//	SyncInterval   nothing that Append returned for    what was written since the last sync began: SyncEvery or SyncBytes, plus one sync
//	SyncBatch      nothing that Append returned for    what was written since the last sync began: one sync
//	SyncNone       nothing that Append returned for    everything since the last Sync, WaitDurable or rotation
//
// Under none of them does it take what WaitDurable has confirmed. A sync that failed is never tried again on the same file: the system may
// have dropped the data and call it clean. The error stays, every call returns it, and it names the sequences in doubt; with
// [Options].Retain there is none, because a new segment takes over and is given again what was in doubt. A full disk breaks nothing: the call
// returns an error, see [WriteError], and the next one tries again. docs/JOURNAL.md has a table of what each caller is told.
//
// # Where an archive ends
//
// Every block says up to which position the log was known to be durable before the block was written; so do the footer, the next segment
// and the file HEAD. Bytes at the end that are no whole block are therefore one of two things. If anything promises them, they are
// corruption: [Open] refuses, changes nothing, and the error gives the exact sequences. If nothing does, they are a torn tail, what a crash
// leaves behind: Open copies them to a .torn file, cuts them off and goes on in a new segment. Damage to synced bytes that no later byte
// speaks of cannot be told from a torn tail; docs/JOURNAL.md says how small that window is.
//
// # Reading
//
// [OpenReader] finds a sequence, a time or the end without walking the archive: with n segments it reads at most log₂ n headers, then the index
// of one segment, or, where that has none, a piece around log₂ of its size many places, and then at most 1 MiB of headers. Damaged or missing
// indexes cost time and change nothing. Clocks step back; therefore every block has the latest time of its segment so far, and every segment
// the latest of all before it. A reader from a time begins with the first record of that time or later, exactly.
//
// What [Reader.Next] returns besides records:
//
//	io.EOF            the end, when not following; Torn says whether it is torn
//	*CorruptionError  damage, with exactly the records that are lost; final. FromSeq LastSeq+1 reads on; so does Salvage
//	*GapError         told once, goes on: records a power cut took that nobody was promised, that were trimmed before the reader came to them,
//	                  or that a salvage has declared lost. With Salvage, damage too
//	*ReissueError     told once, goes on: a new writer begins below what was given from un-durable data; never with Durable
//
// A follower polls: after a pause of 1 ms, growing to 50 ms. It delivers what HEAD covers, goes over rotation, over the writer's death and
// restart, and over segments being trimmed or compressed under it.
//
// # Files
//
//	00000000000000001000-0000002a.lbj        segment: first sequence, epoch (number of the open)
//	00000000000000001000-0000002a.lbj.torn   what was cut from it
//	next.tmp                                 the next segment, prepared off the write path
//	HEAD                                     how far the writer is: 64 bytes, for followers
//	TRIM                                     where the archive begins since old segments were removed
//	cursors/NAME                             how far a named reader is, see [Cursor]
//	LOCK                                     held by the writer
//	FAILOVER                                 other directories with segments of the archive, see [Options].Failover
//	reserve                                  disk space for when the disk is full, see [Options].Reserve
//
// A segment has all stream definitions at its start and can be read alone. HEAD and LOCK are not needed: a copy of the segments of an
// archive at rest is an archive. [Options].Retention and [Trim] remove old segments,
// [Options].Compress and [Compact] compress them, [Backup] copies an archive that is being written. Files are made with mode 0600, directories with 0700.
//
// docs/JOURNAL.md in the repository specifies the format to the byte.
package journal
