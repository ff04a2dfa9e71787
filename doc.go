// Package logbuf gets bytes off a hot path without slowing it, keeps them
// safely, proves what was lost, and replays them from anywhere at any speed.
// It has no code of its own; this page is the tour.
//
//	hot goroutines        one archiver goroutine         any time later, any process
//	claim, fill, commit ─▶ queue: lanes ─▶ journal ─▶ read, follow, verify, replay
//
// The frame that a producer fills in memory is the frame on disk.
//
//   - [github.com/nexus-logbuf/logbuf/recorder] is where most programs start:
//     open a directory, get a producer for each stream, write. What does not
//     fit is dropped and counted, refused, or waited for, as chosen, and every
//     loss is written into the archive.
//   - [github.com/nexus-logbuf/logbuf/journal] writes, recovers, reads, follows
//     and verifies the checksummed segments, with or without the recorder.
//   - [github.com/nexus-logbuf/logbuf/replay] plays an archive back at the pace
//     of its timestamps, faster, or as fast as it can be read.
//   - [github.com/nexus-logbuf/logbuf/queue] has the lock-free rings for those
//     who build something else on them, and
//     [github.com/nexus-logbuf/logbuf/channel] puts blocking and closing around
//     them.
//
// The command cmd/logbuf records WebSocket and TCP feeds and standard input,
// and reads, verifies and replays archives.
package logbuf
