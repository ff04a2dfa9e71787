// Package cli holds what the commands of logbuf share and what is not about archives: flag values for sizes and
// durations, numbers in human form, exit codes, terminal detection, the status line, and the context that Ctrl-C ends.
//
// Everything here writes to the writer it is given. Commands give stdout their data and stderr everything else.
package cli
