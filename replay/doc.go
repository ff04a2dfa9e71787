// Package replay delivers the records of a journal at the pace at which they were recorded, faster, slower, at a fixed rate, or as fast as
// the sink takes them.
//
// # The schedule
//
// [Run] keeps an absolute schedule: record i is due at
//
//	T0 + (time_i − time_0) / speed − gaps cut so far
//
// or, at a fixed rate, at T0 + i / rate, where T0 is when the first record was delivered. A record that is delivered late does not move the
// records after it, so a replay does not drift: an hour of records takes an hour at speed 1, whatever each wake-up costs. [Report] says how
// late records were.
//
// Run waits on a timer of the runtime until shortly before a record is due, and then, on Linux, in a nanosleep of at most 2 ms: on an idle
// machine 99 in 100 records are delivered within some 100 µs of when they are due. It does not spin; the nanosleep takes a thread, as any
// system call does. A context that is cancelled ends a pause at once, or at the end of that nanosleep.
//
// # What bends the schedule
//
// A pause longer than Options.MaxGap is shortened to it.
//
// A clock that was stepped back while recording would make the rest of the replay overdue; the schedule is moved instead, so that recording
// goes on where it was. A step is a stream whose own time goes back by more than 100 ms. Small steps back between streams are none: a recorder
// drains its lanes one after another, so neighbours in the journal can be out of order in time by the length of a drain. Such records are
// delivered at once, in journal order. A clock that was stepped forward cannot be told from silence: MaxGap bounds it.
//
// A sink that cannot keep up makes records late. Options.Late says what is done about it: catch up without pauses until the schedule is met
// again ([LateCatchUp]), move the schedule so that the pauses between records stay what they were ([LateShift]), or leave out what is late
// ([LateDrop]).
//
// # Loops
//
// With Options.Loops the journal is replayed again and again. Every pass begins one mean interval between records after the last record of
// the pass before, and the times of its records are moved by as much: times never go back between passes. Sequences are those of the
// journal, the same in every pass.
//
// # Control records
//
// Control records (losses, stream definitions, marks) are delivered between data records where they stand, and are never waited for nor
// dropped. They come only from a reader that was opened with ReaderOptions.Control.
package replay
