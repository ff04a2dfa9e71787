// Package capture is what `logbuf record` and `logbuf demo` have in common: it
// opens a recorder on an archive, runs the sources into it, each with a lane of
// its own, watches both, and drains and seals the archive in the end.
package capture
