// Package slogbuf takes log lines off the goroutines that write them into a
// recorder's archive: a handler for log/slog, and a writer for loggers that
// write to an io.Writer, such as zap, zerolog and package log.
//
//	rec, err := recorder.Open("logs", nil)
//	if err != nil { … }
//	defer rec.Close(context.Background())
//	w, err := slogbuf.NewWriter(rec, "app", nil)
//	if err != nil { … }
//	slog.SetDefault(slog.New(slogbuf.NewHandler(w, nil)))
//
// # What is recorded
//
// A line is one record, byte for byte what slog.JSONHandler or slog.TextHandler
// writes, with the newline at its end, so that
//
//	logbuf cat logs --stream app --format raw
//
// gives the file that those handlers would have written. The time of the record
// is the slog record's, its kind is Kind, and bits 0–3 of its flags are the
// level, see LevelOf.
//
// # Who waits for whom
//
// A line is encoded by the handlers of package slog, in a buffer of their pool,
// and then copied into the lane. All code of users (LogValuer, Marshaler,
// Stringer, ReplaceAttr) runs before that: it may panic, block, or log itself,
// and holds up nobody else. What panics is contained as slog does it, and is an
// error in the line.
//
// Callers share no lock and no buffer, only the lane, which is lock-free: each
// call has an encoder of its own, kept for the next one. A line that finds the
// lane full is dropped, unless the writer was made with recorder.OverloadWait.
// No caller waits for the disk but those of Options.SyncLevel.
//
// Attributes given to WithAttrs are evaluated in that call and never again, as
// in package slog. A handler that WithAttrs returned builds its encoder with its
// first line, which costs about what two lines do; one that is made and never
// used costs little.
//
// # Lines that are lost
//
// A line that was dropped is counted (Writer.Stats), and the archive has a loss
// record in its place, with the number of lines, bytes, and times. When there is
// room again, the handler also writes a line that says how many were dropped,
// at most one a second, for those who only see the lines:
//
//	{"time":…,"level":"WARN","msg":"slogbuf: log lines were dropped","lines":41}
//
// A line that is longer than the lane can take (recorder.Producer.MaxRecord) is
// lost too; a line with the same time and level takes its place, and gives the
// lengths and how the message began:
//
//	{"time":…,"level":"INFO","msg":"slogbuf: a line was too long","bytes":400000,"limit":262120,"begins":"…"}
//
// # When the program ends
//
// A line is in the lane when the logging call returns, with the kernel when the
// archiver has written it, typically less than a millisecond later, and on the disk
// when the archive was synced. So the end of the process takes what is in the
// lane, and a power cut what is not synced, unless somebody waited:
//
//   - Recorder.Close writes and syncs everything. After a return from main, or a
//     panic in the goroutine that deferred it, nothing is lost.
//   - os.Exit runs no deferred call. Call Recorder.Close or Writer.Flush before.
//   - Options.SyncLevel, say slog.LevelError, makes lines of that level and all
//     before them durable before the logging call returns.
//   - zap's Fatal and Panic call Writer.Sync by themselves, zerolog's Fatal
//     Writer.Close: nothing is lost.
//   - log.Fatal has no hook: use Options.SyncLevel together with
//     slog.SetLogLoggerLevel, or Recorder.Close and os.Exit.
//   - A panic that nobody recovers in another goroutine ends the program at
//     once: recorder.Recorder.CloseOnPanic.
package slogbuf
