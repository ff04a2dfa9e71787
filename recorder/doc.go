// Package recorder gets records off hot goroutines into a durable archive:
// each producer has a lane (package queue), one archiver goroutine takes what
// is in the lanes to a journal (package journal), and what could not be taken
// is counted and recorded as lost.
//
//	Producer ── lane ──┐
//	Producer ── lane ──┼─▶ archiver ─▶ journal.Writer
//	Producer ── lane ──┘
//
// A record is a payload of bytes with a time, a kind and flags, in a stream.
// Streams have names; a Producer writes to one of them. Within one producer the
// archive keeps the order of the records; between producers it has the order in
// which the archiver came by.
//
// # The frame
//
// A producer fills the frame that lies on disk later, and nothing is encoded
// again on the way. The ring's header holds the length and, as record type,
// kind, flags and stream (journal.RecordType); its payload begins with the time
// as int64, little-endian nanoseconds since the Unix epoch, taken when the call
// begins or given by the caller, see Time. The archiver hands whole spans of a
// lane to journal.Writer.AppendFrames, zero-copy unless Options.Stage asks for
// a copy.
//
// # Time
//
// A caller that has a time, such as that of a socket's packet, gives it:
// WriteAt, TryClaimAt and ClaimAt read no clock. Otherwise a record has the
// time of the call, in Write, or of the claim. Reading the system's wall clock
// means reading the monotonic one, too, and is half of a short Write. So while
// the archiver is awake the recorder reads the monotonic clock only, and adds
// what the archiver has found to be its distance from the wall clock; a Write
// of 64 B takes 58 ns that way, 85 ns with time.Now, 33 ns with the caller's
// time (BenchmarkClock, a busy VM). A time that the archiver publishes would
// cost nothing, and be as old as its last write; that is not offered.
//
// The archiver compares the clocks every second, and when it wakes up; while it
// sleeps (naps do not count, see Sleeping), and from two seconds after it has
// compared them, as when a write takes long, the wall clock is asked. Small differences, as slewing makes, are
// followed. A wall clock that is off by 50 ms or more was set, or the machine
// slept: the archiver puts a clock record (journal.ClockStep) into the archive
// and Stats.ClockSteps counts it. Daemons that slew the clock step it by
// more than that only, and slew by less in a second. Records that lay in lanes at
// that time, and those of up to two seconds before, have times of the old clock
// and may stand behind the clock record.
//
// # Overload
//
// A lane is full when the archiver, and so the disk, is slower than its
// producer for longer than the lane lasts. What happens then is the producer's
// policy:
//
//   - OverloadDrop loses the record and goes on. For sources that cannot wait,
//     such as market data.
//   - OverloadWait polls until there is room: it yields, for up to 0.2 ms, and
//     then pauses for up to 1 ms, in Write, WriteAt and Claim; TryClaim still
//     returns at once. For sources that can, such as a pipe.
//   - OverloadFail returns queue.ErrFull. For callers that have a better idea.
//
// A record that was offered is in exactly one of four places: in the archive,
// in a lane (StreamStats.LagRecords), lost (Lost), or refused with an error
// under a policy that leaves it to the caller (Refused). What is lost is also
// told to readers: the archive has a loss record with how many records, how
// many bytes, when and why, exactly where the records would have been.
//
// Overload hits ordinary streams first: ProducerOptions.Urgent gives a stream a
// part of a share that is reserved for urgent ones. While both kinds have records
// the archiver writes as many bytes of the one as of the other, batch by batch,
// urgent first. So urgent streams that together need less than half of what the
// disk takes lose nothing to others, and their records, once the archiver looks
// (see Sleeping), wait for one ordinary batch at most, 256 KiB or one larger
// record. However much they offer, the
// ordinary streams have the other half, and each of those its turn in it. What
// one kind does not need is the other's: ordinary streams of which no lane is
// half full in its turn have a batch each, and urgent ones need not wait until
// they come to as many bytes. Options.UrgentMemory keeps room for urgent lanes
// where ordinary ones have taken MemoryLimit.
//
// A full disk takes nothing from anybody: urgent lanes fill, too, and lose what
// does not fit, so that their size says how long they hold out. When there is
// space again, the batch that the archiver was about to write goes first, then
// urgent ones. Close writes urgent lanes first.
//
// # Memory
//
// The lanes of all producers together take at most Options.MemoryLimit, 64 MiB
// by default, and those of urgent ones UrgentMemory besides; Producer refuses
// what goes beyond, with the numbers. That is the part that grows with the
// number of producers, but for what comes with a lane: 2.5 KiB, 15 KiB if it is
// shared, and up to 64 KiB for losses while its disk stands still. So 500
// sessions with lanes of 128 KiB take 62.5 MiB of the default limit, and 96 MiB
// of heap at the worst moment, journal included: all lanes full, each with
// losses at 1024 places.
//
// # Ordinals
//
// The records offered to a stream are numbered from 0 on, lost ones included,
// over the life of the archive: the ordinals go on when a producer is closed and
// another one made, and when the archive is opened again, see
// journal.Writer.StreamOrdinal. A loss record names the ordinal of the first
// record it stands for. Who reads a stream and counts records, and adds Records
// at each loss record, has the ordinal of every record there is, and the exact
// set of those there are not. Losses between the same two records are grouped by
// reason. The number in a gap that its source cannot tell is 0, see
// Producer.Lose.
//
// Ordinals are given by the archiver and not by producers. A producer that
// loses a record books it at the lane's position, and the archiver, when it
// comes to that position, cuts the span there and puts the loss record in
// between. A lane needs no room for the news that it is full, and the numbers
// are as exact for a lane that many goroutines share, where no producer could
// know how many of the claims before its own will be committed. A loss that no
// record follows is written after 100 ms, or at Close.
//
// One exception bounds the memory. When a producer has losses at more than 1024
// places that the archiver has not come to yet, those at further places are
// counted with the last place of their reason. The numbers of records and bytes
// lost stay exact; the ordinals of records between that place and the true one
// are too high, and right again behind it.
//
// # Stalled claims
//
// An open claim of a shared producer holds up the records claimed after it. If
// its owner is gone, or stands still for longer than Options.StallLimit, the
// archiver goes past it: queue.Consumer.PassStalled leaves the lane's memory to
// the owner and goes on in a new one, so that whatever a late owner writes
// harms nobody. Its Commit returns false, and the record is lost with reason
// journal.LossStalled. A claim that nobody ever commits is not a loss, because
// nobody knows whether a record was meant; ProducerStats.Abandoned counts it.
// Write and WriteAt have the record at hand and write it again.
//
// # Durability
//
// Commit means that the archiver will see the record: about a millisecond later,
// see Options.Linger, or as soon as anybody waits for it. Producer.WaitDurable
// waits until all that the producer had committed is written and synced, and
// returns nil only then. Between the two a crash of the process takes what is in
// the lanes; what a power cut takes besides is journal.Options.Sync's.
//
// A full disk stops nobody for good. The archiver tries again, at least ten
// times a second, the lanes fill meanwhile, and the policies of their producers
// decide; Stats.Journal.FullSince says since when. When there is space again
// everything goes on, and the archive says what was lost. Close does not wait
// for space: it makes one attempt, and names what is not written.
//
// When a write or sync fails otherwise the recorder stops for good. Producers get the
// error from then on, waiting calls return it, what was in the lanes is counted
// as lost, and Close names it, stream by stream. The error is
// a *NotWrittenError where records that were committed are missing.
//
// # Closing
//
// A record whose Write returned nil, or whose Commit returned true, is in the
// archive when Recorder.Close returns nil. The race between a commit and the
// archiver's last look at a lane is settled as follows. The phase of the
// recorder goes up, and the archiver does things in this order:
//
//	closing    claims are refused from here on; some are still open
//	freezing   the archiver reads each lane to its end, without I/O
//	frozen     ...and has published where that is, in lane.limit
//
// A producer commits and then loads the phase (the load that a commit makes in
// any case, beside the one that says whether the archiver sleeps). If it is
// before freezing, the archiver's look comes later in the total order of the
// atomic operations, and finds the record. Otherwise the producer waits for
// frozen, which takes no I/O, and compares: a record behind the limit is
// counted as lost, and Commit returns false. A shared ring is closed before
// the look, and its claims are settled by compare-and-swap, so that a commit
// has either happened or fails.
//
// # Stopping a program
//
// What becomes of records that were committed, by how the program ends:
//
//	signal.NotifyContext, then Close      all are in the archive, which is sealed; losses are declared there
//	a signal that nobody handles, or the
//	kernel's kill                         those in the lanes are gone; those written are there, though the disk may have them later
//	panic that nobody recovers            the same: it ends the program, and runs no other goroutine's deferred calls
//	panic under defer rec.CloseOnPanic    as with Close; the panic goes on with its value and stack
//	log.Fatal, os.Exit                    as with kill: no deferred call runs
//	Recorder.WaitDurable, then log.Fatal  all committed before the call are durable; the archive is not sealed, the next Open sees to it
//	Close, then log.Fatal                 as with Close
//	a full disk, then Close               one attempt; Close returns a *NotWrittenError that names streams, records and bytes
//	a failed write or sync, a limit on
//	the size of files, a disk or
//	directory that is gone                the recorder stops at once: every call returns the error, Stats.Err has it, lost records are counted, Close
//	                                      and WaitDurable name them. What WaitDurable had confirmed is durable, if the disk ever comes back
//
// So a program has its Close where nothing can end it before:
//
//	func main() {
//		if err := run(); err != nil {
//			log.Fatal(err) // here, where nothing is open any more
//		}
//	}
//
//	func run() (err error) {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//		defer stop()
//		rec, err := recorder.Open(dir, nil)
//		if err != nil {
//			return err
//		}
//		defer func() {
//			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
//			defer cancel()
//			err = errors.Join(err, rec.Close(ctx))
//		}()
//		return serve(ctx, rec) // its goroutines begin with defer rec.CloseOnPanic(time.Second)
//	}
//
// Package log has no hook for Fatal. Where it cannot be kept out of other places,
// call a function there that closes the recorder and then log.Fatal. Loggers
// that have a hook (zap's WithFatalHook, zerolog's FatalExitFunc, logrus's
// RegisterExitHandler) get one that calls Recorder.Close or
// Recorder.WaitDurable with a deadline.
//
// # Watching
//
// Recorder.Stats is a snapshot of all counters: by stream what was recorded,
// lost and why, how full its lane is and was, claims that stall; the archiver's
// batches; and the archive's writes, syncs and disk. It reads counters and takes
// no lock that is held during I/O, so it may be called as often as somebody
// looks, while a disk stands still, too. As JSON it makes an expvar, see the
// example of Stats; package adapter/prombuf shows it to Prometheus. Histograms
// are written by the archiver and the journal's own goroutines; a producer pays
// for none of it.
//
// # Sleeping
//
// An archiver that has written what there was naps for Options.Linger, 1 ms by
// default, looks, and naps again: records may lie in their lanes that long. When
// nothing has come for 100 ms it sleeps until somebody wakes it. A commit costs
// one load while the archiver is awake and a compare more while it naps; at most
// one producer pays for ending a sleep. What ends which:
//
//	                                                     nap   sleep
//	a commit, an Abort of a shared claim                 no    yes
//	the same that leave the lane crowded                 yes   yes
//	a claim or write that finds no room                  yes   yes
//	a loss                                               yes   yes
//	WaitDurable, and a commit that one waits for         yes   yes
//	Close of a producer or the recorder                  yes   yes
//
// A lane is crowded if another record as long as its longest would make it more
// than half full: until then the next one has room. A claim that finds no room may need padding
// stepped over, an Abort may free what was committed behind it, a WaitDurable may
// wait for a claim that is stalled. While somebody waits for an open claim there
// are no naps, so that its commit is seen at once. Nor are there while lanes fill
// by a quarter or more in the time of a nap, 64 MB/s with lanes of 256 KiB: the
// archiver then follows the producers without a pause, so that all but that quarter
// is there for when the disk stands still. The archiver sets itself an alarm for
// losses that wait and for claims that will have stalled too long.
//
// The protocol is that of package park: the archiver looks at all lanes once more
// between announcing a nap or sleep and beginning it. That look is over when each
// lane was read to where its producer was as the look began; what comes later
// finds the archiver's announcement. So an archiver on the heels of its producers
// does not write record by record.
//
// With a negative Linger there are no naps: an archiver that finds nothing yields a
// few times and then sleeps, and each record that finds it asleep wakes it. That
// is for who must see each record in the file within microseconds and has
// processors to spend; a producer with a record every 10 µs then pays for a
// wake-up almost every time.
package recorder
