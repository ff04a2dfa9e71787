// Package replay delivers the records of a journal at the pace at which they were recorded, faster, slower, or as fast as the sink takes
// them.
//
// [Run] keeps an absolute schedule: record i is due at
//
//	T0 + (time_i − time_0) / speed − gaps cut so far
//
// where T0 is when the first record was delivered. A record that is delivered late does not move the records after it, so a replay does
// not drift: an hour of records takes an hour at speed 1, whatever each wake-up costs. A sink that cannot keep up for a while is given what
// is overdue without pauses until the schedule is met again; [Report] says how late records were. Between bursts expect half a millisecond:
// Run sleeps on a timer of the runtime, which on Linux wakes up to a millisecond after its time, and it does not spin.
//
// Two things bend the schedule. A pause longer than Options.MaxGap is shortened to it. A clock that was stepped back while recording
// would make the rest of the replay overdue; the schedule is moved instead, so that recording goes on where it was. Small steps back between
// streams are no clock steps: a recorder drains its lanes one after another, so neighbours in the journal can be out of order in
// time by the length of a drain. Such records are delivered at once, in journal order.
//
// Control records (losses, stream definitions, marks) are delivered between data records where they stand, and are never waited for. They
// come only from a reader that was opened with ReaderOptions.Control.
package replay
